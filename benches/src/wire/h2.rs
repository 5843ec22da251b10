//! PURE. HTTP/2 frames: cutting them out of a buffer and appending them to one.

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame before its payload.
pub const HEAD: usize = 9;
/// The largest DATA payload that every peer accepts.
pub const MAX_DATA: usize = 16_384;
/// The window a connection starts with, whatever the settings say.
pub const FIRST_WINDOW: i64 = 65_535;

/// Frame types.
pub mod kind {
    #![allow(missing_docs)] // the names of RFC 9113 §6
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
}

/// Frame flags.
pub mod flag {
    #![allow(missing_docs)] // the names of RFC 9113 §6
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
}

/// Settings identifiers.
pub mod setting {
    #![allow(missing_docs)] // the names of RFC 9113 §6.5.2 and RFC 8441 §3
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// One whole frame in a receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// The stream it belongs to; 0 is the connection.
    pub stream: u32,
    /// Everything after the frame head, padding included.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `buffer`, or `None` while it is not complete.
    #[must_use]
    pub fn cut(buffer: &'a [u8]) -> Option<Self> {
        let head: &[u8; HEAD] = buffer.first_chunk()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        Some(Self {
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            payload: buffer.get(HEAD..HEAD + length)?,
        })
    }

    /// Bytes the frame takes in the buffer.
    #[must_use]
    pub fn size(&self) -> usize {
        HEAD + self.payload.len()
    }

    /// Whether `bits` of [`flag`] are set.
    #[must_use]
    pub fn has(&self, bits: u8) -> bool {
        self.flags & bits == bits
    }

    /// The body bytes of a DATA frame, without padding.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        match self.payload.split_first() {
            Some((&pad, rest)) if self.has(flag::PADDED) => {
                &rest[..rest.len().saturating_sub(usize::from(pad))]
            }
            _ => self.payload,
        }
    }

    /// The 31-bit number that a WINDOW_UPDATE carries; 0 for anything shorter.
    #[must_use]
    pub fn increment(&self) -> u32 {
        self.payload
            .first_chunk()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
    }

    /// The settings in a SETTINGS frame.
    pub fn settings(&self) -> impl Iterator<Item = (u16, u32)> + 'a {
        self.payload.chunks_exact(6).map(|s| {
            (
                u16::from_be_bytes([s[0], s[1]]),
                u32::from_be_bytes([s[2], s[3], s[4], s[5]]),
            )
        })
    }
}

/// Appends a frame.
pub fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&[length[1], length[2], length[3], kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends a SETTINGS frame.
pub fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let mut payload = Vec::with_capacity(settings.len() * 6);
    for (id, value) in settings {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    put(out, kind::SETTINGS, 0, 0, &payload);
}

/// Appends a WINDOW_UPDATE; 0 for `stream` is the connection.
pub fn put_window(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put(
        out,
        kind::WINDOW_UPDATE,
        0,
        stream,
        &increment.to_be_bytes(),
    );
}

/// The reply that a frame always needs, whoever receives it: acknowledged SETTINGS and PING.
pub fn put_reply(out: &mut Vec<u8>, frame: &Frame<'_>) {
    if !frame.has(flag::ACK) {
        match frame.kind {
            kind::SETTINGS => put(out, kind::SETTINGS, flag::ACK, 0, &[]),
            kind::PING => put(out, kind::PING, flag::ACK, 0, frame.payload),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_only_when_it_is_whole() {
        let mut out = Vec::new();
        put(&mut out, kind::DATA, flag::END_STREAM, 5, b"abc");
        assert_eq!(Frame::cut(&out[..out.len() - 1]), None);
        let frame = Frame::cut(&out).expect("whole");
        assert_eq!(
            (frame.stream, frame.data(), frame.size()),
            (5, &b"abc"[..], 12)
        );
    }

    #[test]
    fn padding_is_not_body() {
        let frame = Frame {
            kind: kind::DATA,
            flags: flag::PADDED,
            stream: 1,
            payload: b"\x02ab\0\0",
        };
        assert_eq!(frame.data(), b"ab");
    }

    #[test]
    fn settings_come_back_as_they_were_written() {
        let mut out = Vec::new();
        put_settings(
            &mut out,
            &[
                (setting::INITIAL_WINDOW_SIZE, 1 << 20),
                (setting::ENABLE_PUSH, 0),
            ],
        );
        let frame = Frame::cut(&out).expect("whole");
        assert_eq!(frame.settings().collect::<Vec<_>>(), [(4, 1 << 20), (2, 0)]);
    }
}
