//! HTTP/2 by hand, on one connection: frames go out as they are given; of what comes back, what
//! becomes of a stream is told.

use std::net::SocketAddr;
use std::time::Duration;

use fprs_testkit::client::Ending;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for a frame.
const SOON: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What becomes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Answered whole, with that status and body.
    Whole(u16, String),
    /// Reset with that code.
    Reset(u32),
    /// The connection ended, or is about to.
    Ended(Ending),
}

impl Frames {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let opening = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            &*frame(SETTINGS, 0, 0, &[]),
        ]
        .concat();
        stream.write_all(&opening).await.unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Sends bytes as they are; on a connection that ended they are lost.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.ok();
    }

    /// Waits for what becomes of a stream.
    pub(crate) async fn answer(&mut self, wanted: u32) -> Answer {
        tokio::time::timeout(SOON, self.read_answer(wanted))
            .await
            .unwrap_or(Answer::Ended(Ending::Open))
    }

    async fn read_answer(&mut self, wanted: u32) -> Answer {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let (kind, flags, stream, payload) = match self.next().await {
                Ok(frame) => frame,
                Err(ending) => return Answer::Ended(ending),
            };
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, &[])).await,
                // Whatever it is about, what follows is not to be relied on.
                GOAWAY => return Answer::Ended(Ending::Closed),
                RST_STREAM if stream == wanted && status == 0 => {
                    let code = payload.as_slice().try_into().unwrap();
                    return Answer::Reset(u32::from_be_bytes(code));
                }
                HEADERS if stream == wanted && status == 0 => {
                    status = status_of(&payload);
                    if (100..200).contains(&status) {
                        status = 0;
                    }
                }
                DATA if stream == wanted => body.extend(payload),
                _ => {}
            }
            let ends = flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS);
            if stream == wanted && (ends || (kind == RST_STREAM && status > 0)) {
                return Answer::Whole(status, String::from_utf8_lossy(&body).into_owned());
            }
        }
    }

    async fn next(&mut self) -> Result<(u8, u8, u32, Vec<u8>), Ending> {
        loop {
            if let [a, b, c, kind, flags, rest @ ..] = &*self.read {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if rest.len() >= 4 + length {
                    let stream = u32::from_be_bytes(rest[..4].try_into().unwrap());
                    let frame = (*kind, *flags, stream, rest[4..4 + length].to_vec());
                    self.read.drain(..9 + length);
                    return Ok(frame);
                }
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) => return Err(Ending::Closed),
                Ok(_) => {}
                Err(_) => return Err(Ending::Reset),
            }
        }
    }
}

/// Fields as HEADERS and, where they are large, CONTINUATION frames of literals.
pub(crate) fn headers(stream: u32, end: bool, fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal with a new name, not indexed.
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    let pieces: Vec<&[u8]> = block.chunks(LARGEST).collect();
    let mut frames = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        let end_stream = if end && at == 0 { END_STREAM } else { 0 };
        let end_headers = if at + 1 == pieces.len() {
            END_HEADERS
        } else {
            0
        };
        frames.extend(frame(kind, end_stream | end_headers, stream, piece));
    }
    frames
}

/// A DATA frame.
pub(crate) fn data(stream: u32, end: bool, payload: &[u8]) -> Vec<u8> {
    frame(DATA, if end { END_STREAM } else { 0 }, stream, payload)
}

/// Any frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn string(block: &mut Vec<u8>, text: &[u8]) {
    // RFC 7541 §5.1: an integer with a prefix of seven bits.
    let mut left = text.len();
    if left < 127 {
        block.push(u8::try_from(left).unwrap());
    } else {
        block.push(127);
        left -= 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).unwrap() | 128);
            left /= 128;
        }
        block.push(u8::try_from(left).unwrap());
    }
    block.extend(text);
}

/// The status that a block of fields begins with: one of the static table, or a literal in plain or
/// Huffman-coded digits (RFC 7541 appendices A and B).
fn status_of(block: &[u8]) -> u16 {
    let indexed = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [index @ 0x88..=0x8e, ..] => indexed[usize::from(index - 0x88)],
        [0x48 | 0x08, 3, digits @ ..] => {
            std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap()
        }
        [0x48 | 0x08, length, digits @ ..] if length & 0x80 != 0 => {
            huffman_digits(&digits[..usize::from(length & 0x7f)])
        }
        _ => panic!("no status: {block:?}"),
    }
}

/// Three digits: 0 to 2 have five bits, 3 to 9 six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits = bytes
        .iter()
        .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut left = bytes.len() * 8;
    let mut number = 0;
    for _ in 0..3 {
        let five = bits >> (left - 5) & 0x1f;
        let digit = if five < 3 {
            left -= 5;
            five
        } else {
            left -= 6;
            (bits >> left & 0x3f) - 0x19 + 3
        };
        number = number * 10 + u16::try_from(digit).unwrap();
    }
    number
}

/// The largest frame that everybody takes.
const LARGEST: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
