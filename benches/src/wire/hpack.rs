//! PURE. Header blocks that are written once and sent many times.
//!
//! A client that repeats itself names repeated headers by their index, so the first block on a
//! connection puts them into the peer's table and all later ones are a byte a header. Nothing
//! is ever decoded here.

/// One message's header block in the forms a connection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first on a connection: inserts every header into the peer's table.
    pub first: Vec<u8>,
    /// All others on a connection that has sent `first`.
    pub next: Vec<u8>,
    /// For a peer whose table is too small: leaves the table alone.
    pub plain: Vec<u8>,
}

/// The smallest peer table, in bytes, that `first` and `next` may be used with.
pub const TABLE_NEEDED: u32 = 4096;

const STATIC_ENTRIES: usize = 61;
const METHOD_GET: u8 = 0x82;
const METHOD_POST: u8 = 0x83;
const PATH_ROOT: u8 = 0x84;
const SCHEME_HTTP: u8 = 0x86;
const STATUS_200: u8 = 0x88;
const NAME_AUTHORITY: usize = 1;
const NAME_METHOD: usize = 2;
const NAME_PATH: usize = 4;

impl Block {
    /// A request for `/`; `post` says whether a body follows.
    #[must_use]
    pub fn request(post: bool, authority: &str, headers: &[(String, String)]) -> Self {
        let method = if post { METHOD_POST } else { METHOD_GET };
        Self::build(&[method, SCHEME_HTTP, PATH_ROOT], Some(authority), headers)
    }

    /// A request that opens a WebSocket at `path` (RFC 8441 §4). Sent once on a stream, so that it
    /// leaves the peer's table alone.
    #[must_use]
    pub fn connect(authority: &str, path: &str, headers: &[(String, String)]) -> Vec<u8> {
        let mut block = vec![SCHEME_HTTP];
        for (name, value) in [
            (NAME_METHOD, "CONNECT"),
            (NAME_PATH, path),
            (NAME_AUTHORITY, authority),
        ] {
            integer(&mut block, 0, 4, name);
            text(&mut block, value);
        }
        let protocol = [(":protocol", "websocket"), ("sec-websocket-version", "13")];
        let headers = headers.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in protocol.into_iter().chain(headers) {
            block.push(0x00);
            text(&mut block, name);
            text(&mut block, value);
        }
        block
    }

    /// A `200` answer.
    #[must_use]
    pub fn ok(headers: &[(String, String)]) -> Self {
        Self::build(&[STATUS_200], None, headers)
    }

    fn build(fixed: &[u8], authority: Option<&str>, headers: &[(String, String)]) -> Self {
        let (mut first, mut next, mut plain) = (fixed.to_vec(), fixed.to_vec(), fixed.to_vec());
        let entries = headers.len() + usize::from(authority.is_some());
        if let Some(authority) = authority {
            integer(&mut first, 0x40, 6, NAME_AUTHORITY);
            text(&mut first, authority);
            integer(&mut plain, 0, 4, NAME_AUTHORITY);
            text(&mut plain, authority);
        }
        for (name, value) in headers {
            for (block, literal) in [(&mut first, 0x40), (&mut plain, 0x00)] {
                block.push(literal);
                text(block, name);
                text(block, value);
            }
        }
        // The youngest entry has the lowest index.
        for age in (0..entries).rev() {
            integer(&mut next, 0x80, 7, STATIC_ENTRIES + 1 + age);
        }
        Self { first, next, plain }
    }
}

/// RFC 7541 §5.1: an integer in the low `bits` of the first byte, whose other bits are `high`.
fn integer(out: &mut Vec<u8>, high: u8, bits: u8, value: usize) {
    let limit = (1_usize << bits) - 1;
    if value < limit {
        out.push(high | value as u8);
        return;
    }
    out.push(high | limit as u8);
    let mut rest = value - limit;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(out: &mut Vec<u8>, value: &str) {
    integer(out, 0x00, 7, value.len());
    out.extend_from_slice(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_follow_the_examples_of_the_rfc() {
        let mut out = Vec::new();
        integer(&mut out, 0, 5, 10);
        integer(&mut out, 0, 5, 1337);
        integer(&mut out, 0, 8, 42);
        assert_eq!(out, [10, 0b11111, 0b1001_1010, 0b1010, 42]);
    }

    #[test]
    fn every_pseudo_header_of_a_connect_comes_before_the_first_ordinary_one() {
        let block = Block::connect("a", "/ws", &[("b".to_owned(), "c".to_owned())]);
        let start = [
            SCHEME_HTTP,
            2,
            7,
            b'C',
            b'O',
            b'N',
            b'N',
            b'E',
            b'C',
            b'T',
            4,
            3,
            b'/',
            b'w',
            b's',
            1,
            1,
            b'a',
            0,
            9,
        ];
        assert_eq!(block[..start.len()], start);
        assert!(block.ends_with(&[0, 1, b'b', 1, b'c']), "{block:?}");
    }

    #[test]
    fn later_blocks_name_headers_by_the_order_they_entered_the_table() {
        let headers = [
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ];
        let block = Block::request(false, "host", &headers);
        assert_eq!(
            block.next,
            [
                METHOD_GET,
                SCHEME_HTTP,
                PATH_ROOT,
                0x80 | 64,
                0x80 | 63,
                0x80 | 62
            ]
        );
    }
}
