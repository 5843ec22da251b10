//! One exchange on a connection of its own, the same whatever the client speaks.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fprs_testkit::client::{
    ClientError, H1, H1Reader, H1Writer, H2, H2Receiver, H2Sender, Head, Response, get,
};
use h2::Reason;
use http::{HeaderMap, Method};

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    H1,
    H2,
}

/// What a client sends with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    None,
    /// So many bytes, told beforehand.
    Length(u64),
    /// Until it says that it is over.
    Stream,
}

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It closes its connection (FIN).
    Close,
    /// It resets its connection (HTTP/1.1) or its stream (HTTP/2).
    Reset,
}

pub(crate) struct Call {
    pub(crate) sender: Sender,
    pub(crate) answer: Answer,
}

pub(crate) enum Sender {
    H1 { writer: H1Writer, chunked: bool },
    H2(H2Sender),
}

pub(crate) enum Answer {
    H1(H1Reader),
    H2 {
        receiver: H2Receiver,
        _connection: H2,
    },
}

/// A wait that only a hang reaches.
const PATIENCE: Duration = Duration::from_secs(20);

impl Call {
    /// Connects and sends the head.
    pub(crate) async fn open(
        address: SocketAddr,
        speaks: Speaks,
        host: &str,
        path: &str,
        upload: Upload,
    ) -> Self {
        match speaks {
            Speaks::H1 => Self::open_h1(address, host, path, upload).await,
            Speaks::H2 => Self::open_h2(address, host, path, upload).await,
        }
    }

    async fn open_h1(address: SocketAddr, host: &str, path: &str, upload: Upload) -> Self {
        let H1 { mut writer, reader } = H1::connect(address).await.unwrap().deadline(PATIENCE);
        let (method, framing) = match upload {
            Upload::None => ("GET", String::new()),
            Upload::Length(length) => ("POST", format!("content-length: {length}\r\n")),
            Upload::Stream => ("POST", "transfer-encoding: chunked\r\n".to_owned()),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{framing}\r\n");
        writer.send(head).await.unwrap();
        Self {
            sender: Sender::H1 {
                writer,
                chunked: upload == Upload::Stream,
            },
            answer: Answer::H1(reader),
        }
    }

    async fn open_h2(address: SocketAddr, host: &str, path: &str, upload: Upload) -> Self {
        let connection = H2::connect(address).await.unwrap().deadline(PATIENCE);
        let mut request = get(host, path);
        if upload != Upload::None {
            *request.method_mut() = Method::POST;
        }
        if let Upload::Length(length) = upload {
            request
                .headers_mut()
                .insert("content-length", length.into());
        }
        let stream = connection
            .open(request, upload == Upload::None)
            .await
            .unwrap();
        Self {
            sender: Sender::H2(stream.sender),
            answer: Answer::H2 {
                receiver: stream.receiver,
                _connection: connection,
            },
        }
    }

    /// Leaves. What is returned keeps the connection of a reset stream open.
    pub(crate) fn leave(self, how: Leaving) -> Option<Answer> {
        match (self.sender, self.answer, how) {
            (Sender::H1 { writer, .. }, Answer::H1(reader), Leaving::Reset) => {
                H1 { writer, reader }.reset();
                None
            }
            (Sender::H2(mut sender), answer @ Answer::H2 { .. }, Leaving::Reset) => {
                sender.reset(Reason::CANCEL);
                Some(answer)
            }
            // Dropped, both halves close.
            _ => None,
        }
    }
}

impl Sender {
    /// Sends a piece of the body.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        match self {
            Self::H1 {
                writer,
                chunked: true,
            } => writer.send_chunk(&bytes).await,
            Self::H1 { writer, .. } => writer.send(bytes).await,
            Self::H2(sender) => sender.send(bytes).await,
        }
    }

    /// Sends that many bytes of the pattern, of a body whose length was told.
    pub(crate) async fn send_pattern(&mut self, length: u64) -> Result<(), ClientError> {
        match self {
            Self::H1 { writer, .. } => writer.send_pattern(length).await,
            Self::H2(sender) => sender.send_pattern(length).await,
        }
    }

    /// Ends the body.
    pub(crate) async fn finish(&mut self) -> Result<(), ClientError> {
        self.finish_with(HeaderMap::new()).await
    }

    /// Ends the body with trailers; on HTTP/1.1 only a chunked one can have any.
    pub(crate) async fn finish_with(&mut self, trailers: HeaderMap) -> Result<(), ClientError> {
        match self {
            Self::H1 {
                writer,
                chunked: true,
            } => {
                let mut end = "0\r\n".to_owned();
                for (name, value) in &trailers {
                    end += &format!("{name}: {}\r\n", value.to_str().unwrap());
                }
                writer.send(end + "\r\n").await
            }
            Self::H1 { .. } => Ok(()),
            Self::H2(sender) if trailers.is_empty() => sender.finish(),
            Self::H2(sender) => sender.finish_with(trailers),
        }
    }
}

impl Answer {
    /// The final response's head.
    pub(crate) async fn head(&mut self) -> Result<Head, ClientError> {
        match self {
            Self::H1(reader) => loop {
                let head = reader.head().await?;
                if head.status >= 200 {
                    return Ok(head);
                }
            },
            Self::H2 { receiver, .. } => receiver.head().await,
        }
    }

    /// The next piece of the body; `None` at its clean end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        match self {
            Self::H1(reader) => reader.piece().await,
            Self::H2 { receiver, .. } => receiver.piece().await,
        }
    }

    /// The rest of the body, checked against the pattern; its length.
    pub(crate) async fn check_pattern(&mut self) -> Result<u64, ClientError> {
        match self {
            Self::H1(reader) => reader.check_pattern().await,
            Self::H2 { receiver, .. } => receiver.check_pattern().await,
        }
    }

    /// The response, whole.
    pub(crate) async fn response(&mut self) -> Result<Response, ClientError> {
        match self {
            Self::H1(reader) => reader.response().await,
            Self::H2 { receiver, .. } => receiver.response().await,
        }
    }
}
