//! An answer as it passes: its head, a digest of its body, the body itself where it is to be looked
//! into and there is room, and when it came. What is kept is counted like what copies hold.

use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest};
use bytes::Bytes;
use fprs_autoscaler_client::clock;
use fprs_forward::fields;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};

use super::pipe::size;
use super::{Account, Held};

/// A body is kept up to here: above, two bodies are the same to the byte or different.
const KEPT_BYTES: usize = 1024 * 1024;

/// Records an answer.
pub struct Recorder {
    account: Arc<Account>,
    began_us: u64,
    head: Option<Head>,
    /// `None`: it is not kept.
    kept: Option<Vec<Bytes>>,
    length: u64,
    digest: digest::Context,
    whole_us: Option<u64>,
}

struct Head {
    status: u16,
    fields: HeaderMap,
    first_us: u64,
    _held: Held,
}

/// An answer that came whole.
#[derive(Debug)]
pub struct Seen {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: HeaderMap,
    /// What its body is.
    pub kind: Kind,
    /// Its body, where it was kept.
    pub body: Option<Vec<Bytes>>,
    /// Bytes of its body.
    pub length: u64,
    /// SHA-256 of its body.
    pub digest: Digest,
    /// From the request to the head, in microseconds.
    pub first_us: u64,
    /// To the end.
    pub whole_us: u64,
    _held: Option<Held>,
}

/// What can be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One JSON value.
    Json,
    /// Server-sent events.
    Events,
    /// Anything else.
    Bytes,
}

impl Kind {
    fn of(fields: &HeaderMap) -> Self {
        let value = fields.get(CONTENT_TYPE);
        let media = value.and_then(|value| value.to_str().ok()?.split(';').next());
        let media = media.unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "text/event-stream" => Self::Events,
            "application/json" => Self::Json,
            _ if media.ends_with("+json") => Self::Json,
            _ => Self::Bytes,
        }
    }
}

impl Recorder {
    /// Of the answer to a request that is sent now.
    pub fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            began_us: clock::now_us(),
            head: None,
            kept: None,
            length: 0,
            digest: digest::Context::new(&digest::SHA256),
            whole_us: None,
        }
    }

    /// The head; `whole`: nothing follows. An answer that is not a program's is not recorded.
    pub fn head(&mut self, response: &Response<()>, whole: bool) {
        let fields = response.headers();
        if fields.contains_key(fields::REASON) {
            return;
        }
        let Ok(held) = self.account.take(size(fields)) else {
            return;
        };
        self.kept = (Kind::of(fields) != Kind::Bytes).then(Vec::new);
        self.head = Some(Head {
            status: response.status().as_u16(),
            fields: fields.clone(),
            first_us: clock::now_us(),
            _held: held,
        });
        if whole {
            self.end();
        }
    }

    /// Content, and whether it is the last.
    pub fn piece(&mut self, data: &Bytes, end: bool) {
        self.data(data);
        if end {
            self.end();
        }
    }

    fn data(&mut self, data: &Bytes) {
        if self.head.is_none() {
            return;
        }
        self.length += data.len() as u64;
        self.digest.update(data);
        if let Some(kept) = &mut self.kept {
            let fits = self.length <= KEPT_BYTES as u64;
            match self.account.copy(data) {
                Ok(data) if fits => kept.push(data),
                Ok(_) | Err(_) => self.kept = None,
            }
        }
    }

    /// It is whole.
    pub fn end(&mut self) {
        self.whole_us.get_or_insert_with(clock::now_us);
    }

    /// The answer, if it was a program's and came whole.
    pub fn seen(self) -> Option<Seen> {
        let (head, whole_us) = (self.head?, self.whole_us?);
        Some(Seen {
            status: head.status,
            kind: Kind::of(&head.fields),
            fields: head.fields,
            body: self.kept,
            length: self.length,
            digest: self.digest.finish(),
            first_us: head.first_us.saturating_sub(self.began_us),
            whole_us: whole_us.saturating_sub(self.began_us),
            _held: Some(head._held),
        })
    }
}

impl Seen {
    /// The body in one piece, where it was kept.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.body.as_ref().map(|pieces| pieces.concat())
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
