//! HTTP/2 in as little work as there is: frames from a buffer, heads that are made once. Whoever makes
//! or takes the load must not be what is measured.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `:status: 200` as every encoder writes it: indexed.
pub(crate) const OK: u8 = 0x88;

/// One frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: &'a [u8],
}

/// Preface and settings of a client; its connection's window never fills.
pub(crate) fn opening() -> Vec<u8> {
    let mut opening = PREFACE.to_vec();
    put(&mut opening, SETTINGS, 0, 0, &[]);
    put(&mut opening, 8, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    opening
}

/// A frame, at the end of what is there.
pub(crate) fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// The fields of a GET: literals that no table remembers.
pub(crate) fn get(authority: &str, path: &str, more: &[(&str, String)]) -> Vec<u8> {
    let mut block = Vec::new();
    let own = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ];
    let more = more.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in own.into_iter().chain(more) {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

fn string(block: &mut Vec<u8>, text: &str) {
    if let Ok(length @ 0..127) = u8::try_from(text.len()) {
        block.push(length);
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(text.as_bytes());
}

/// Frames as they come.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    reader: R,
    buffer: Vec<u8>,
    used: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            used: 0,
        }
    }

    /// Skips a client's preface.
    pub(crate) async fn preface(&mut self) -> io::Result<()> {
        self.reader.read_exact(&mut [0; PREFACE.len()]).await?;
        Ok(())
    }

    /// Reads what there is; `false`: the end.
    pub(crate) async fn read(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(64 * 1024);
        Ok(self.reader.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next frame of what was read.
    pub(crate) fn next(&mut self) -> Option<Frame<'_>> {
        let rest = &self.buffer[self.used..];
        let head = rest.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = rest.get(9..9 + length)?;
        self.used += 9 + length;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }
}

/// Answers what must be answered of a connection's own frames.
pub(crate) fn acknowledge(frame: Frame<'_>, out: &mut Vec<u8>) {
    if matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
        let payload: &[u8] = if frame.kind == PING {
            frame.payload
        } else {
            &[]
        };
        put(out, frame.kind, ACK, 0, payload);
    }
}
