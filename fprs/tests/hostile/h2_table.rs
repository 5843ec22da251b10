//! PURE. HTTP/2 requests that are malformed, ambiguous or just odd, and what must come of each. Values
//! are written as in the table of HTTP/1.1.

use crate::row::{CHUNKED, GET, POST, Then};
use Then::{Cut, Dropped, Kept, Refused};

/// One request on stream 1, or what looks like one.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) rfc: &'static str,
    pub(crate) frames: &'static [Frame],
    pub(crate) then: Then,
    /// Origins that refuse the canonical form themselves, because they support less.
    pub(crate) refused_by: &'static [&'static str],
}

type Field = (&'static str, &'static str);

/// What is sent, on stream 1 unless it says otherwise.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Fields, and more follows.
    Open(&'static [Field]),
    /// Fields, and nothing follows: a whole request, or trailers.
    Whole(&'static [Field]),
    /// Content, and more follows.
    Data(&'static str),
    /// Content, and nothing follows.
    Last(&'static str),
    /// Kind, flags, stream, payload.
    Raw(u8, u8, u32, &'static [u8]),
}
use Frame::{Data, Last, Open, Raw, Whole};

const fn row(name: &'static str, rfc: &'static str, frames: &'static [Frame], then: Then) -> Row {
    Row {
        name,
        rfc,
        frames,
        then,
        refused_by: &[],
    }
}

const M: Field = (":method", "GET");
const POSTED: Field = (":method", "POST");
const S: Field = (":scheme", "http");
const A: Field = (":authority", "HOST");
const P: Field = (":path", "/row");
const FIVE: Field = ("content-length", "5");

const ONE_GET: Then = Kept(&[GET]);
const ONE_POST: Then = Kept(&[POST]);
const ONE_CHUNKED: Then = Kept(&[CHUNKED]);

/// The rows, by idea.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    [PSEUDO, TARGETS, FIELDS, BODIES, FRAMES]
        .into_iter()
        .flatten()
}

const PSEUDO: &[Row] = &[
    row(
        "a plain request",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, P])],
        ONE_GET,
    ),
    row(
        "the other scheme",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, (":scheme", "https"), A, P])],
        ONE_GET,
    ),
    row(
        "another order",
        "RFC 9113 §8.3",
        &[Whole(&[P, A, S, M])],
        ONE_GET,
    ),
    row(
        "a host beside the authority",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, P, ("host", "HOST")])],
        ONE_GET,
    ),
    row(
        "a host instead of the authority",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, P, ("host", "HOST")])],
        ONE_GET,
    ),
    row(
        "no authority and no host",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, P])],
        Refused,
    ),
    row(
        "another host than the authority",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, P, ("host", "other")])],
        Refused,
    ),
    row(
        "two hosts",
        "RFC 9110 §7.2",
        &[Whole(&[M, S, A, P, ("host", "HOST"), ("host", "HOST")])],
        Refused,
    ),
    row(
        "an empty host",
        "RFC 9110 §7.2",
        &[Whole(&[M, S, P, ("host", "")])],
        Refused,
    ),
    row(
        "user information",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, (":authority", "user@HOST"), P])],
        Refused,
    ),
    row(
        "user information in the host",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, P, ("host", "user@HOST")])],
        Refused,
    ),
    row(
        "an empty authority",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, (":authority", ""), P])],
        Refused,
    ),
    row(
        "authorities in a list",
        "RFC 9110 §7.2",
        &[Whole(&[M, S, (":authority", "HOST,other"), P])],
        Refused,
    ),
    row(
        "an authority with a path",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, (":authority", "HOST/x"), P])],
        Refused,
    ),
    row(
        "an authority with a port that is none",
        "RFC 3986 §3.2.3",
        &[Whole(&[M, S, (":authority", "HOST:x"), P])],
        Refused,
    ),
    row(
        "an authority with an empty port",
        "RFC 3986 §3.2.3",
        &[Whole(&[M, S, (":authority", "HOST:"), P])],
        Refused,
    ),
    row(
        "a percent-encoded authority",
        "RFC 3986 §3.2.2",
        &[Whole(&[M, S, (":authority", "%68OST"), P])],
        Refused,
    ),
    row(
        "no method",
        "RFC 9113 §8.3.1",
        &[Whole(&[S, A, P])],
        Refused,
    ),
    row(
        "no scheme",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, A, P])],
        Refused,
    ),
    row("no path", "RFC 9113 §8.3.1", &[Whole(&[M, S, A])], Refused),
    row(
        "a method twice",
        "RFC 9113 §8.3",
        &[Whole(&[M, M, S, A, P])],
        Refused,
    ),
    row(
        "a path twice",
        "RFC 9113 §8.3",
        &[Whole(&[M, S, A, P, P])],
        Refused,
    ),
    row(
        "an authority twice",
        "RFC 9113 §8.3",
        &[Whole(&[M, S, A, A, P])],
        Refused,
    ),
    row(
        "a scheme twice",
        "RFC 9113 §8.3",
        &[Whole(&[M, S, S, A, P])],
        Refused,
    ),
    row(
        "a pseudo field after a field",
        "RFC 9113 §8.3",
        &[Whole(&[M, S, A, ("x-a", "1"), P])],
        Refused,
    ),
    row(
        "a pseudo field of responses",
        "RFC 9113 §8.3",
        &[Whole(&[M, S, A, P, (":status", "200")])],
        Refused,
    ),
    row(
        "an unknown pseudo field",
        "RFC 9113 §8.3",
        &[Whole(&[M, S, A, P, (":unknown", "1")])],
        Refused,
    ),
    row(
        "a scheme that is neither",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, (":scheme", "ftp"), A, P])],
        Refused,
    ),
    row(
        "a scheme with a line end",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, (":scheme", "http\r\nx: y"), A, P])],
        Refused,
    ),
    row(
        "a method that is no token",
        "RFC 9110 §9.1",
        &[Whole(&[(":method", "G ET"), S, A, P])],
        Refused,
    ),
    row(
        "a method with a line end",
        "RFC 9113 §8.2.1",
        &[Whole(&[(":method", "GET / HTTP/1.1\r\nx: y"), S, A, P])],
        Refused,
    ),
    row(
        "an empty method",
        "RFC 9110 §9.1",
        &[Whole(&[(":method", ""), S, A, P])],
        Refused,
    ),
    row(
        "CONNECT",
        "RFC 9113 §8.5",
        &[Whole(&[(":method", "CONNECT"), (":authority", "HOST:80")])],
        Refused,
    ),
    row(
        "CONNECT with scheme and path",
        "RFC 9113 §8.5",
        &[Whole(&[(":method", "CONNECT"), S, A, P])],
        Refused,
    ),
    row(
        "CONNECT of an unknown protocol",
        "RFC 8441 §4",
        &[Whole(&[
            (":method", "CONNECT"),
            (":protocol", "x"),
            S,
            A,
            P,
        ])],
        Refused,
    ),
    row(
        "a protocol without CONNECT",
        "RFC 8441 §4",
        &[Whole(&[M, (":protocol", "websocket"), S, A, P])],
        Refused,
    ),
];

const TARGETS: &[Row] = &[
    row(
        "dots in a path",
        "RFC 3986 §6.2.2.3",
        &[Whole(&[M, S, A, (":path", "/a/./b/../c")])],
        Kept(&[GET.target("/a/./b/../c")]),
    ),
    row(
        "slashes in a row",
        "RFC 3986 §3.3",
        &[Whole(&[M, S, A, (":path", "//other//x")])],
        Kept(&[GET.target("//other//x")]),
    ),
    row(
        "encoded slashes and dots",
        "RFC 3986 §2.2",
        &[Whole(&[M, S, A, (":path", "/a%2fb/%2e%2e/c")])],
        Kept(&[GET.target("/a%2fb/%2e%2e/c")]),
    ),
    row(
        "two question marks",
        "RFC 3986 §3.4",
        &[Whole(&[M, S, A, (":path", "/a?b?c=/d")])],
        Kept(&[GET.target("/a?b?c=/d")]),
    ),
    // Dropped, as whoever sends it should have.
    row(
        "a fragment",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, (":path", "/row#x")])],
        ONE_GET,
    ),
    Row {
        refused_by: &["nginx"],
        ..row(
            "OPTIONS of the server",
            "RFC 9113 §8.3.1",
            &[Whole(&[(":method", "OPTIONS"), S, A, (":path", "*")])],
            Kept(&[GET.method("OPTIONS").target("*")]),
        )
    },
    row(
        "an asterisk for another method",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, (":path", "*")])],
        Refused,
    ),
    row(
        "an empty path",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, (":path", "")])],
        Refused,
    ),
    row(
        "a path without a slash",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, (":path", "row")])],
        Refused,
    ),
    row(
        "only a query",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, (":path", "?a=b")])],
        Refused,
    ),
    row(
        "an absolute path",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, (":path", "http://other/row")])],
        Refused,
    ),
    row(
        "an authority for a path",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, (":path", "@other/row")])],
        Refused,
    ),
    row(
        "a space in a path",
        "RFC 9113 §8.3.1",
        &[Whole(&[M, S, A, (":path", "/a HTTP/1.1")])],
        Refused,
    ),
    row(
        "a line end in a path",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, (":path", "/ HTTP/1.1\r\nx: y")])],
        Refused,
    ),
    row(
        "a NUL in a path",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, (":path", "/a\0b")])],
        Refused,
    ),
    row(
        "a DEL in a path",
        "RFC 3986 §2",
        &[Whole(&[M, S, A, (":path", "/a\u{7f}b")])],
        Refused,
    ),
    row(
        "a byte above ASCII in a path",
        "RFC 3986 §2",
        &[Whole(&[M, S, A, (":path", "/\u{c3}\u{a9}")])],
        Refused,
    ),
];

const FIELDS: &[Row] = &[
    row(
        "a field",
        "RFC 9113 §8.2",
        &[Whole(&[M, S, A, P, ("x-a", "1 2")])],
        Kept(&[GET.x_a("1 2")]),
    ),
    row(
        "an empty value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", "")])],
        ONE_GET,
    ),
    row(
        "cookies in crumbs",
        "RFC 9113 §8.2.3",
        &[Whole(&[
            M,
            S,
            A,
            P,
            ("cookie", "a=b"),
            ("x-a", "1"),
            ("cookie", "c=d"),
            ("cookie", "e=f"),
        ])],
        Kept(&[GET.cookie("a=b; c=d; e=f").x_a("1")]),
    ),
    row(
        "te: trailers",
        "RFC 9113 §8.2.2",
        &[Whole(&[M, S, A, P, ("te", "trailers")])],
        ONE_GET,
    ),
    row(
        "fields of ours",
        "RFC 9110 §7.6",
        &[Whole(&[
            M,
            S,
            A,
            P,
            ("x-fprs-replica", "x"),
            ("x-fprs-tenant", "x"),
        ])],
        ONE_GET,
    ),
    row(
        "another te",
        "RFC 9113 §8.2.2",
        &[Whole(&[M, S, A, P, ("te", "gzip")])],
        Refused,
    ),
    row(
        "connection",
        "RFC 9113 §8.2.2",
        &[Whole(&[M, S, A, P, ("connection", "x-a"), ("x-a", "1")])],
        Refused,
    ),
    row(
        "keep-alive",
        "RFC 9113 §8.2.2",
        &[Whole(&[M, S, A, P, ("keep-alive", "timeout=5")])],
        Refused,
    ),
    row(
        "proxy-connection",
        "RFC 9113 §8.2.2",
        &[Whole(&[M, S, A, P, ("proxy-connection", "close")])],
        Refused,
    ),
    row(
        "transfer-encoding",
        "RFC 9113 §8.2.2",
        &[
            Open(&[POSTED, S, A, P, ("transfer-encoding", "chunked")]),
            Last("0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: HOST\r\n\r\n"),
        ],
        Refused,
    ),
    row(
        "upgrade",
        "RFC 9113 §8.2.2",
        &[Whole(&[M, S, A, P, ("upgrade", "websocket")])],
        Refused,
    ),
    row(
        "a name in capitals",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("X-A", "1")])],
        Refused,
    ),
    row(
        "a name with a space",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x a", "1")])],
        Refused,
    ),
    row(
        "a name with a colon",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x:a", "1")])],
        Refused,
    ),
    row(
        "a name with a line end",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a: 1\r\nx-b", "1")])],
        Refused,
    ),
    row(
        "a name above ASCII",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x\u{e9}", "1")])],
        Refused,
    ),
    row(
        "an empty name",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("", "1")])],
        Refused,
    ),
    row(
        "a line end in a value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", "a\r\nx-b: 1")])],
        Refused,
    ),
    row(
        "a CR in a value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", "a\rb")])],
        Refused,
    ),
    row(
        "an LF in a value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", "a\nb")])],
        Refused,
    ),
    row(
        "a NUL in a value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", "a\0b")])],
        Refused,
    ),
    row(
        "a DEL in a value",
        "RFC 9110 §5.5",
        &[Whole(&[M, S, A, P, ("x-a", "a\u{7f}b")])],
        Refused,
    ),
    row(
        "a space before a value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", " 1")])],
        Refused,
    ),
    row(
        "a space behind a value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", "1 ")])],
        Refused,
    ),
    row(
        "a tab before a value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", "\t1")])],
        Refused,
    ),
    row(
        "a tab behind a value",
        "RFC 9113 §8.2.1",
        &[Whole(&[M, S, A, P, ("x-a", "1\t")])],
        Refused,
    ),
    row(
        "a length under another name",
        "RFC 3875 §4.1.18",
        &[Whole(&[M, S, A, P, ("content_length", "5")])],
        Refused,
    ),
    row(
        "a coding under another name",
        "RFC 3875 §4.1.18",
        &[Whole(&[M, S, A, P, ("transfer_encoding", "chunked")])],
        Refused,
    ),
    row(
        "a forwarded address under another name",
        "RFC 3875 §4.1.18",
        &[Whole(&[M, S, A, P, ("x_forwarded_for", "::1")])],
        Refused,
    ),
    row(
        "another expectation",
        "RFC 9110 §10.1.1",
        &[Whole(&[M, S, A, P, ("expect", "200-ok")])],
        Refused,
    ),
    // More CONTINUATION frames than the h2 crate reads.
    row(
        "fields that are too large",
        "RFC 9113 §10.5.1",
        &[Whole(&[
            M,
            S,
            A,
            P,
            ("x-a", "{a*70000}"),
            ("x-b", "{a*70000}"),
        ])],
        Cut,
    ),
    row(
        "fields that are far too large",
        "RFC 9113 §10.5.1",
        &[Whole(&[
            M,
            S,
            A,
            P,
            ("x-a", "{a*300000}"),
            ("x-b", "{a*300000}"),
        ])],
        Cut,
    ),
];

const BODIES: &[Row] = &[
    row(
        "content without a length",
        "RFC 9113 §8.1",
        &[Open(&[POSTED, S, A, P]), Last("hello")],
        ONE_CHUNKED,
    ),
    row(
        "content of its length",
        "RFC 9113 §8.1.1",
        &[
            Open(&[POSTED, S, A, P, FIVE]),
            Data("he"),
            Data("llo"),
            Last(""),
        ],
        ONE_POST,
    ),
    row(
        "zeros before a length",
        "RFC 9110 §8.6",
        &[
            Open(&[POSTED, S, A, P, ("content-length", "0005")]),
            Last("hello"),
        ],
        ONE_POST,
    ),
    row(
        "content that looks like chunks",
        "RFC 9113 §8.1",
        &[Open(&[POSTED, S, A, P, FIVE]), Last("0\r\n\r\n")],
        Kept(&[POST.length("0\r\n\r\n", "5")]),
    ),
    row(
        "trailers",
        "RFC 9113 §8.1",
        &[
            Open(&[POSTED, S, A, P]),
            Data("hello"),
            Whole(&[("x-sum", "1")]),
        ],
        ONE_CHUNKED,
    ),
    row(
        "trailers that frame, route and authenticate",
        "RFC 9110 §6.5.1",
        &[
            Open(&[POSTED, S, A, P]),
            Data("hello"),
            Whole(&[
                ("host", "other"),
                ("authorization", "x"),
                ("content-length", "50"),
                ("x-fprs-tenant", "x"),
            ]),
        ],
        ONE_CHUNKED,
    ),
    row(
        "a length without content",
        "RFC 9113 §8.1.1",
        &[Whole(&[POSTED, S, A, P, FIVE])],
        Refused,
    ),
    row(
        "less content than its length",
        "RFC 9113 §8.1.1",
        &[Open(&[POSTED, S, A, P, FIVE]), Last("hell")],
        Refused,
    ),
    row(
        "more content than its length",
        "RFC 9113 §8.1.1",
        &[Open(&[POSTED, S, A, P, FIVE]), Last("hello!")],
        Refused,
    ),
    row(
        "content and then trailers, and less than its length",
        "RFC 9113 §8.1.1",
        &[
            Open(&[POSTED, S, A, P, FIVE]),
            Data("hell"),
            Whole(&[("x-sum", "1")]),
        ],
        Refused,
    ),
    row(
        "two lengths",
        "RFC 9110 §8.6",
        &[
            Open(&[POSTED, S, A, P, FIVE, ("content-length", "6")]),
            Last("hello"),
        ],
        Refused,
    ),
    row(
        "a length twice",
        "RFC 9110 §8.6",
        &[Open(&[POSTED, S, A, P, FIVE, FIVE]), Last("hello")],
        Refused,
    ),
    row(
        "a length with a plus",
        "RFC 9110 §8.6",
        &[
            Open(&[POSTED, S, A, P, ("content-length", "+5")]),
            Last("hello"),
        ],
        Refused,
    ),
    row(
        "lengths in a list",
        "RFC 9110 §8.6",
        &[
            Open(&[POSTED, S, A, P, ("content-length", "5, 5")]),
            Last("hello"),
        ],
        Refused,
    ),
    row(
        "a length below zero",
        "RFC 9110 §8.6",
        &[
            Open(&[POSTED, S, A, P, ("content-length", "-1")]),
            Last("hello"),
        ],
        Refused,
    ),
    row(
        "a length that overflows",
        "RFC 9110 §8.6",
        &[
            Open(&[POSTED, S, A, P, ("content-length", "18446744073709551621")]),
            Last("hello"),
        ],
        Refused,
    ),
    row(
        "an empty length",
        "RFC 9110 §8.6",
        &[
            Open(&[POSTED, S, A, P, ("content-length", "")]),
            Last("hello"),
        ],
        Refused,
    ),
    row(
        "trailers with a pseudo field",
        "RFC 9113 §8.1",
        &[
            Open(&[POSTED, S, A, P]),
            Data("hello"),
            Whole(&[(":path", "/other")]),
        ],
        Refused,
    ),
    row(
        "trailers with connection",
        "RFC 9113 §8.2.2",
        &[
            Open(&[POSTED, S, A, P]),
            Data("hello"),
            Whole(&[("connection", "close")]),
        ],
        Refused,
    ),
    row(
        "trailers that don't end",
        "RFC 9113 §8.1",
        &[
            Open(&[POSTED, S, A, P]),
            Data("hello"),
            Open(&[("x-sum", "1")]),
        ],
        Refused,
    ),
];

const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const FRAMES: &[Row] = &[
    row(
        "a frame of an unknown kind",
        "RFC 9113 §4.1",
        &[
            Raw(0xfa, 0xff, 1, b"x"),
            Raw(0xfa, 0xff, 0, b"x"),
            Whole(&[M, S, A, P]),
        ],
        ONE_GET,
    ),
    row(
        "an unknown setting",
        "RFC 9113 §6.5.2",
        &[
            Raw(SETTINGS, 0, 0, &[0xf0, 0, 0, 0, 0, 1]),
            Whole(&[M, S, A, P]),
        ],
        ONE_GET,
    ),
    row(
        "priorities in a circle",
        "RFC 9113 §5.3.2",
        &[
            Raw(2, 0, 3, &[0, 0, 0, 5, 1]),
            Raw(2, 0, 5, &[0, 0, 0, 3, 1]),
            Whole(&[M, S, A, P]),
        ],
        ONE_GET,
    ),
    row(
        "padded content",
        "RFC 9113 §6.1",
        &[Open(&[POSTED, S, A, P]), Raw(0, 9, 1, b"\x03hello\0\0\0")],
        ONE_CHUNKED,
    ),
    row(
        "a request that is reset",
        "RFC 9113 §6.4",
        &[
            Open(&[POSTED, S, A, P]),
            Data("hel"),
            Raw(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        ],
        Dropped,
    ),
    row(
        "a stream that gets no window",
        "RFC 9113 §6.9",
        &[
            Open(&[POSTED, S, A, P]),
            Raw(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 0]),
        ],
        Refused,
    ),
    row(
        "padding longer than its frame",
        "RFC 9113 §6.1",
        &[Open(&[POSTED, S, A, P]), Raw(0, 9, 1, b"\x09hello")],
        Cut,
    ),
    row(
        "content of no stream",
        "RFC 9113 §6.1",
        &[Raw(0, 1, 0, b"hello")],
        Cut,
    ),
    row(
        "content of a stream that isn't open",
        "RFC 9113 §5.1",
        &[Raw(0, 1, 1, b"hello")],
        Cut,
    ),
    row(
        "a reset of a stream that isn't open",
        "RFC 9113 §6.4",
        &[Raw(RST_STREAM, 0, 1, &[0, 0, 0, 8])],
        Cut,
    ),
    row(
        "an even stream",
        "RFC 9113 §5.1.1",
        &[Raw(1, 5, 2, &[0x82])],
        Cut,
    ),
    row(
        "a push",
        "RFC 9113 §8.4",
        &[Open(&[POSTED, S, A, P]), Raw(5, 4, 1, &[0, 0, 0, 2, 0x82])],
        Cut,
    ),
    row(
        "a continuation of nothing",
        "RFC 9113 §6.10",
        &[Raw(CONTINUATION, 4, 1, &[0x82])],
        Cut,
    ),
    row(
        "fields interrupted by content",
        "RFC 9113 §6.10",
        &[Raw(1, 0, 1, &[0x82]), Raw(0, 1, 1, b"hello")],
        Cut,
    ),
    row(
        "fields interrupted by another stream",
        "RFC 9113 §6.10",
        &[Raw(1, 0, 1, &[0x82]), Raw(1, 5, 3, &[0x82])],
        Cut,
    ),
    row(
        "an index of nothing",
        "RFC 7541 §6.1",
        &[Raw(1, 5, 1, &[0x80])],
        Cut,
    ),
    row(
        "an index beyond the table",
        "RFC 7541 §2.3.3",
        &[Raw(1, 5, 1, &[0xfe])],
        Cut,
    ),
    row(
        "an integer without end",
        "RFC 7541 §5.1",
        &[Raw(
            1,
            5,
            1,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        )],
        Cut,
    ),
    row(
        "a string longer than its block",
        "RFC 7541 §5.2",
        &[Raw(1, 5, 1, &[0, 0x0a, b'x'])],
        Cut,
    ),
    row(
        "a table larger than allowed",
        "RFC 7541 §4.2",
        &[Raw(1, 5, 1, &[0x3f, 0xff, 0xff, 0x07, 0x82])],
        Cut,
    ),
    row(
        "settings of odd length",
        "RFC 9113 §6.5",
        &[Raw(SETTINGS, 0, 0, &[0, 1, 0, 0, 0])],
        Cut,
    ),
    row(
        "settings of a stream",
        "RFC 9113 §6.5",
        &[Raw(SETTINGS, 0, 1, &[])],
        Cut,
    ),
    row(
        "a ping of odd length",
        "RFC 9113 §6.7",
        &[Raw(PING, 0, 0, &[0])],
        Cut,
    ),
    row(
        "a window that overflows",
        "RFC 9113 §6.9.1",
        &[
            Raw(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            Raw(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ],
        Cut,
    ),
    row(
        "no window for the connection",
        "RFC 9113 §6.9",
        &[Raw(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0])],
        Cut,
    ),
];
