//! PURE. HTTP/1.1 requests that are malformed, ambiguous or just odd, and what must come of each.
//! `{get}` and `{post}` are a request line and `host`; `{x*N}` is N times x; `HOST` is the origin's
//! name; a character up to U+00FF is one byte.

use crate::row::{CHUNKED, GET, HOST, POST, Then};
use Then::{Cut, Kept, Last, Refused};

/// One request, or several.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) rfc: &'static str,
    pub(crate) wire: &'static str,
    pub(crate) then: Then,
    /// Origins that refuse the canonical form themselves, because they support less.
    pub(crate) refused_by: &'static [&'static str],
}

const fn row(name: &'static str, rfc: &'static str, wire: &'static str, then: Then) -> Row {
    Row {
        name,
        rfc,
        wire,
        then,
        refused_by: &[],
    }
}

impl Row {
    const fn but(self, refused_by: &'static [&'static str]) -> Self {
        Self { refused_by, ..self }
    }
}

const ONE_GET: Then = Kept(&[GET]);
const ONE_POST: Then = Kept(&[POST]);
const ONE_CHUNKED: Then = Kept(&[CHUNKED]);

const LENGTHS: &[Row] = &[
    row(
        "a plain length",
        "RFC 9110 §8.6",
        "{post}content-length: 5\r\n\r\nhello",
        ONE_POST,
    ),
    row(
        "white space around a length",
        "RFC 9110 §5.5",
        "{post}content-length: \t 5 \t\r\n\r\nhello",
        ONE_POST,
    ),
    row(
        "zeros before a length",
        "RFC 9110 §8.6",
        "{post}content-length: 0005\r\n\r\nhello",
        ONE_POST,
    ),
    row(
        "a length of nothing",
        "RFC 9110 §8.6",
        "{post}content-length: 0\r\n\r\n",
        Kept(&[GET.method("POST").length("", "0")]),
    ),
    row(
        "a GET with content",
        "RFC 9110 §9.3.1",
        "{get}content-length: 5\r\n\r\nhello",
        Kept(&[GET.length("hello", "5")]),
    ),
    row(
        "a length with a plus",
        "RFC 9110 §8.6",
        "{post}content-length: +5\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length below zero",
        "RFC 9110 §8.6",
        "{post}content-length: -5\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length twice the same in a list",
        "RFC 9110 §8.6",
        "{post}content-length: 5, 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "two lengths in a list",
        "RFC 9112 §6.3",
        "{post}content-length: 5, 6\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length twice the same",
        "RFC 9110 §8.6",
        "{post}content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "two lengths",
        "RFC 9112 §6.3",
        "{post}content-length: 0\r\ncontent-length: 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "two lengths, the other way round",
        "RFC 9112 §6.3",
        "{post}content-length: 5\r\nContent-Length: 0\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length with a comma",
        "RFC 9110 §8.6",
        "{post}content-length: 5,\r\n\r\nhello",
        Refused,
    ),
    row(
        "a hexadecimal length",
        "RFC 9110 §8.6",
        "{post}content-length: 0x5\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length with a point",
        "RFC 9110 §8.6",
        "{post}content-length: 5.0\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length with an exponent",
        "RFC 9110 §8.6",
        "{post}content-length: 5e0\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length with an underscore",
        "RFC 9110 §8.6",
        "{post}content-length: 0_5\r\n\r\nhello",
        Refused,
    ),
    row(
        "a quoted length",
        "RFC 9110 §8.6",
        "{post}content-length: \"5\"\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length in two words",
        "RFC 9110 §8.6",
        "{post}content-length: 5 0\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length that overflows",
        "RFC 9110 §8.6",
        "{post}content-length: 18446744073709551621\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length of twenty digits",
        "RFC 9110 §8.6",
        "{post}content-length: 00000000000000000005\r\n\r\nhello",
        Refused,
    ),
    row(
        "an empty length",
        "RFC 9110 §8.6",
        "{post}content-length:\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length of white space",
        "RFC 9110 §8.6",
        "{post}content-length: \t \r\n\r\nhello",
        Refused,
    ),
    row(
        "a length in other digits",
        "RFC 9110 §8.6",
        "{post}content-length: \u{b2}\r\n\r\nhello",
        Refused,
    ),
    row(
        "a folded length",
        "RFC 9112 §5.2",
        "{post}content-length:\r\n 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "a length named by connection",
        "RFC 9110 §7.6.1",
        "{post}connection: content-length\r\ncontent-length: 5\r\n\r\nhello",
        ONE_POST,
    ),
    row(
        "a length with an underscore in its name",
        "RFC 3875 §4.1.18",
        "{post}content_length: 5\r\n\r\nhello",
        Refused,
    ),
];

const CODINGS: &[Row] = &[
    row(
        "chunks",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "chunks in capitals",
        "RFC 9112 §7",
        "{post}TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "white space around chunked",
        "RFC 9110 §5.5",
        "{post}transfer-encoding:\t chunked \t\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "a coding named by connection",
        "RFC 9110 §7.6.1",
        "{post}connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "length, then chunks",
        "RFC 9112 §6.3",
        "{post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunks, then length",
        "RFC 9112 §6.3",
        "{post}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunks, and a length that fits",
        "RFC 9112 §6.3",
        "{post}transfer-encoding: chunked\r\ncontent-length: 15\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunks in HTTP/1.0",
        "RFC 9112 §6.1",
        "POST /row HTTP/1.0\r\nhost: HOST\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "no coding we know",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a coding called identity",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: identity\r\ncontent-length: 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "chunked, identity",
        "RFC 9112 §6.3",
        "{post}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "identity, chunked",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "gzip, chunked",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked, gzip",
        "RFC 9112 §6.3",
        "{post}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked twice in a list",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked twice",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked and then another",
        "RFC 9112 §6.3",
        "{post}transfer-encoding: chunked\r\ntransfer-encoding: cow\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "another and then chunked",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: cow\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked with a comma behind",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: chunked,\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked with a comma before",
        "RFC 9112 §6.1",
        "{post}transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked with a parameter",
        "RFC 9112 §7",
        "{post}transfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "quoted chunked",
        "RFC 9112 §7",
        "{post}transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a vertical tab before chunked",
        "RFC 9110 §5.5",
        "{post}transfer-encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a form feed behind chunked",
        "RFC 9110 §5.5",
        "{post}transfer-encoding: chunked\u{c}\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a NUL behind chunked",
        "RFC 9110 §5.5",
        "{post}transfer-encoding: chunked\0\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a no-break space before chunked",
        "RFC 9110 §5.5",
        "{post}transfer-encoding: \u{a0}chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a folded coding",
        "RFC 9112 §5.2",
        "{post}transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a coding folded behind",
        "RFC 9112 §5.2",
        "{post}transfer-encoding: chunked\r\n , identity\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a space before the coding's colon",
        "RFC 9112 §5.1",
        "{post}transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a tab before the coding's colon",
        "RFC 9112 §5.1",
        "{post}transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a space before the coding's name",
        "RFC 9112 §2.2",
        "{post} transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a coding with an underscore in its name",
        "RFC 3875 §4.1.18",
        "{post}transfer_encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "an empty coding",
        "RFC 9112 §6.1",
        "{post}transfer-encoding:\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "an empty coding and a length",
        "RFC 9112 §6.3",
        "{post}transfer-encoding:\r\ncontent-length: 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "a coding behind a bare LF",
        "RFC 9112 §2.2",
        "{post}x-a: 1\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a coding behind a bare CR",
        "RFC 9112 §2.2",
        "{post}x-a: 1\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
];

const CHUNKS: &[Row] = &[
    row(
        "chunks of several sizes",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n1\r\nh\r\n003\r\nell\r\n1\r\no\r\n00\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "a size in capitals",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\nA\r\nhellohello\r\n0\r\n\r\n",
        Kept(&[CHUNKED.chunks("hellohello")]),
    ),
    row(
        "an extension",
        "RFC 9112 §7.1.1",
        "{post}transfer-encoding: chunked\r\n\r\n5;a=b;c=\"d;e\"\r\nhello\r\n0;f\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "white space before an extension",
        "RFC 9112 §7.1.1",
        "{post}transfer-encoding: chunked\r\n\r\n5 \t;a=b\r\nhello\r\n0\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "an extension that looks like an end",
        "RFC 9112 §7.1.1",
        "{post}transfer-encoding: chunked\r\n\r\n5;0\\r\\n\r\nhello\r\n0\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "trailers",
        "RFC 9110 §6.5",
        "{post}transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "trailers that frame, route and authenticate",
        "RFC 9110 §6.5.1",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ncontent-length: 50\r\ntransfer-encoding: x\r\nhost: x\r\nauthorization: x\r\nx-fprs-tenant: x\r\n\r\n",
        ONE_CHUNKED,
    ),
    row(
        "a size with a prefix",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size with a plus",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size below zero",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size behind a space",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size before a space",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size with an underscore",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n0_5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size that overflows",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size of many zeros",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n{0*40}5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "no size",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "only an extension",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n;a=b\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size that is no number",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\nzz\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size in two words",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n5 5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size with a bare LF",
        "RFC 9112 §2.2",
        "{post}transfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size with a bare CR",
        "RFC 9112 §2.2",
        "{post}transfer-encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "an extension with a bare LF",
        "RFC 9112 §7.1.1",
        "{post}transfer-encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "an extension with a bare CR",
        "RFC 9112 §7.1.1",
        "{post}transfer-encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "an extension with a NUL",
        "RFC 9112 §7.1.1",
        "{post}transfer-encoding: chunked\r\n\r\n5;a\0\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a huge extension",
        "RFC 9112 §7.1.1",
        "{post}transfer-encoding: chunked\r\n\r\n5;{a*4000}\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a chunk that ends with a bare LF",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a chunk without an end",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
        Refused,
    ),
    row(
        "a chunk longer than its size",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a chunk shorter than its size",
        "RFC 9112 §7.1",
        "{post}transfer-encoding: chunked\r\n\r\n6\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a trailer with a space before its colon",
        "RFC 9112 §5.1",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-a : 1\r\n\r\n",
        Refused,
    ),
    row(
        "a trailer without a colon",
        "RFC 9112 §5",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
        Refused,
    ),
    row(
        "a folded trailer",
        "RFC 9112 §5.2",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-a: 1\r\n 2\r\n\r\n",
        Refused,
    ),
    row(
        "a trailer with a bare LF",
        "RFC 9112 §2.2",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-a: 1\n\r\n\r\n",
        Refused,
    ),
    row(
        "huge trailers",
        "RFC 9110 §5.4",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-a: {a*9000}\r\n\r\n",
        Refused,
    ),
];

const LINES: &[Row] = &[
    row(
        "empty lines before the request",
        "RFC 9112 §2.2",
        "\r\n\r\n{get}\r\n",
        ONE_GET,
    ),
    row(
        "two requests at once",
        "RFC 9112 §9.3.2",
        "{get}\r\n{post}content-length: 5\r\n\r\nhello",
        Kept(&[GET, POST]),
    ),
    row(
        "three requests at once with bodies",
        "RFC 9112 §9.3.2",
        "{post}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{post}content-length: 5\r\n\r\nhello{get}x-a: 3\r\n\r\n",
        Kept(&[CHUNKED, POST, GET.x_a("3")]),
    ),
    row(
        "a request in a body",
        "RFC 9112 §6.2",
        "{post}content-length: 38\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\nend",
        Kept(&[GET
            .method("POST")
            .length("GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\nend", "38")]),
    ),
    row(
        "HTTP/1.0",
        "RFC 9112 §9.3",
        "GET /row HTTP/1.0\r\nhost: HOST\r\n\r\n",
        Last(&[GET]),
    ),
    row(
        "HTTP/1.0 that wants to go on",
        "RFC 9112 §9.3",
        "GET /row HTTP/1.0\r\nhost: HOST\r\nconnection: keep-alive\r\n\r\n",
        Last(&[GET]),
    ),
    row(
        "the last request",
        "RFC 9112 §9.6",
        "{get}connection: Close\r\n\r\n",
        Last(&[GET]),
    ),
    row(
        "the last request among options",
        "RFC 9112 §9.6",
        "{get}connection: keep-alive, close\r\n\r\n",
        Last(&[GET]),
    ),
    row(
        "a bare LF before the request",
        "RFC 9112 §2.2",
        "\n{get}\r\n",
        Refused,
    ),
    row(
        "a bare CR before the request",
        "RFC 9112 §2.2",
        "\r{get}\r\n",
        Refused,
    ),
    row(
        "a space before the request",
        "RFC 9112 §3",
        " {get}\r\n",
        Refused,
    ),
    row(
        "a request line with a bare LF",
        "RFC 9112 §2.2",
        "GET /row HTTP/1.1\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "only bare LFs",
        "RFC 9112 §2.2",
        "GET /row HTTP/1.1\nhost: HOST\n\n",
        Refused,
    ),
    row(
        "a field with a bare LF",
        "RFC 9112 §2.2",
        "{get}x-a: 1\nx-b: 2\r\n\r\n",
        Refused,
    ),
    row(
        "an end with a bare LF",
        "RFC 9112 §2.2",
        "{get}x-a: 1\r\n\nGET /smuggled HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a CR too many",
        "RFC 9112 §2.2",
        "{get}x-a: 1\r\r\n\r\n",
        Refused,
    ),
    row("HTTP/0.9", "RFC 9112 §2.3", "GET /row\r\n\r\n", Refused),
    row(
        "HTTP/1.2",
        "RFC 9112 §2.3",
        "GET /row HTTP/1.2\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "HTTP/1.10",
        "RFC 9112 §2.3",
        "GET /row HTTP/1.10\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "HTTP/01.1",
        "RFC 9112 §2.3",
        "GET /row HTTP/01.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "HTTP/2.0 in a line",
        "RFC 9112 §2.3",
        "GET /row HTTP/2.0\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "HTTP/3",
        "RFC 9112 §2.3",
        "GET /row HTTP/3\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "http in small letters",
        "RFC 9112 §2.3",
        "GET /row http/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "another protocol",
        "RFC 9112 §2.3",
        "GET /row ICAP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "two spaces before the target",
        "RFC 9112 §3",
        "GET  /row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "two spaces behind the target",
        "RFC 9112 §3",
        "GET /row  HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "tabs in the request line",
        "RFC 9112 §3",
        "GET\t/row\tHTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a space behind the version",
        "RFC 9112 §3",
        "GET /row HTTP/1.1 \r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a form feed in the request line",
        "RFC 9112 §3",
        "GET\u{c}/row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "no method",
        "RFC 9112 §3",
        "/row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a method that is no token",
        "RFC 9110 §9.1",
        "G(E)T /row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a method with a NUL",
        "RFC 9110 §9.1",
        "GET\0 /row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "no request line",
        "RFC 9112 §3",
        "host: HOST\r\nx-a: 1\r\n\r\n",
        Refused,
    ),
    row(
        "TLS",
        "RFC 8446 §5.1",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
        Refused,
    ),
    row(
        "a preface of HTTP/2 and no frame",
        "RFC 9113 §3.4",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Cut,
    ),
    row(
        "half a preface of HTTP/2",
        "RFC 9113 §3.4",
        "PRI * HTTP/2.0\r\n\r\n{get}\r\n",
        Refused,
    ),
    row(
        "a preface's method",
        "RFC 9113 §3.4",
        "PRI * HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a preface's method with a path",
        "RFC 9113 §3.4",
        "PRI /row HTTP/2.0\r\nhost: HOST\r\n\r\nSM\r\n\r\n",
        Refused,
    ),
    row(
        "a line that is too long",
        "RFC 9112 §3",
        "GET /{a*70000} HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a field that is too large",
        "RFC 9110 §5.4",
        "{get}x-a: {a*70000}\r\n\r\n",
        Refused,
    ),
    row(
        "too many fields",
        "RFC 9110 §5.4",
        "{get}{x-a: 1\r\n*200}\r\n",
        Refused,
    ),
];

const FIELDS: &[Row] = &[
    row(
        "white space around a value",
        "RFC 9110 §5.5",
        "{get}x-a: \t 1 2 \t \r\n\r\n",
        Kept(&[GET.x_a("1 2")]),
    ),
    row(
        "no white space before a value",
        "RFC 9110 §5.5",
        "{get}x-a:1\r\n\r\n",
        Kept(&[GET.x_a("1")]),
    ),
    row(
        "an empty value",
        "RFC 9110 §5.5",
        "{get}x-a:\r\n\r\n",
        ONE_GET,
    ),
    row(
        "colons and quotes in a value",
        "RFC 9110 §5.5",
        "{get}x-a: :a:\"b\\c\": d\r\n\r\n",
        Kept(&[GET.x_a(":a:\"b\\c\": d")]),
    ),
    row(
        "a value with bytes above ASCII",
        "RFC 9110 §5.5",
        "{get}x-b: caf\u{e9}\r\n\r\n",
        ONE_GET,
    ),
    row(
        "every kind of character in a name",
        "RFC 9110 §5.6.2",
        "{get}x!#$%&'*+.^`|~9-: 1\r\nX-A: 2\r\n\r\n",
        Kept(&[GET.x_a("2")]),
    ),
    row(
        "an underscore in a name",
        "RFC 9110 §5.6.2",
        "{get}x_own: 1\r\n\r\n",
        ONE_GET,
    ),
    row(
        "fields that connection names",
        "RFC 9110 §7.6.1",
        "{get}connection: x-a, close-not\r\nx-a: 1\r\n\r\n",
        ONE_GET,
    ),
    row(
        "a host that connection names",
        "RFC 9110 §7.6.1",
        "{get}connection: host\r\n\r\n",
        ONE_GET,
    ),
    row(
        "fields of one hop",
        "RFC 9110 §7.6.1",
        "{get}keep-alive: timeout=5\r\nproxy-connection: close\r\nproxy-authorization: x\r\nte: gzip\r\n\r\n",
        ONE_GET,
    ),
    row(
        "two cookies",
        "RFC 9113 §8.2.3",
        "{get}cookie: a=b\r\ncookie: c=d\r\n\r\n",
        Kept(&[GET.cookie("a=b; c=d")]),
    ),
    row(
        "a folded field",
        "RFC 9112 §5.2",
        "{get}x-a: 1\r\n 2\r\n\r\n",
        Refused,
    ),
    row(
        "a folded field with a tab",
        "RFC 9112 §5.2",
        "{get}x-a: 1\r\n\t2\r\n\r\n",
        Refused,
    ),
    row(
        "a folded first field",
        "RFC 9112 §2.2",
        "GET /row HTTP/1.1\r\n x-a: 1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a line of white space",
        "RFC 9112 §2.2",
        "{get} \r\nx-a: 1\r\n\r\n",
        Refused,
    ),
    row(
        "a space before a colon",
        "RFC 9112 §5.1",
        "{get}x-a : 1\r\n\r\n",
        Refused,
    ),
    row(
        "a tab before a colon",
        "RFC 9112 §5.1",
        "{get}x-a\t: 1\r\n\r\n",
        Refused,
    ),
    row("no name", "RFC 9112 §5", "{get}: 1\r\n\r\n", Refused),
    row("no colon", "RFC 9112 §5", "{get}x-a\r\n\r\n", Refused),
    row(
        "a space in a name",
        "RFC 9110 §5.6.2",
        "{get}x a: 1\r\n\r\n",
        Refused,
    ),
    row(
        "brackets in a name",
        "RFC 9110 §5.6.2",
        "{get}x[a]: 1\r\n\r\n",
        Refused,
    ),
    row(
        "a slash in a name",
        "RFC 9110 §5.6.2",
        "{get}x/a: 1\r\n\r\n",
        Refused,
    ),
    row(
        "a NUL in a name",
        "RFC 9110 §5.6.2",
        "{get}x\0a: 1\r\n\r\n",
        Refused,
    ),
    row(
        "a byte above ASCII in a name",
        "RFC 9110 §5.6.2",
        "{get}x\u{e9}: 1\r\n\r\n",
        Refused,
    ),
    row(
        "a CR in a name",
        "RFC 9110 §5.6.2",
        "{get}x\ra: 1\r\n\r\n",
        Refused,
    ),
    row(
        "a NUL in a value",
        "RFC 9110 §5.5",
        "{get}x-a: a\0b\r\n\r\n",
        Refused,
    ),
    row(
        "a CR in a value",
        "RFC 9110 §5.5",
        "{get}x-a: a\rb\r\n\r\n",
        Refused,
    ),
    row(
        "a control byte in a value",
        "RFC 9110 §5.5",
        "{get}x-a: a\u{1}b\r\n\r\n",
        Refused,
    ),
    row(
        "a DEL in a value",
        "RFC 9110 §5.5",
        "{get}x-a: a\u{7f}b\r\n\r\n",
        Refused,
    ),
    row(
        "an escape in a value",
        "RFC 9110 §5.5",
        "{get}x-a: \u{1b}[2J\r\n\r\n",
        Refused,
    ),
    row(
        "a forwarded address under another name",
        "RFC 3875 §4.1.18",
        "{get}x_forwarded_for: ::1\r\n\r\n",
        Refused,
    ),
    row(
        "a field of ours under another name",
        "RFC 3875 §4.1.18",
        "{get}x-fprs_tenant: a\r\n\r\n",
        Refused,
    ),
];

const HOSTS: &[Row] = &[
    row(
        "a host with a port",
        "RFC 9110 §7.2",
        "GET /row HTTP/1.1\r\nhost: HOST:8080\r\n\r\n",
        Kept(&[GET.host("HOST:8080")]),
    ),
    row(
        "a host with a dot behind",
        "RFC 3986 §3.2.2",
        "GET /row HTTP/1.1\r\nhost: HOST.\r\n\r\n",
        Kept(&[GET.host("HOST.")]),
    ),
    row(
        "white space around a host",
        "RFC 9110 §5.5",
        "GET /row HTTP/1.1\r\nHost:  \tHOST \r\n\r\n",
        ONE_GET,
    ),
    row(
        "no host",
        "RFC 9112 §3.2",
        "GET /row HTTP/1.1\r\n\r\n",
        Refused,
    ),
    row(
        "no host in HTTP/1.0",
        "RFC 9112 §3.2",
        "GET /row HTTP/1.0\r\n\r\n",
        Refused,
    ),
    row(
        "no host but an absolute target",
        "RFC 9112 §3.2.2",
        "GET http://HOST/row HTTP/1.1\r\n\r\n",
        Refused,
    ),
    row(
        "an empty host",
        "RFC 9112 §3.2",
        "GET /row HTTP/1.1\r\nhost:\r\n\r\n",
        Refused,
    ),
    row(
        "a host twice the same",
        "RFC 9112 §3.2",
        "GET /row HTTP/1.1\r\nhost: HOST\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "two hosts",
        "RFC 9112 §3.2",
        "GET /row HTTP/1.1\r\nhost: HOST\r\nHost: other\r\n\r\n",
        Refused,
    ),
    row(
        "hosts in a list",
        "RFC 9112 §3.2",
        "GET /row HTTP/1.1\r\nhost: HOST,other\r\n\r\n",
        Refused,
    ),
    row(
        "hosts in a spaced list",
        "RFC 9112 §3.2",
        "GET /row HTTP/1.1\r\nhost: HOST, HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a host with user information",
        "RFC 9110 §4.2.4",
        "GET /row HTTP/1.1\r\nhost: user@HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a host that is user information",
        "RFC 9110 §4.2.4",
        "GET /row HTTP/1.1\r\nhost: HOST@other\r\n\r\n",
        Refused,
    ),
    row(
        "a host with a path",
        "RFC 9110 §7.2",
        "GET /row HTTP/1.1\r\nhost: HOST/x\r\n\r\n",
        Refused,
    ),
    row(
        "a host with a query",
        "RFC 9110 §7.2",
        "GET /row HTTP/1.1\r\nhost: HOST?x\r\n\r\n",
        Refused,
    ),
    row(
        "a host with a fragment",
        "RFC 9110 §7.2",
        "GET /row HTTP/1.1\r\nhost: HOST#x\r\n\r\n",
        Refused,
    ),
    row(
        "a host with a scheme",
        "RFC 9110 §7.2",
        "GET /row HTTP/1.1\r\nhost: http://HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a host with a port that is none",
        "RFC 3986 §3.2.3",
        "GET /row HTTP/1.1\r\nhost: HOST:abc\r\n\r\n",
        Refused,
    ),
    row(
        "a host with an empty port",
        "RFC 3986 §3.2.3",
        "GET /row HTTP/1.1\r\nhost: HOST:\r\n\r\n",
        Refused,
    ),
    row(
        "a host with a port too large",
        "RFC 3986 §3.2.3",
        "GET /row HTTP/1.1\r\nhost: HOST:65536\r\n\r\n",
        Refused,
    ),
    row(
        "a host with a signed port",
        "RFC 3986 §3.2.3",
        "GET /row HTTP/1.1\r\nhost: HOST:+80\r\n\r\n",
        Refused,
    ),
    row(
        "a host with two ports",
        "RFC 3986 §3.2.3",
        "GET /row HTTP/1.1\r\nhost: HOST:80:80\r\n\r\n",
        Refused,
    ),
    row(
        "a percent-encoded host",
        "RFC 3986 §3.2.2",
        "GET /row HTTP/1.1\r\nhost: %68OST\r\n\r\n",
        Refused,
    ),
    row(
        "a host above ASCII",
        "RFC 3986 §3.2.2",
        "GET /row HTTP/1.1\r\nhost: h\u{f6}st\r\n\r\n",
        Refused,
    ),
    row(
        "a host with a space",
        "RFC 3986 §3.2.2",
        "GET /row HTTP/1.1\r\nhost: HOST x\r\n\r\n",
        Refused,
    ),
    row(
        "half an IP literal",
        "RFC 3986 §3.2.2",
        "GET /row HTTP/1.1\r\nhost: [::1\r\n\r\n",
        Refused,
    ),
    row(
        "a folded host",
        "RFC 9112 §5.2",
        "GET /row HTTP/1.1\r\nhost:\r\n HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a space before the host's colon",
        "RFC 9112 §5.1",
        "GET /row HTTP/1.1\r\nhost : HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a target of another host",
        "RFC 9112 §3.2.2",
        "GET http://other/row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a target of another port",
        "RFC 9112 §3.2.2",
        "GET http://HOST:81/row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a target with user information",
        "RFC 9110 §4.2.4",
        "GET http://user@HOST/row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
];

const TARGETS: &[Row] = &[
    row(
        "an absolute target",
        "RFC 9112 §3.2.2",
        "GET http://HOST/row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        ONE_GET,
    ),
    row(
        "an absolute target of the other scheme",
        "RFC 9112 §3.2.2",
        "GET HTTPS://HOST/row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        ONE_GET,
    ),
    row(
        "an absolute target without a path",
        "RFC 9112 §3.2.1",
        "GET http://HOST HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/")]),
    ),
    row(
        "an absolute target with only a query",
        "RFC 9112 §3.2.1",
        "GET http://HOST?a=/b HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/?a=/b")]),
    ),
    row(
        "OPTIONS of the server",
        "RFC 9112 §3.2.4",
        "OPTIONS * HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.method("OPTIONS").target("*")]),
    )
    .but(&["nginx"]),
    row(
        "OPTIONS of the server by its URI",
        "RFC 9112 §3.2.4",
        "OPTIONS http://HOST HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.method("OPTIONS").target("*")]),
    )
    .but(&["nginx"]),
    row(
        "dots in a path",
        "RFC 3986 §6.2.2.3",
        "GET /a/./b/../c HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/a/./b/../c")]),
    ),
    row(
        "dots that leave the root",
        "RFC 3986 §5.2.4",
        "GET /../../x HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/../../x")]),
    )
    .but(&["nginx"]),
    row(
        "slashes in a row",
        "RFC 3986 §3.3",
        "GET //other//x HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("//other//x")]),
    ),
    row(
        "an encoded slash",
        "RFC 3986 §2.2",
        "GET /a%2fb%2Fc HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/a%2fb%2Fc")]),
    ),
    row(
        "encoded dots",
        "RFC 3986 §6.2.2.2",
        "GET /a/%2e%2e/b HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/a/%2e%2e/b")]),
    ),
    row(
        "an encoded NUL",
        "RFC 3986 §2.1",
        "GET /a%00b HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/a%00b")]),
    )
    .but(&["nginx"]),
    row(
        "an encoded line end",
        "RFC 3986 §2.1",
        "GET /a?b=%0d%0aGET%20/smuggled HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/a?b=%0d%0aGET%20/smuggled")]),
    ),
    row(
        "two question marks",
        "RFC 3986 §3.4",
        "GET /a?b?c=/d HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/a?b?c=/d")]),
    ),
    row(
        "a semicolon and an at sign",
        "RFC 3986 §3.3",
        "GET /a;b=1/@c:d HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.target("/a;b=1/@c:d")]),
    ),
    row(
        "a relative target",
        "RFC 9112 §3.2",
        "GET row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "an authority for a target",
        "RFC 9112 §3.2.3",
        "GET HOST:80 HTTP/1.1\r\nhost: HOST:80\r\n\r\n",
        Refused,
    ),
    row(
        "an asterisk for another method",
        "RFC 9112 §3.2.4",
        "GET * HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "only a query",
        "RFC 9112 §3.2.1",
        "GET ?a=b HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "an empty target",
        "RFC 9112 §3.2",
        "GET  HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a target of another scheme",
        "RFC 9110 §4.2",
        "GET ftp://HOST/row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a target that is a file",
        "RFC 9110 §4.2",
        "GET file:///etc/passwd HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a fragment",
        "RFC 9112 §3.2",
        "GET /row#x HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a space in a target",
        "RFC 9112 §3.2",
        "GET /a b HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a tab in a target",
        "RFC 9112 §3.2",
        "GET /a\tb HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a NUL in a target",
        "RFC 9112 §3.2",
        "GET /a\0b HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a DEL in a target",
        "RFC 9112 §3.2",
        "GET /a\u{7f}b HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a bare CR in a target",
        "RFC 9112 §2.2",
        "GET /a\rb HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
    row(
        "a byte above ASCII in a target",
        "RFC 3986 §2",
        "GET /caf\u{e9} HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
];

const OTHERS: &[Row] = &[
    row(
        "HEAD",
        "RFC 9110 §9.3.2",
        "HEAD /row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Kept(&[GET.method("HEAD")]),
    ),
    row(
        "a body that is waited for",
        "RFC 9110 §10.1.1",
        "{post}expect: 100-Continue\r\ncontent-length: 5\r\n\r\nhello",
        ONE_POST,
    ),
    row(
        "HTTP/1.0 with an expectation",
        "RFC 9110 §10.1.1",
        "POST /row HTTP/1.0\r\nhost: HOST\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
        Last(&[POST]),
    ),
    row(
        "another expectation",
        "RFC 9110 §10.1.1",
        "{post}expect: 200-ok\r\ncontent-length: 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "two expectations",
        "RFC 9110 §10.1.1",
        "{post}expect: 100-continue, x=y\r\ncontent-length: 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "an expectation twice",
        "RFC 9110 §10.1.1",
        "{post}expect: 100-continue\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "an upgrade to h2c",
        "RFC 9113 §3.1",
        "{get}connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        ONE_GET,
    ),
    row(
        "an upgrade nobody named",
        "RFC 9110 §7.8",
        "{get}upgrade: websocket\r\n\r\n",
        ONE_GET,
    ),
    row(
        "an upgrade to something else",
        "RFC 9110 §7.8",
        "{get}connection: upgrade\r\nupgrade: TLS/1.0\r\n\r\n",
        ONE_GET,
    ),
    row(
        "a websocket without a key",
        "RFC 6455 §4.2.1",
        "{get}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n",
        Refused,
    ),
    row(
        "a websocket without a version",
        "RFC 6455 §4.2.1",
        "{get}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        Refused,
    ),
    row(
        "a websocket of another version",
        "RFC 6455 §4.4",
        "{get}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 8\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        Refused,
    ),
    row(
        "a websocket with a short key",
        "RFC 6455 §4.2.1",
        "{get}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: abc\r\n\r\n",
        Refused,
    ),
    row(
        "a websocket with two keys",
        "RFC 6455 §4.2.1",
        "{get}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        Refused,
    ),
    row(
        "a websocket by POST",
        "RFC 6455 §4.2.1",
        "{post}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        Refused,
    ),
    row(
        "a websocket with a body",
        "RFC 6455 §4.1",
        "{get}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\ncontent-length: 5\r\n\r\nhello",
        Refused,
    ),
    row(
        "CONNECT",
        "RFC 9110 §9.3.6",
        "CONNECT HOST:80 HTTP/1.1\r\nhost: HOST:80\r\n\r\n",
        Refused,
    ),
    row(
        "CONNECT with a path",
        "RFC 9110 §9.3.6",
        "CONNECT /row HTTP/1.1\r\nhost: HOST\r\n\r\n",
        Refused,
    ),
];

/// A row's bytes for the origin of that host name.
pub(crate) fn bytes(wire: &str, host: &str) -> Vec<u8> {
    let wire = wire
        .replace("{get}", "GET /row HTTP/1.1\r\nhost: HOST\r\n")
        .replace("{post}", "POST /row HTTP/1.1\r\nhost: HOST\r\n");
    let mut text = String::new();
    let mut rest = &*wire;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, behind) = after.split_once('}').unwrap();
        let (piece, times) = inside.rsplit_once('*').unwrap();
        text += before;
        text += &piece.repeat(times.parse().unwrap());
        rest = behind;
    }
    text += rest;
    text.replace(HOST, host)
        .chars()
        .map(|character| u8::try_from(u32::from(character)).unwrap())
        .collect()
}

/// The rows, by idea.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    [
        LENGTHS, CODINGS, CHUNKS, LINES, FIELDS, HOSTS, TARGETS, OTHERS,
    ]
    .into_iter()
    .flatten()
}
