//! An h2c client with prior knowledge, on the `h2` crate: many streams on one connection, each with
//! its resets, 1xx and trailers in sight.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use ::h2::client::{Builder, ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream, SendStream};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{ClientError, DEADLINE, Head, Response, check_pattern, within};
use crate::pattern::Pattern;

/// One connection. Dropping it closes the connection under every stream.
#[derive(Debug)]
pub struct H2 {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), ::h2::Error>>,
    deadline: Duration,
}

/// One stream. Its halves can be used at the same time.
#[derive(Debug)]
pub struct H2Stream {
    /// What the client sends.
    pub sender: H2Sender,
    /// What the client gets.
    pub receiver: H2Receiver,
}

/// The sending half of a stream.
#[derive(Debug)]
pub struct H2Sender {
    stream: SendStream<Bytes>,
    deadline: Duration,
}

/// The receiving half of a stream: 1xx, head, pieces of body, trailers.
#[derive(Debug)]
pub struct H2Receiver {
    response: ResponseFuture,
    body: Option<RecvStream>,
    deadline: Duration,
}

impl H2 {
    /// Connects with windows of 1 MiB a stream and 16 MiB a connection.
    ///
    /// # Errors
    /// When nobody accepts or speaks HTTP/2 in time.
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let mut builder = Builder::new();
        builder
            .initial_window_size(1 << 20)
            .initial_connection_window_size(16 << 20);
        Self::connect_with(address, &builder).await
    }

    /// Connects with those settings.
    ///
    /// # Errors
    /// Like [`H2::connect`].
    pub async fn connect_with(address: SocketAddr, builder: &Builder) -> Result<Self, ClientError> {
        within(DEADLINE, "a connection", async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (requests, connection) = builder.handshake(stream).await?;
            Ok(Self {
                requests,
                connection: tokio::spawn(connection),
                deadline: DEADLINE,
            })
        })
        .await
    }

    /// Waits this long for each step.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Opens a stream; with `end` the request has no body.
    ///
    /// # Errors
    /// When the connection is closing or offers no stream until the deadline.
    pub async fn open(&self, request: Request<()>, end: bool) -> Result<H2Stream, ClientError> {
        let ready = async { Ok(self.requests.clone().ready().await?) };
        let mut requests = within(self.deadline, "a stream to be free", ready).await?;
        let (response, stream) = requests.send_request(request, end)?;
        Ok(H2Stream {
            sender: H2Sender {
                stream,
                deadline: self.deadline,
            },
            receiver: H2Receiver {
                response,
                body: None,
                deadline: self.deadline,
            },
        })
    }

    /// A GET, whole.
    ///
    /// # Errors
    /// When any part of the response doesn't come.
    pub async fn get(&self, authority: &str, path: &str) -> Result<Response, ClientError> {
        let stream = self.open(get(authority, path), true).await?;
        stream.response().await
    }

    /// A POST, whole.
    ///
    /// # Errors
    /// When any part of the response doesn't come.
    pub async fn post(
        &self,
        authority: &str,
        path: &str,
        body: Bytes,
    ) -> Result<Response, ClientError> {
        let mut request = get(authority, path);
        *request.method_mut() = Method::POST;
        let mut stream = self.open(request, false).await?;
        stream.sender.send(body).await?;
        stream.sender.finish()?;
        stream.response().await
    }

    /// Streams the peer allows at once, by its last settings.
    pub fn peer_max_streams(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// Whether the connection is still up.
    pub fn is_open(&self) -> bool {
        !self.connection.is_finished()
    }

    /// Waits until the connection ends.
    ///
    /// # Errors
    /// How it ended, when not cleanly; or nothing until the deadline.
    ///
    /// # Panics
    /// When its task did.
    pub async fn closed(mut self) -> Result<(), ClientError> {
        within(self.deadline, "the end of the connection", async {
            Ok((&mut self.connection).await.expect("its task")?)
        })
        .await
    }
}

impl Drop for H2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl H2Stream {
    /// Reads the response, whole.
    ///
    /// # Errors
    /// When any part of it doesn't come.
    pub async fn response(mut self) -> Result<Response, ClientError> {
        self.receiver.response().await
    }

    /// Resets the stream.
    pub fn reset(mut self, reason: Reason) {
        self.sender.reset(reason);
    }
}

impl H2Sender {
    /// Sends a piece of body as fast as the peer's windows allow.
    ///
    /// # Errors
    /// When the stream is reset, or the peer takes nothing until the deadline.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<(), ClientError> {
        while !bytes.is_empty() {
            self.stream.reserve_capacity(bytes.len());
            let capacity = within(self.deadline, "room to send", async {
                loop {
                    match poll_fn(|cx| self.stream.poll_capacity(cx)).await {
                        Some(Ok(0)) => {}
                        Some(capacity) => return Ok(capacity?),
                        None => return Err(self.why_ended().await),
                    }
                }
            })
            .await?;
            let piece = bytes.split_to(capacity.min(bytes.len()));
            self.stream.send_data(piece, false)?;
        }
        Ok(())
    }

    /// Sends that many bytes of the pattern, each piece within the deadline.
    ///
    /// # Errors
    /// Like [`H2Sender::send`].
    pub async fn send_pattern(&mut self, length: u64) -> Result<(), ClientError> {
        let mut pattern = Pattern::new();
        while pattern.offset() < length {
            let left = usize::try_from(length - pattern.offset()).unwrap_or(usize::MAX);
            self.send(pattern.next(left)).await?;
        }
        Ok(())
    }

    /// Ends the request.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn finish(&mut self) -> Result<(), ClientError> {
        Ok(self.stream.send_data(Bytes::new(), true)?)
    }

    /// Ends the request with trailers.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn finish_with(&mut self, trailers: HeaderMap) -> Result<(), ClientError> {
        Ok(self.stream.send_trailers(trailers)?)
    }

    /// Resets the stream.
    pub fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Waits until the peer resets the stream, and returns why.
    ///
    /// # Errors
    /// When the connection ends first, or nothing happens until the deadline.
    pub async fn reset_by_peer(&mut self) -> Result<Reason, ClientError> {
        within(self.deadline, "a reset", async {
            Ok(poll_fn(|cx| self.stream.poll_reset(cx)).await?)
        })
        .await
    }

    async fn why_ended(&mut self) -> ClientError {
        match poll_fn(|cx| self.stream.poll_reset(cx)).await {
            Ok(reason) => ClientError::StreamReset(reason),
            Err(error) => error.into(),
        }
    }
}

impl H2Receiver {
    /// The next 1xx response; `None` once the final one is there.
    ///
    /// # Errors
    /// When the stream ends first, or nothing comes until the deadline.
    pub async fn informational(&mut self) -> Result<Option<Head>, ClientError> {
        within(self.deadline, "a 1xx response", async {
            let next = poll_fn(|cx| self.response.poll_informational(cx)).await;
            Ok(next.transpose()?.map(|response| Head {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
            }))
        })
        .await
    }

    /// The final response's head. 1xx responses that nobody asked for are skipped.
    ///
    /// # Errors
    /// When the stream ends first, or nothing comes until the deadline.
    pub async fn head(&mut self) -> Result<Head, ClientError> {
        let response = within(self.deadline, "a response head", async {
            Ok((&mut self.response).await?)
        })
        .await?;
        let (parts, body) = response.into_parts();
        self.body = Some(body);
        Ok(Head {
            status: parts.status.as_u16(),
            headers: parts.headers,
        })
    }

    /// The next piece of the body, as soon as there is one, and room for as much again; `None` at
    /// its clean end.
    ///
    /// # Errors
    /// When the stream is reset, or nothing comes until the deadline.
    ///
    /// # Panics
    /// Before [`H2Receiver::head`].
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        let body = self.body.as_mut().expect("the head comes first");
        within(self.deadline, "a piece of body", async {
            // The frame that only ends the stream is an empty piece.
            while let Some(piece) = body.data().await.transpose()? {
                if !piece.is_empty() {
                    body.flow_control().release_capacity(piece.len())?;
                    return Ok(Some(piece));
                }
            }
            Ok(None)
        })
        .await
    }

    /// The trailers, once [`H2Receiver::piece`] yielded `None`; empty when there are none.
    ///
    /// # Errors
    /// When the stream is reset.
    ///
    /// # Panics
    /// Before [`H2Receiver::head`].
    pub async fn trailers(&mut self) -> Result<HeaderMap, ClientError> {
        let body = self.body.as_mut().expect("the head comes first");
        within(self.deadline, "trailers", async {
            Ok(body.trailers().await?.unwrap_or_default())
        })
        .await
    }

    /// Reads the body to its end, checking it against the pattern; its length.
    ///
    /// # Errors
    /// Like [`H2Receiver::piece`], and at the first byte that differs.
    pub async fn check_pattern(&mut self) -> Result<u64, ClientError> {
        let mut pattern = Pattern::new();
        while let Some(piece) = self.piece().await? {
            check_pattern(&mut pattern, &piece)?;
        }
        Ok(pattern.offset())
    }

    /// The response, whole.
    ///
    /// # Errors
    /// When any part of it doesn't come.
    pub async fn response(&mut self) -> Result<Response, ClientError> {
        let mut informational = Vec::new();
        while let Some(head) = self.informational().await? {
            informational.push(head);
        }
        let head = self.head().await?;
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(Response {
            informational,
            status: head.status,
            headers: head.headers,
            body: body.freeze(),
            trailers: self.trailers().await?,
        })
    }
}

/// A GET request for [`H2::open`].
///
/// # Panics
/// When authority or path aren't ones.
pub fn get(authority: &str, path: &str) -> Request<()> {
    Request::get(format!("http://{authority}{path}"))
        .body(())
        .expect("an authority and a path")
}
