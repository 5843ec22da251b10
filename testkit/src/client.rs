//! Clients that hide nothing: 1xx, trailers, chunk by chunk, and whether an end was clean, cut or a
//! reset. Every wait has a deadline.

mod h1;
mod h2;
mod raw;

pub use self::h1::{H1, H1Reader, H1Writer};
pub use self::h2::{H2, H2Receiver, H2Sender, H2Stream, get};
pub use self::raw::{Ending, RawHttp};

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::pattern::Pattern;

/// A response, whole.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// 1xx responses before it, in order.
    pub informational: Vec<Head>,
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers; empty when it had none.
    pub trailers: HeaderMap,
}

/// The head of a response, 1xx too.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
}

/// Why a client did not get what it waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// Nobody listens there.
    Refused,
    /// The deadline passed; says what was waited for.
    TimedOut(&'static str),
    /// The connection was reset (RST).
    Reset,
    /// The connection was closed (FIN) before the message was complete.
    Truncated,
    /// The stream was reset by the peer.
    StreamReset(::h2::Reason),
    /// The peer is closing the connection with GOAWAY.
    GoAway(::h2::Reason),
    /// What came is not HTTP.
    Malformed(String),
    /// Anything else.
    Io(String),
}

impl Response {
    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A trailer's value as text.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.get(name)?.to_str().ok()
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Head {
    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<::h2::Error> for ClientError {
    fn from(error: ::h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_reset() => Self::StreamReset(reason),
            Some(reason) if error.is_go_away() => Self::GoAway(reason),
            _ if error.is_io() => error
                .into_io()
                .map_or_else(|| Self::Io("unknown".to_owned()), Self::from),
            _ => Self::Malformed(error.to_string()),
        }
    }
}

/// A body that is read to its end and checked against the [`Pattern`] on the way.
pub(crate) fn check_pattern(pattern: &mut Pattern, bytes: &[u8]) -> Result<(), ClientError> {
    pattern
        .check(bytes)
        .map_err(|offset| ClientError::Malformed(format!("the body differs at byte {offset}")))
}

/// Waits no longer than `deadline`.
pub(crate) async fn within<T>(
    deadline: Duration,
    what: &'static str,
    operation: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(deadline, operation)
        .await
        .unwrap_or(Err(ClientError::TimedOut(what)))
}

/// How long clients wait for each step unless told otherwise.
pub const DEADLINE: Duration = Duration::from_secs(10);
