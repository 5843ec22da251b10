//! PURE. Frames of HTTP/2 on the wire (RFC 9113 §4.1, §6): a header of nine bytes and what follows it.
//! Every frame that is written goes through [`head`] or [`reserve`] and [`seal`].

use bytes::{BufMut, BytesMut};

/// Bytes of a frame's header.
pub(crate) const HEAD: usize = 9;

/// What a client says first (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The frame size that every peer accepts, and the stream window it begins with (RFC 9113 §6.5.2).
pub(crate) const DEFAULT_FRAME: usize = 16 * 1024;
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;

/// No window may grow beyond it (RFC 9113 §6.9.1).
pub(crate) const LARGEST_WINDOW: i64 = 0x7fff_ffff;

/// The last stream there can be.
pub(crate) const LAST_STREAM: u32 = 0x7fff_ffff;

/// Types of frames. Others are ignored, as RFC 9113 §4.1 asks for.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// Settings (RFC 9113 §6.5.2, RFC 8441 §3).
pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Error codes (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u32);

impl Code {
    pub(crate) const NO_ERROR: Self = Self(0);
    pub(crate) const PROTOCOL_ERROR: Self = Self(1);
    pub(crate) const INTERNAL_ERROR: Self = Self(2);
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(3);
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(6);
    pub(crate) const REFUSED_STREAM: Self = Self(7);
    pub(crate) const CANCEL: Self = Self(8);
    pub(crate) const COMPRESSION_ERROR: Self = Self(9);
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(11);
}

/// The header of a frame that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes that follow.
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// 0: the connection.
    pub(crate) stream: u32,
}

impl Head {
    /// The header at the beginning of what was read; `None`: there is more to come.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s, t, u, v] = bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s, t, u, v]) & 0x7fff_ffff,
        })
    }

    /// The flag is set.
    pub(crate) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes a frame's header.
pub(crate) fn head(out: &mut BytesMut, length: usize, kind: u8, flags: u8, stream: u32) {
    out.put_slice(&head_bytes(length, kind, flags, stream));
}

fn head_bytes(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEAD] {
    let [_, a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [s, t, u, v] = stream.to_be_bytes();
    [a, b, c, kind, flags, s, t, u, v]
}

/// Leaves room for the header of a frame whose length isn't known yet, and says where it begins.
pub(crate) fn reserve(out: &mut BytesMut) -> usize {
    let at = out.len();
    out.put_bytes(0, HEAD);
    at
}

/// Fills in the header that room was left for: all since then is the frame's.
pub(crate) fn seal(out: &mut BytesMut, at: usize, kind: u8, flags: u8, stream: u32) {
    let length = out.len().saturating_sub(at + HEAD);
    if let Some(room) = out.get_mut(at..at + HEAD) {
        room.copy_from_slice(&head_bytes(length, kind, flags, stream));
    }
}

/// Writes SETTINGS.
pub(crate) fn settings(out: &mut BytesMut, settings: &[(u16, u32)]) {
    head(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (name, value) in settings {
        out.put_u16(*name);
        out.put_u32(*value);
    }
}

/// Writes a frame of four bytes: RST_STREAM, WINDOW_UPDATE.
pub(crate) fn word(out: &mut BytesMut, kind: u8, stream: u32, word: u32) {
    head(out, 4, kind, 0, stream);
    out.put_u32(word);
}

/// Writes GOAWAY: of the peer's streams, none after `last` is or was looked at.
pub(crate) fn goaway(out: &mut BytesMut, last: u32, code: Code) {
    head(out, 8, kind::GOAWAY, 0, 0);
    out.put_u32(last);
    out.put_u32(code.0);
}

/// Writes a PING, or the answer to one.
pub(crate) fn ping(out: &mut BytesMut, flags: u8, opaque: [u8; 8]) {
    head(out, 8, kind::PING, flags, 0);
    out.put_slice(&opaque);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let mut out = BytesMut::new();
        let at = reserve(&mut out);
        out.put_slice(b"block");
        seal(&mut out, at, kind::HEADERS, flag::END_HEADERS, 7);
        word(&mut out, kind::WINDOW_UPDATE, 0, 0x8000_0001);
        let first = Head {
            length: 5,
            kind: kind::HEADERS,
            flags: flag::END_HEADERS,
            stream: 7,
        };
        assert_eq!(Head::parse(&out), Some(first));
        assert!(first.has(flag::END_HEADERS) && !first.has(flag::END_STREAM));
        let second = Head::parse(&out[HEAD + 5..]);
        assert_eq!(second.map(|head| (head.length, head.stream)), Some((4, 0)));
        assert_eq!(Head::parse(&out[..HEAD - 1]), None);
    }

    #[test]
    fn the_reserved_bit_of_a_stream_is_no_part_of_it() {
        let head = Head::parse(&[0, 0, 4, 3, 0, 0x80, 0, 0, 1]);
        assert_eq!(head.map(|head| head.stream), Some(1));
    }
}
