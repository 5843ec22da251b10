//! The tracker of WebSocket frames: it finds the boundaries that a plain reading of RFC 6455 §5.2
//! finds, however the bytes are cut.

use fprs_forward::websocket::Frames;

/// The first byte says how the rest is cut.
pub fn check(data: &[u8]) {
    let Some((piece, wire)) = data.split_first() else {
        return;
    };
    let mut frames = Frames::default();
    let mut passed = 0;
    for bytes in wire.chunks(usize::from(*piece).max(1)) {
        frames.pass(bytes);
        passed += bytes.len();
        assert_eq!(
            frames.at_boundary(),
            ends_here(&wire[..passed]),
            "at {passed}"
        );
    }
}

/// The bytes are whole frames.
fn ends_here(mut bytes: &[u8]) -> bool {
    loop {
        let [_, second, rest @ ..] = bytes else {
            return bytes.is_empty();
        };
        let (length, rest) = match (second & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
            }
            (126 | 127, _) => return false,
            (length, rest) => (u64::from(length), rest),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let Some(rest) = rest.get(mask..) else {
            return false;
        };
        let Some(next) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(length..))
        else {
            return false;
        };
        bytes = next;
    }
}
