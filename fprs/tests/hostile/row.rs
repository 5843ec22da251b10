//! PURE. What a row of a table is: bytes or frames, the line of an RFC they are about, and what must
//! come of them.

use serde_json::{Value, json};

/// What must come of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Answered 400-class by fprs, and the connection (HTTP/2: the stream) ended; no origin sees it.
    Refused,
    /// Ended without an answer; no origin sees it. HTTP/2: the whole connection.
    Cut,
    /// Nobody answers it and no origin sees it; the connection serves on.
    Dropped,
    /// Read by every origin as exactly these requests, and the connection serves on.
    Kept(&'static [Seen]),
    /// The same, and the connection ends after it.
    Last(&'static [Seen]),
}

/// A request in its one form, as an origin is to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    method: &'static str,
    target: &'static str,
    body: &'static str,
    framing: Framing,
    /// Of [`HOST`]'s form.
    host: &'static str,
    x_a: &'static str,
    cookie: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    None,
    Length(&'static str),
    Chunked,
}

/// Stands for the origin's host name wherever it occurs in a table.
pub(crate) const HOST: &str = "HOST";

/// `GET /row` without anything else.
pub(crate) const GET: Seen = Seen {
    method: "GET",
    target: "/row",
    body: "",
    framing: Framing::None,
    host: HOST,
    x_a: "",
    cookie: "",
};

/// `POST /row` with `hello` of announced length.
pub(crate) const POST: Seen = GET.method("POST").length("hello", "5");

/// `POST /row` with `hello` in chunks.
pub(crate) const CHUNKED: Seen = GET.method("POST").chunks("hello");

impl Seen {
    pub(crate) const fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(crate) const fn target(self, target: &'static str) -> Self {
        Self { target, ..self }
    }

    pub(crate) const fn length(self, body: &'static str, length: &'static str) -> Self {
        let framing = Framing::Length(length);
        Self {
            body,
            framing,
            ..self
        }
    }

    pub(crate) const fn chunks(self, body: &'static str) -> Self {
        let framing = Framing::Chunked;
        Self {
            body,
            framing,
            ..self
        }
    }

    pub(crate) const fn host(self, host: &'static str) -> Self {
        Self { host, ..self }
    }

    pub(crate) const fn x_a(self, x_a: &'static str) -> Self {
        Self { x_a, ..self }
    }

    pub(crate) const fn cookie(self, cookie: &'static str) -> Self {
        Self { cookie, ..self }
    }

    /// What must come of a row's requests at the origins.
    pub(crate) const fn of(then: Then) -> &'static [Self] {
        match then {
            Then::Kept(seen) | Then::Last(seen) => seen,
            Then::Refused | Then::Cut | Then::Dropped => &[],
        }
    }

    /// A response to it has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// What an origin of that host name notes of it.
    pub(crate) fn noted(&self, host: &str) -> Value {
        let (length, coding) = match self.framing {
            Framing::None => ("", ""),
            Framing::Length(length) => (length, ""),
            Framing::Chunked => ("", "chunked"),
        };
        json!({
            "method": self.method,
            "target": self.target,
            "host": self.host.replace(HOST, host),
            "body": self.body,
            "x-a": self.x_a,
            "cookie": self.cookie,
            "content-length": length,
            "transfer-encoding": coding,
        })
    }
}

/// What an origin notes of a plain GET.
pub(crate) fn plain(host: &str, target: &str) -> Value {
    let mut noted = GET.noted(host);
    noted["target"] = target.into();
    noted
}
