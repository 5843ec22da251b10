//! An HTTP/1.1 client on a bare socket: sends exactly the bytes it is given, and reads one response
//! after the other off the same connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{ClientError, DEADLINE, Head, Response, check_pattern, within};
use crate::pattern::Pattern;

/// One connection. Its halves can be used at the same time.
#[derive(Debug)]
pub struct H1 {
    /// What the client sends.
    pub writer: H1Writer,
    /// What the client gets.
    pub reader: H1Reader,
}

/// The sending half.
#[derive(Debug)]
pub struct H1Writer {
    half: OwnedWriteHalf,
    deadline: Duration,
}

/// The receiving half: heads, then pieces of body, then trailers.
#[derive(Debug)]
pub struct H1Reader {
    half: OwnedReadHalf,
    buffer: BytesMut,
    framing: Framing,
    trailers: HeaderMap,
    deadline: Duration,
}

/// What is still to come of the current body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Done,
    Length(u64),
    /// Bytes left of the current chunk.
    Chunk(u64),
    /// Between chunks: a size line comes next.
    ChunkSize,
    UntilClose,
}

impl H1 {
    /// Connects, with the usual deadline for each step.
    ///
    /// # Errors
    /// When nobody accepts in time.
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let stream = within(DEADLINE, "a connection", async {
            Ok(TcpStream::connect(address).await?)
        })
        .await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Speaks on a connection that is there, with the usual deadline for each step.
    pub fn over(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self {
            writer: H1Writer {
                half: write,
                deadline: DEADLINE,
            },
            reader: H1Reader {
                half: read,
                buffer: BytesMut::new(),
                framing: Framing::Done,
                trailers: HeaderMap::new(),
                deadline: DEADLINE,
            },
        }
    }

    /// Waits this long for each step.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.writer.deadline = deadline;
        self.reader.deadline = deadline;
        self
    }

    /// Sends these bytes and reads one response.
    ///
    /// # Errors
    /// When sending or reading fails.
    pub async fn exchange(&mut self, request: impl AsRef<[u8]>) -> Result<Response, ClientError> {
        self.writer.send(request).await?;
        self.reader.response().await
    }

    /// A plain GET on a connection that stays open.
    ///
    /// # Errors
    /// Like [`H1::exchange`].
    pub async fn get(&mut self, host: &str, path: &str) -> Result<Response, ClientError> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.exchange(request).await
    }

    /// A POST with that body and its length.
    ///
    /// # Errors
    /// Like [`H1::exchange`].
    pub async fn post(
        &mut self,
        host: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Response, ClientError> {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n");
        self.writer.send(head).await?;
        self.writer.send(body).await?;
        self.reader.response().await
    }

    /// Ends the connection with RST at once.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn reset(self) {
        let stream = self
            .reader
            .half
            .reunite(self.writer.half)
            .expect("two halves of one connection");
        stream.set_zero_linger().expect("a socket option");
    }
}

impl H1Writer {
    /// Sends these bytes as they are.
    ///
    /// # Errors
    /// When the peer is gone or takes nothing until the deadline.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), ClientError> {
        within(self.deadline, "bytes to be taken", async {
            Ok(self.half.write_all(bytes.as_ref()).await?)
        })
        .await
    }

    /// Sends these bytes as one chunk of a chunked body.
    ///
    /// # Errors
    /// Like [`H1Writer::send`].
    pub async fn send_chunk(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.send(format!("{:x}\r\n", bytes.len())).await?;
        self.send(bytes).await?;
        self.send("\r\n").await
    }

    /// Sends that many bytes of the pattern, each piece within the deadline.
    ///
    /// # Errors
    /// Like [`H1Writer::send`].
    pub async fn send_pattern(&mut self, length: u64) -> Result<(), ClientError> {
        let mut pattern = Pattern::new();
        while pattern.offset() < length {
            let left = usize::try_from(length - pattern.offset()).unwrap_or(usize::MAX);
            self.send(pattern.next(left)).await?;
        }
        Ok(())
    }

    /// Closes this direction (FIN); the response can still come.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn finish(&mut self) -> Result<(), ClientError> {
        Ok(self.half.shutdown().await?)
    }
}

impl H1Reader {
    /// The next response head, 1xx too, of a request that was not HEAD.
    ///
    /// # Errors
    /// When it doesn't come whole, in time, or isn't one.
    pub async fn head(&mut self) -> Result<Head, ClientError> {
        self.head_of("GET").await
    }

    /// The next response head, 1xx too, of a request of that method.
    ///
    /// # Errors
    /// Like [`H1Reader::head`].
    pub async fn head_of(&mut self, method: &str) -> Result<Head, ClientError> {
        let deadline = self.deadline;
        within(deadline, "a response head", async {
            loop {
                if let Some((head, length)) = parse_head(&self.buffer)? {
                    drop(self.buffer.split_to(length));
                    self.framing = framing(&head, method)?;
                    self.trailers = HeaderMap::new();
                    return Ok(head);
                }
                self.fill().await?;
            }
        })
        .await
    }

    /// The next piece of the body, as soon as there is one; `None` at its clean end.
    ///
    /// # Errors
    /// When it is cut, or nothing comes until the deadline.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        let deadline = self.deadline;
        within(deadline, "a piece of body", self.next_piece()).await
    }

    /// The body's trailers, once [`H1Reader::piece`] yielded `None`.
    pub const fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// Reads the body to its end, checking it against the pattern; its length.
    ///
    /// # Errors
    /// Like [`H1Reader::piece`], and at the first byte that differs.
    pub async fn check_pattern(&mut self) -> Result<u64, ClientError> {
        let mut pattern = Pattern::new();
        while let Some(piece) = self.piece().await? {
            check_pattern(&mut pattern, &piece)?;
        }
        Ok(pattern.offset())
    }

    /// One response, whole, of a request that was not HEAD.
    ///
    /// # Errors
    /// When any part of it doesn't come.
    pub async fn response(&mut self) -> Result<Response, ClientError> {
        self.response_of("GET").await
    }

    /// One response, whole, of a request of that method.
    ///
    /// # Errors
    /// When any part of it doesn't come.
    pub async fn response_of(&mut self, method: &str) -> Result<Response, ClientError> {
        let mut informational = Vec::new();
        let head = loop {
            let head = self.head_of(method).await?;
            if head.status >= 200 || head.status == 101 {
                break head;
            }
            informational.push(head);
        };
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(Response {
            informational,
            status: head.status,
            headers: head.headers,
            body: body.freeze(),
            trailers: std::mem::take(&mut self.trailers),
        })
    }

    /// Waits until the peer closes; what it still sent before that.
    ///
    /// # Errors
    /// [`ClientError::Reset`] when it closes by RST, or nothing until the deadline.
    pub async fn closed(&mut self) -> Result<Bytes, ClientError> {
        let deadline = self.deadline;
        within(deadline, "the end of the connection", async {
            while self.half.read_buf(&mut self.buffer).await? > 0 {}
            Ok(self.buffer.split().freeze())
        })
        .await
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.framing {
                Framing::Done | Framing::Length(0) => {
                    self.framing = Framing::Done;
                    return Ok(None);
                }
                Framing::Length(left) => {
                    let piece = self.take(left).await?;
                    self.framing = Framing::Length(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Framing::Chunk(0) => {
                    let line = self.line().await?;
                    expect(line.is_empty(), "no line end after a chunk")?;
                    self.framing = Framing::ChunkSize;
                }
                Framing::Chunk(left) => {
                    let piece = self.take(left).await?;
                    self.framing = Framing::Chunk(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Framing::ChunkSize => self.chunk_size().await?,
                Framing::UntilClose => {
                    if self.buffer.is_empty() && self.half.read_buf(&mut self.buffer).await? == 0 {
                        self.framing = Framing::Done;
                        return Ok(None);
                    }
                    return Ok(Some(self.buffer.split().freeze()));
                }
            }
        }
    }

    async fn chunk_size(&mut self) -> Result<(), ClientError> {
        let line = self.line().await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16)
            .map_err(|_| ClientError::Malformed(format!("no chunk size: {line:?}")))?;
        if size > 0 {
            self.framing = Framing::Chunk(size);
            return Ok(());
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                self.framing = Framing::Done;
                return Ok(());
            }
            let field = line.split_once(':').and_then(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value.trim()).ok()?))
            });
            let (name, value) =
                field.ok_or_else(|| ClientError::Malformed(format!("no trailer: {line:?}")))?;
            self.trailers.append(name, value);
        }
    }

    async fn take(&mut self, limit: u64) -> Result<Bytes, ClientError> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        let length = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn line(&mut self) -> Result<String, ClientError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), ClientError> {
        self.buffer.reserve(READ_SIZE);
        if self.half.read_buf(&mut self.buffer).await? == 0 {
            return Err(ClientError::Truncated);
        }
        Ok(())
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, ClientError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let status = parsed
        .parse(bytes)
        .map_err(|error| ClientError::Malformed(error.to_string()))?;
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    let mut headers = HeaderMap::new();
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(ClientError::Malformed(format!("field {}", field.name)));
        };
        headers.append(name, value);
    }
    let status = parsed.code.unwrap_or_default();
    Ok(Some((Head { status, headers }, length)))
}

fn framing(head: &Head, method: &str) -> Result<Framing, ClientError> {
    if head.status < 200 || matches!(head.status, 204 | 304) || method == "HEAD" {
        return Ok(Framing::Done);
    }
    let lengths = head.headers.get_all(CONTENT_LENGTH).iter().count();
    if head.headers.contains_key(TRANSFER_ENCODING) {
        expect(lengths == 0, "both content-length and transfer-encoding")?;
        let chunked = head.header("transfer-encoding") == Some("chunked");
        expect(chunked, "a transfer coding other than chunked")?;
        return Ok(Framing::ChunkSize);
    }
    expect(lengths <= 1, "two content-lengths")?;
    match head.header("content-length") {
        None => Ok(Framing::UntilClose),
        Some(text) => text
            .parse()
            .map(Framing::Length)
            .map_err(|_| ClientError::Malformed(format!("content-length {text:?}"))),
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<(), ClientError> {
    if holds {
        Ok(())
    } else {
        Err(ClientError::Malformed(otherwise.to_owned()))
    }
}

const READ_SIZE: usize = 64 * 1024;
const MAX_FIELDS: usize = 256;
