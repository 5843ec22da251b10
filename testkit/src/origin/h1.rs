//! The HTTP/1.1 side of an origin, on a bare socket: it keeps the exact request heads and can die
//! in every way a program can.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::play::{Gone, Played, Sink, Source, play};
use super::record::Outcome;
use super::script::{End, Intake, Script};
use super::{Request, Shared};

/// The request's body, off the socket.
struct Reader<'a> {
    half: ReadHalf<'a>,
    buffer: &'a mut BytesMut,
    framing: Framing,
    trailers: Vec<(String, String)>,
}

/// The response, onto the socket.
struct Writer<'a> {
    half: WriteHalf<'a>,
    to_head: bool,
    chunked: bool,
}

/// What is still to come of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    /// Bytes left of the current chunk.
    Chunk(u64),
    ChunkSize,
    Done,
}

pub(super) async fn serve(mut stream: TcpStream, shared: &Shared) {
    shared.record.connected();
    let mut buffer = BytesMut::new();
    while let Some((request, framing)) = read_head(&mut stream, &mut buffer).await {
        let script = (shared.script)(&request);
        let to_head = request.method == "HEAD";
        let exchange = shared.record.begin(request);
        let (read, write) = stream.split();
        let mut reader = Reader {
            half: read,
            buffer: &mut buffer,
            framing,
            trailers: Vec::new(),
        };
        let mut writer = Writer {
            half: write,
            to_head,
            chunked: false,
        };
        let played = play(&script, &exchange, &mut reader, &mut writer).await;
        match played {
            Played::Complete => {
                exchange.end(Outcome::Complete);
                if !finish(&script, &mut reader, &mut writer).await {
                    return;
                }
            }
            Played::Aborted => {
                return exchange.end(Outcome::Aborted);
            }
            Played::Died(how) => {
                if how == End::Reset {
                    stream.set_zero_linger().expect("a socket option");
                }
                return exchange.end(Outcome::Died);
            }
        }
    }
}

/// After a response: takes what is left of the request. Whether the connection can go on.
async fn finish(script: &Script, reader: &mut Reader<'_>, writer: &mut Writer<'_>) -> bool {
    if reader.framing == Framing::Done {
        return true;
    }
    if script.intake == Intake::Never {
        // Closing with bytes unread would reset the connection under the answer.
        writer.half.shutdown().await.ok();
        tokio::time::sleep(LINGER).await;
        return false;
    }
    while let Ok(Some(_)) = reader.piece().await {}
    reader.framing == Framing::Done
}

impl Source for Reader<'_> {
    async fn piece(&mut self) -> Result<Option<Bytes>, Gone> {
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
                    self.line().await?;
                    self.framing = Framing::ChunkSize;
                }
                Framing::Chunk(left) => {
                    let piece = self.take(left).await?;
                    self.framing = Framing::Chunk(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Framing::ChunkSize => {
                    let line = self.line().await?;
                    let size = line.split(';').next().unwrap_or_default();
                    let size = u64::from_str_radix(size.trim(), 16).map_err(|_| Gone)?;
                    self.framing = Framing::Chunk(size);
                    if size == 0 {
                        self.read_trailers().await?;
                        self.framing = Framing::Done;
                    }
                }
            }
        }
    }

    async fn gone(&mut self) {
        // A pipelined request is no end: leave it where it is.
        if !self.buffer.is_empty() {
            return std::future::pending().await;
        }
        match self.half.peek(&mut [0]).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }

    async fn reset(&mut self) {
        let errors = self.half.as_ref().ready(Interest::ERROR);
        if errors.await.is_err() {
            std::future::pending().await
        }
    }

    async fn trailers(&mut self) -> Result<Vec<(String, String)>, Gone> {
        Ok(std::mem::take(&mut self.trailers))
    }
}

impl Reader<'_> {
    async fn read_trailers(&mut self) -> Result<(), Gone> {
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(());
            }
            let (name, value) = line.split_once(": ").ok_or(Gone)?;
            self.trailers.push((name.to_owned(), value.to_owned()));
        }
    }

    async fn take(&mut self, limit: u64) -> Result<Bytes, Gone> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        let length = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn line(&mut self) -> Result<String, Gone> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Gone> {
        self.buffer.reserve(READ_SIZE);
        match self.half.read_buf(self.buffer).await {
            Ok(0) | Err(_) => Err(Gone),
            Ok(_) => Ok(()),
        }
    }
}

impl Sink for Writer<'_> {
    async fn informational(&mut self, status: u16) -> Result<(), Gone> {
        let link = if status == 103 {
            "link: </style.css>; rel=preload\r\n"
        } else {
            ""
        };
        self.write(format!("HTTP/1.1 {status} Interim\r\n{link}\r\n"))
            .await
    }

    async fn head(&mut self, script: &Script, length: Option<u64>) -> Result<(), Gone> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", script.status);
        for (name, value) in &script.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let bodiless = matches!(script.status, 204 | 304);
        match length.filter(|_| !script.chunked) {
            _ if bodiless => {}
            Some(length) => head += &format!("content-length: {length}\r\n"),
            None => head += "transfer-encoding: chunked\r\n",
        }
        self.chunked = !bodiless && (script.chunked || length.is_none());
        self.to_head |= bodiless;
        head += "\r\n";
        self.write(head).await
    }

    async fn data(&mut self, bytes: Bytes) -> Result<(), Gone> {
        if self.to_head || bytes.is_empty() {
            return Ok(());
        }
        if !self.chunked {
            return self.write(bytes).await;
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(&bytes);
        chunk.extend_from_slice(b"\r\n");
        self.write(chunk).await
    }

    async fn end(&mut self, trailers: &[(String, String)]) -> Result<(), Gone> {
        if self.to_head || !self.chunked {
            return Ok(());
        }
        let mut end = "0\r\n".to_owned();
        for (name, value) in trailers {
            end += &format!("{name}: {value}\r\n");
        }
        end += "\r\n";
        self.write(end).await
    }

    async fn pause(&mut self, time: Duration) -> Result<(), Gone> {
        // The reading side sees the client go.
        tokio::time::sleep(time).await;
        Ok(())
    }
}

impl Writer<'_> {
    async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Gone> {
        self.half.write_all(bytes.as_ref()).await.map_err(|_| Gone)
    }
}

/// The next request's head and how its body is framed; `None` at the end of the connection, or
/// when what came is no request.
async fn read_head(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<(Request, Framing)> {
    loop {
        if let Some(length) = head_length(buffer)? {
            let bytes = buffer.split_to(length);
            return parse(&bytes);
        }
        buffer.reserve(READ_SIZE);
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

#[expect(clippy::option_option, reason = "no head yet is not no head ever")]
fn head_length(buffer: &[u8]) -> Option<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::Request::new(&mut fields).parse(buffer).ok()? {
        httparse::Status::Complete(length) => Some(Some(length)),
        httparse::Status::Partial => Some(None),
    }
}

fn parse(bytes: &[u8]) -> Option<(Request, Framing)> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    parsed.parse(bytes).ok()?;
    let mut framing = Framing::Done;
    for field in parsed.headers.iter() {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::ChunkSize;
        } else if field.name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(std::str::from_utf8(field.value).ok()?.parse().ok()?);
        }
    }
    let request = Request {
        method: parsed.method?.to_owned(),
        target: parsed.path?.to_owned(),
        head: String::from_utf8_lossy(bytes).into_owned(),
    };
    Some((request, framing))
}

const READ_SIZE: usize = 64 * 1024;
const MAX_FIELDS: usize = 256;
/// How long a connection with unread bytes is kept after its answer.
const LINGER: Duration = Duration::from_secs(5);
