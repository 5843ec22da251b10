//! Client connections that speak HTTP/2: each stream is an exchange of its own task; one bad stream
//! never ends its connection.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::answer::{Answer, Reason as Why};
use crate::budget::Window;
use crate::downstream::idle::{Idle, Step};
use crate::downstream::turns::{Accepted, Turn, Turns};
use crate::downstream::{Client, Downstream, Inbound};
use crate::h1::head::{Malformed, strip_from_trailers};
use crate::message::{Body, Frame, Gone, Interim};
use crate::shard::{Connected, Drain, Phase, Service};
use crate::stall::Stalls;
use crate::websocket::{is_other_connect, is_websocket};
use crate::{canonical, fields, limits, turn};

/// Serves one connection to its end.
pub async fn serve<S, T>(io: T, client: Rc<Client>, connected: Connected<S>)
where
    S: Service,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (io, turn) = Turns::new(io);
    let deadlines = connected.stalls().deadlines();
    let mut connection = match builder().handshake::<_, Bytes>(io).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(client = %client.address, %error, "no HTTP/2 handshake");
            return;
        }
    };
    let mut drain = connected.drain();
    let mut idle = Idle::new(deadlines.idle);
    while let Some(accepted) = accept(&mut connection, &turn, &mut drain, &mut idle).await {
        match accepted {
            Ok((request, respond)) => {
                let (service, client) = (connected.service(), Rc::clone(&client));
                let counted = (connected.begin(), idle.open());
                let core = Core {
                    stalls: connected.stalls(),
                    drain: is_websocket(&request).then(|| connected.drain()),
                    turn: turn.clone(),
                };
                // Boxed here, for a task is moved several times on its way to its first poll.
                let served = Box::pin(serve_stream(service, client, request, respond, core));
                tokio::task::spawn_local(async move {
                    served.await;
                    drop(counted);
                });
            }
            Err(error) => {
                tracing::debug!(client = %client.address, %error, "HTTP/2 connection ended");
                return;
            }
        }
    }
}

/// The next stream; starts the two-step GOAWAY when told to drain or idle for too long, and goes on
/// with what was begun.
async fn accept<T>(
    connection: &mut Connection<T, Bytes>,
    turn: &Turn,
    drain: &mut Drain,
    idle: &mut Idle,
) -> Option<Accepted>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| {
        turn::look();
        if drain.poll(Phase::Draining, cx) {
            connection.graceful_shutdown();
        }
        loop {
            if let Poll::Ready(accepted) = turn.poll_accept(connection, cx) {
                return Poll::Ready(accepted);
            }
            match idle.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Step::Tell) => connection.graceful_shutdown(),
                Poll::Ready(Step::Cut) => return Poll::Ready(None),
            }
        }
    })
    .await
}

/// The exchange of one stream. What it is made of is moved in before its first poll: arguments of an
/// async function have a place of their own in its future, beside the variables they are moved to.
fn serve_stream<S: Service>(
    service: Rc<S>,
    client: Rc<Client>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    core: Core,
) -> impl Future<Output = ()> {
    let (parts, body) = request.into_parts();
    let mut stream = Stream {
        body,
        respond,
        response: None,
        head: parts.method == Method::HEAD,
        ended: false,
        core,
    };
    let mut inbound = Inbound {
        request: Request::from_parts(parts, ()),
        body: Body::None,
        client,
    };
    async move {
        // Clients that vanish together reset streams by the hundred, mostly in the very read that
        // opens them: nothing of those reaches a program, whose own guard against such resets would
        // end the connection its other streams are on.
        if poll_fn(|cx| Poll::Ready(stream.poll_gone(cx).is_ready())).await {
            return;
        }
        match canonical(&mut inbound.request, stream.body.is_end_stream()) {
            Ok(body) => {
                inbound.body = body;
                service.serve(&mut inbound, &mut stream).await;
            }
            Err(malformed) => {
                Answer::new(Why::BadRequest)
                    .detail(malformed.0)
                    .send(inbound.request.headers(), &mut stream);
            }
        }
    }
}

/// The settings every HTTP/2 listener of ours starts from; reasons in [`limits`].
pub(super) fn builder() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION)
        .initial_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_frame_size(limits::FRAME_BYTES)
        .max_header_list_size(limits::HEADER_LIST_BYTES)
        .max_send_buffer_size(limits::SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(limits::PENDING_RESETS)
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(limits::REMEMBERED_RESETS)
        .data_frame_budget(limits::DATA_FRAME_BUDGET)
        .enable_connect_protocol();
    builder
}

/// Brings a request into the form every session hands on, and says what body follows.
fn canonical(request: &mut Request<()>, ended: bool) -> Result<Body, Malformed> {
    if is_other_connect(request) {
        return Err(Malformed("CONNECT is served for WebSockets only"));
    }
    let host = {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = hosts.next().cloned();
        if hosts.next().is_some() {
            return Err(Malformed("host occurs twice"));
        }
        host
    };
    match (request.uri().authority(), &host) {
        (None, None) => return Err(Malformed("there is no :authority")),
        (Some(authority), Some(host)) if authority.as_str().as_bytes() != host.as_bytes() => {
            return Err(Malformed(":authority and host differ"));
        }
        (Some(authority), _) => {
            canonical::check_authority(authority.as_str().as_bytes())?;
        }
        (None, Some(host)) => {
            let uri = with_authority(request.uri(), host.as_bytes())?;
            *request.uri_mut() = uri;
        }
    }
    target(request)?;
    let fields = request.headers_mut();
    if host.is_some() {
        fields.remove(HOST);
    }
    if fields.values().any(is_padded) {
        // RFC 9113 §8.2.1. Who writes it on an HTTP/1.1 wire loses it.
        return Err(Malformed("a field value begins or ends with white space"));
    }
    let length = canonical::request_fields(fields)?;
    if fields.len() > limits::HEADER_COUNT {
        return Err(Malformed("there are too many header fields"));
    }
    fields.remove(PROXY_AUTHORIZATION);
    if fields.contains_key(TE) {
        fields::strip_hop_by_hop(fields);
    }
    if is_websocket(request) {
        // An edge leaves it on what was a POST that asked for an upgrade. There is no body to measure,
        // and a program would look for one.
        request.headers_mut().remove(CONTENT_LENGTH);
        return Ok(Body::Tunnel);
    }
    Ok(match (ended, length) {
        (true, _) => Body::None,
        (false, Some(length)) => Body::Length(length),
        (false, None) => Body::Stream,
    })
}

/// The scheme is one of ours, and the target a path, or `*` for OPTIONS (RFC 9113 §8.3.1).
fn target(request: &Request<()>) -> Result<(), Malformed> {
    let uri = request.uri();
    if ![None, Some("http"), Some("https")].contains(&uri.scheme_str()) {
        return Err(Malformed(":scheme is neither http nor https"));
    }
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Malformed("the target has a byte that is not allowed"));
    }
    if target.starts_with('/') || (target == "*" && *request.method() == Method::OPTIONS) {
        Ok(())
    } else {
        Err(Malformed("the target is not a path"))
    }
}

fn is_padded(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.trim_ascii().len() != value.len()
}

fn with_authority(uri: &Uri, host: &[u8]) -> Result<Uri, Malformed> {
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(canonical::authority(host)?);
    parts.scheme.get_or_insert(Scheme::HTTP);
    Uri::from_parts(parts).map_err(|_| Malformed("the target is not a path"))
}

struct Stream {
    body: RecvStream,
    respond: SendResponse<Bytes>,
    response: Option<SendStream<Bytes>>,
    head: bool,
    ended: bool,
    core: Core,
}

/// What a stream has of its core.
struct Core {
    stalls: Rc<Stalls>,
    /// Of a WebSocket only: others are not ended by us.
    drain: Option<Drain>,
    /// Its connection's.
    turn: Turn,
}

impl Downstream for Stream {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        match self.body.poll_data(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(data))) => Poll::Ready(Some(Ok(Frame::Data(data)))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(gone(&error)))),
            Poll::Ready(None) => self.body.poll_trailers(cx).map(|trailers| match trailers {
                Ok(trailers) => trailers.map(|mut trailers| {
                    strip_from_trailers(&mut trailers);
                    Ok(Frame::Trailers(trailers))
                }),
                Err(error) => Some(Err(gone(&error))),
            }),
        }
    }

    fn consumed(&mut self, bytes: usize) {
        // Fails only when the stream is gone, and then there is no window left to return it to.
        self.body.flow_control().release_capacity(bytes).ok();
    }

    fn is_body_done(&self) -> bool {
        self.body.is_end_stream()
    }

    fn send_interim(&mut self, interim: Interim) -> Result<(), Gone> {
        let mut response = Response::new(());
        *response.status_mut() = interim.status;
        *response.headers_mut() = interim.fields;
        self.respond
            .send_informational(response)
            .map_err(|error| gone(&error))
    }

    fn send_head(&mut self, mut response: Response<()>, body: Body) -> Result<(), Gone> {
        fields::leave_unindexed(response.headers_mut());
        self.ended = body.is_none() || self.head;
        let sent = self.respond.send_response(response, self.ended);
        self.response = Some(sent.map_err(|error| gone(&error))?);
        Ok(())
    }

    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(Gone::Left));
        };
        if self.ended {
            return Poll::Ready(Ok(wanted));
        }
        ready!(self.core.turn.poll_room(cx));
        room(response, wanted, cx).map_err(|()| Gone::Left)
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Gone> {
        let Some(response) = &mut self.response else {
            return Err(Gone::Left);
        };
        if self.ended {
            return Ok(());
        }
        self.ended = end;
        self.core.turn.sent(data.len());
        response.send_data(data, end).map_err(|error| gone(&error))
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        let Some(response) = &mut self.response else {
            return Err(Gone::Left);
        };
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        response
            .send_trailers(trailers)
            .map_err(|error| gone(&error))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        // The connection's task writes what its streams have queued, for all of them at once.
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        let reset = match &mut self.response {
            Some(response) => response.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| Gone::Left)
    }

    fn window(&mut self) -> Option<Window> {
        Some(Window::new(self.body.flow_control().clone()))
    }

    fn stalls(&self) -> &Rc<Stalls> {
        &self.core.stalls
    }

    fn poll_ending(&mut self, cx: &Context<'_>) -> bool {
        self.core
            .drain
            .as_mut()
            .is_some_and(|drain| drain.poll(Phase::Ending, cx))
    }

    fn refuse(&mut self) -> bool {
        if self.response.is_some() {
            return false;
        }
        self.respond.send_reset(Reason::REFUSED_STREAM);
        true
    }

    fn abort(&mut self) {
        match &mut self.response {
            Some(response) => response.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

/// Reserves window for up to `wanted` bytes and says how many may go now.
pub(crate) fn room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, ()>> {
    stream.reserve_capacity(wanted);
    loop {
        let capacity = stream.capacity();
        if capacity > 0 || wanted == 0 {
            return Poll::Ready(Ok(capacity));
        }
        match stream.poll_capacity(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(())),
        }
    }
}

fn gone(error: &h2::Error) -> Gone {
    if error.is_library() {
        Gone::Broken
    } else {
        Gone::Left
    }
}
