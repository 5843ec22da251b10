//! PURE. How long clients may keep us waiting. The defaults and their reasons are in
//! [`limits`]; a listener may be given others.

use std::time::Duration;

use crate::limits;

/// How long clients may keep us waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From a connection to its first bytes: enough of them to know its protocol.
    pub first_byte: Duration,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Without an exchange on a connection.
    pub idle: Duration,
    /// For [`limits::PROGRESS_BYTES`] more of a body of announced length, or its end.
    pub body: Duration,
    /// For [`limits::PROGRESS_BYTES`] more of a response to be taken, or its end.
    pub reader: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: limits::FIRST_BYTE,
            head: limits::HEAD_TIME,
            idle: limits::CLIENT_IDLE,
            body: limits::BODY_PROGRESS,
            reader: limits::READER_PROGRESS,
        }
    }
}

impl Deadlines {
    /// The names that [`set`](Self::set) knows.
    pub const NAMES: [&'static str; 5] = ["first-byte", "head", "idle", "body", "reader"];

    /// Sets one of them by name; `false`: there is none of that name.
    pub fn set(&mut self, name: &str, to: Duration) -> bool {
        let slot = match name {
            "first-byte" => &mut self.first_byte,
            "head" => &mut self.head,
            "idle" => &mut self.idle,
            "body" => &mut self.body,
            "reader" => &mut self.reader,
            _ => return false,
        };
        *slot = to;
        true
    }
}
