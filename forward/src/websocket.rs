//! PURE. WebSocket handshakes in the form every session hands on, which is HTTP/2's: an extended
//! CONNECT with `:protocol: websocket` (RFC 8441), answered 200. HTTP/1.1 sessions translate from
//! and to `Upgrade` (RFC 6455 §4); the `sec-websocket-*` fields cross as they are.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request};

use crate::h1::head::Malformed;

const WEBSOCKET: &str = "websocket";

/// Which protocol an extended CONNECT asks for; an extension of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol(Box<str>);

impl Protocol {
    /// Of that name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

/// A close frame from a server with status 1001, going away (RFC 6455 §5.5.1, §7.4.1).
pub const GOING_AWAY: &[u8] = &[0x88, 0x02, 0x03, 0xe9];

/// The request opens a WebSocket.
pub fn is_websocket<T>(request: &Request<T>) -> bool {
    request.method() == Method::CONNECT && protocol(request) == Some(WEBSOCKET)
}

/// The request is a CONNECT of a kind nobody here serves.
pub fn is_other_connect<T>(request: &Request<T>) -> bool {
    request.method() == Method::CONNECT && protocol(request) != Some(WEBSOCKET)
}

fn protocol<T>(request: &Request<T>) -> Option<&str> {
    request.extensions().get::<Protocol>().map(Protocol::as_str)
}

/// Makes an HTTP/1.1 upgrade request one in canonical form; `false`: it asks for no WebSocket.
///
/// # Errors
/// It asks for a WebSocket in a way RFC 6455 §4.2.1 does not allow.
pub fn from_upgrade(request: &mut Request<()>) -> Result<bool, Malformed> {
    let fields = request.headers();
    if !names(fields, UPGRADE, WEBSOCKET) || !names(fields, CONNECTION, "upgrade") {
        return Ok(false);
    }
    if request.method() != Method::GET {
        return Err(Malformed("a WebSocket is opened with GET"));
    }
    if !one(fields, &SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        return Err(Malformed("a WebSocket request without a sec-websocket-key"));
    }
    if one(fields, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(Malformed("a WebSocket request of another version than 13"));
    }
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::new(WEBSOCKET));
    Ok(true)
}

/// The fields an HTTP/1.1 program wants to see; `true` when the key is ours, since an HTTP/2 client
/// sends none, and then the program's `sec-websocket-accept` is for us alone.
pub fn upgrade_fields(fields: &mut HeaderMap, random: u128) -> bool {
    fields.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    fields
        .entry(SEC_WEBSOCKET_VERSION)
        .or_insert_with(|| HeaderValue::from_static("13"));
    if fields.contains_key(SEC_WEBSOCKET_KEY) {
        return false;
    }
    // Any 16 bytes do; the key only proves that the answer is to this request.
    let key = base64(&random.to_be_bytes());
    if let Ok(key) = HeaderValue::from_bytes(&key) {
        fields.insert(SEC_WEBSOCKET_KEY, key);
    }
    true
}

/// The answer to the key of a client that speaks HTTP/1.1, for programs that speak HTTP/2 and so give none
/// (RFC 8441 §5.1): without it the client takes the handshake for failed.
pub fn accept(fields: &HeaderMap) -> Option<HeaderValue> {
    let key = one(fields, &SEC_WEBSOCKET_KEY)?;
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(GUID);
    HeaderValue::from_bytes(&base64(digest.finish().as_ref())).ok()
}

/// What makes the answer one to a WebSocket's key and to nothing else (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of a field that occurs once.
fn one<'a>(fields: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a [u8]> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    matches!(key.split_at_checked(22), Some((digits, b"==")) if digits.iter().all(digit))
}

fn names(fields: &HeaderMap, name: http::HeaderName, token: &str) -> bool {
    fields
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(group.get(index).copied().unwrap_or_default());
        }
        for index in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * index) & 63) as usize);
            let byte = if index <= group.len() {
                digit.copied()
            } else {
                Some(b'=')
            };
            text.extend(byte);
        }
    }
    text
}

/// Follows the frames of one direction (RFC 6455 §5.2) and knows when none is half sent: a frame of
/// our own fits in only there.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes of the current frame's head seen so far.
    head: [u8; 14],
    seen: usize,
    /// Bytes of the current frame's payload still to come.
    left: u64,
}

impl Frames {
    /// Takes note of bytes that pass.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.left -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let (Some(slot), Some((first, rest))) =
                (self.head.get_mut(self.seen), bytes.split_first())
            else {
                return;
            };
            *slot = *first;
            self.seen += 1;
            bytes = rest;
            if self.seen >= 2 && self.seen == self.head_length() {
                self.left = self.payload_length();
                self.seen = 0;
            }
        }
    }

    /// No frame is half sent.
    pub const fn at_boundary(&self) -> bool {
        self.seen == 0 && self.left == 0
    }

    fn head_length(&self) -> usize {
        let [_, second, ..] = self.head;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        mask + match second & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn payload_length(&self) -> u64 {
        let [_, second, a, b, c, d, e, f, g, h, ..] = self.head;
        match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            length => u64::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(fields: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in fields {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn an_upgrade_becomes_an_extended_connect() {
        let mut request = upgrade(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ]);
        assert!(from_upgrade(&mut request).unwrap());
        assert!(is_websocket(&request) && !is_other_connect(&request));
    }

    #[test]
    fn what_asks_for_no_websocket_stays_as_it_is() {
        for fields in [
            &[("upgrade", "websocket")][..],
            &[("connection", "upgrade"), ("upgrade", "h2c")],
            &[("connection", "close")],
        ] {
            let mut request = upgrade(fields);
            assert!(!from_upgrade(&mut request).unwrap());
            assert_eq!(request.method(), Method::GET);
        }
    }

    #[test]
    fn a_websocket_request_without_key_or_with_another_method_is_refused() {
        let fields = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert!(from_upgrade(&mut upgrade(&fields)).is_err());
        let mut post = upgrade(&fields);
        *post.method_mut() = Method::POST;
        assert!(from_upgrade(&mut post).is_err());
    }

    #[test]
    fn a_key_is_made_where_the_client_sent_none_and_kept_where_it_did() {
        let mut fields = HeaderMap::new();
        assert!(upgrade_fields(
            &mut fields,
            u128::from_be_bytes(*b"the sample nonce")
        ));
        // The key and nonce of RFC 6455 §1.3.
        assert_eq!(fields[SEC_WEBSOCKET_KEY], "dGhlIHNhbXBsZSBub25jZQ==");
        assert!(!upgrade_fields(&mut fields, 0));
        assert_eq!(fields[SEC_WEBSOCKET_KEY], "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn a_key_has_the_answer_that_the_rfc_says() {
        let mut fields = HeaderMap::new();
        assert_eq!(accept(&fields), None);
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        fields.insert(SEC_WEBSOCKET_KEY, key);
        assert_eq!(accept(&fields).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frame_boundaries_are_found_however_the_bytes_are_cut() {
        let mut wire = vec![0x81, 0x05];
        wire.extend_from_slice(b"hello");
        wire.extend_from_slice(&[0x82, 126, 0x01, 0x00]);
        wire.extend_from_slice(&[7; 256]);
        wire.extend_from_slice(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        wire.extend_from_slice(&[7; 65_536]);
        wire.extend_from_slice(&[0x89, 0x80, 1, 2, 3, 4]);
        let ends = [7, 7 + 4 + 256, 7 + 260 + 10 + 65_536, wire.len()];
        for piece in [1, 3, 1_000, wire.len()] {
            let mut frames = Frames::default();
            let mut passed = 0;
            for bytes in wire.chunks(piece) {
                frames.pass(bytes);
                passed += bytes.len();
                assert_eq!(
                    frames.at_boundary(),
                    ends.contains(&passed),
                    "at {passed} by {piece}"
                );
            }
        }
    }
}
