//! The h2c side of an origin, on the `h2` crate.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::play::{Gone, Played, Sink, Source, play};
use super::record::Outcome;
use super::script::{End, Script};
use super::{Request, Shared};

/// The request's body.
struct Reader(RecvStream);

/// The response: before its head, then after it.
struct Writer {
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    to_head: bool,
}

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    shared.record.connected();
    let mut builder = ::h2::server::Builder::new();
    builder
        .initial_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(MAX_STREAMS)
        .enable_connect_protocol();
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let close = Arc::new(Notify::new());
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = close.notified() => return,
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        let shared = Arc::clone(&shared);
        let close = Arc::clone(&close);
        tokio::spawn(async move {
            if exchange(request, respond, &shared).await == Played::Died(End::Close) {
                close.notify_one();
            }
        });
    }
}

async fn exchange(
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    shared: &Shared,
) -> Played {
    let (parts, body) = request.into_parts();
    let request = describe(&parts);
    let script = (shared.script)(&request);
    let exchange = shared.record.begin(request);
    let mut reader = Reader(body);
    let mut writer = Writer {
        respond,
        stream: None,
        to_head: parts.method == http::Method::HEAD,
    };
    let played = play(&script, &exchange, &mut reader, &mut writer).await;
    match played {
        Played::Complete => exchange.end(Outcome::Complete),
        Played::Aborted => exchange.end(Outcome::Aborted),
        Played::Died(how) => {
            exchange.end(Outcome::Died);
            if how == End::Reset {
                writer.respond.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    }
    played
}

fn describe(parts: &http::request::Parts) -> Request {
    let mut head = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        head += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let target = parts.uri.path_and_query();
    Request {
        method: parts.method.to_string(),
        target: target.map_or_else(String::new, ToString::to_string),
        head,
    }
}

impl Source for Reader {
    async fn piece(&mut self) -> Result<Option<Bytes>, Gone> {
        let piece = self.0.data().await.transpose().map_err(|_| Gone)?;
        if let Some(piece) = &piece {
            let released = self.0.flow_control().release_capacity(piece.len());
            released.map_err(|_| Gone)?;
        }
        Ok(piece)
    }

    async fn gone(&mut self) {
        // The sending side sees the reset.
        std::future::pending().await
    }

    async fn reset(&mut self) {
        std::future::pending().await
    }

    async fn trailers(&mut self) -> Result<Vec<(String, String)>, Gone> {
        let trailers = self.0.trailers().await.map_err(|_| Gone)?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(trailers
            .iter()
            .flatten()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect())
    }
}

impl Sink for Writer {
    async fn informational(&mut self, status: u16) -> Result<(), Gone> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        if status == 103 {
            let link = HeaderValue::from_static("</style.css>; rel=preload");
            response.headers_mut().insert("link", link);
        }
        self.respond.send_informational(response).map_err(|_| Gone)
    }

    async fn head(&mut self, script: &Script, length: Option<u64>) -> Result<(), Gone> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(script.status).expect("a status");
        *response.headers_mut() = fields(&script.headers);
        let length = length.filter(|_| !script.chunked && !matches!(script.status, 204 | 304));
        if let Some(length) = length {
            response
                .headers_mut()
                .insert("content-length", length.into());
        }
        let stream = self.respond.send_response(response, self.to_head);
        self.stream = Some(stream.map_err(|_| Gone)?);
        Ok(())
    }

    async fn data(&mut self, mut bytes: Bytes) -> Result<(), Gone> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.to_head) else {
            return Ok(());
        };
        while !bytes.is_empty() {
            stream.reserve_capacity(bytes.len());
            let capacity = poll_fn(|cx| stream.poll_capacity(cx)).await;
            let capacity = capacity.ok_or(Gone)?.map_err(|_| Gone)?;
            let piece = bytes.split_to(capacity.min(bytes.len()));
            stream.send_data(piece, false).map_err(|_| Gone)?;
        }
        Ok(())
    }

    async fn end(&mut self, trailers: &[(String, String)]) -> Result<(), Gone> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.to_head) else {
            return Ok(());
        };
        let sent = if trailers.is_empty() {
            stream.send_data(Bytes::new(), true)
        } else {
            stream.send_trailers(fields(trailers))
        };
        sent.map_err(|_| Gone)
    }

    async fn pause(&mut self, time: Duration) -> Result<(), Gone> {
        let respond = &mut self.respond;
        let stream = &mut self.stream;
        let reset = poll_fn(|cx| match stream {
            Some(stream) => stream.poll_reset(cx),
            None => respond.poll_reset(cx),
        });
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            _ = reset => Err(Gone),
        }
    }
}

fn fields(pairs: &[(String, String)]) -> HeaderMap {
    let parsed = pairs.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().expect("a field name");
        let value: HeaderValue = value.parse().expect("a field value");
        (name, value)
    });
    parsed.collect()
}

const MAX_STREAMS: u32 = 10_000;
