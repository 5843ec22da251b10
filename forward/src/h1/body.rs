//! PURE. Bodies on the HTTP/1.1 wire: the decoder yields content and trailers and never reads past
//! the end of its message; the encoder frames what it is given (RFC 9112 §6, §7).

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::head::{self, Malformed};
use crate::limits;
use crate::message::Frame;

/// How a body's end is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// `content-length`.
    Length(u64),
    /// `transfer-encoding: chunked`.
    Chunked,
    /// The connection's end; responses only.
    UntilClose,
}

/// What [`Decoder::decode`] found in the buffer.
#[derive(Debug)]
pub enum Decoded {
    /// A piece of the body.
    Frame(Frame),
    /// The body's end; the buffer now begins with what follows the message.
    End,
    /// Nothing yet: read more.
    More,
}

/// Takes one body out of a buffer.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes of content still to come.
    Length(u64),
    ChunkSize,
    /// Bytes of this chunk still to come.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
    /// Where the message ends is no longer known, and never will be.
    Broken,
}

impl Decoder {
    /// A decoder for a body of that framing.
    pub const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// The body has ended and nothing of it is left in the buffer.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// A connection that closes now ends the body whole.
    pub fn may_end_by_close(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// Takes the next piece out of `buffer`.
    ///
    /// # Errors
    /// The framing is broken; where the next message begins is no longer known.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Malformed> {
        let decoded = self.next(buffer);
        if decoded.is_err() {
            // What follows may look like an end: nothing of it is believed.
            self.state = State::Broken;
        }
        decoded
    }

    fn next(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Malformed> {
        loop {
            match self.state {
                State::Done => return Ok(Decoded::End),
                State::Broken => return Err(Malformed("the body was broken before")),
                State::UntilClose => return Ok(take(buffer, u64::MAX).map_or(Decoded::More, data)),
                State::Length(left) => {
                    let Some(bytes) = take(buffer, left) else {
                        return Ok(Decoded::More);
                    };
                    self.state = match left - bytes.len() as u64 {
                        0 => State::Done,
                        left => State::Length(left),
                    };
                    return Ok(data(bytes));
                }
                State::ChunkSize => {
                    let Some(line) = line(buffer, limits::CHUNK_EXTENSION_BYTES)? else {
                        return Ok(Decoded::More);
                    };
                    self.state = match chunk_size(&line)? {
                        0 => State::Trailers,
                        size => State::Chunk(size),
                    };
                }
                State::Chunk(left) => {
                    let Some(bytes) = take(buffer, left) else {
                        return Ok(Decoded::More);
                    };
                    self.state = match left - bytes.len() as u64 {
                        0 => State::ChunkEnd,
                        left => State::Chunk(left),
                    };
                    return Ok(data(bytes));
                }
                State::ChunkEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        self.state = State::ChunkSize;
                    }
                    Some(_) => return Err(Malformed("a chunk is longer than its size")),
                    None => return Ok(Decoded::More),
                },
                State::Trailers => {
                    let Some(trailers) = trailers(buffer)? else {
                        return Ok(Decoded::More);
                    };
                    self.state = State::Done;
                    if !trailers.is_empty() {
                        return Ok(Decoded::Frame(Frame::Trailers(trailers)));
                    }
                }
            }
        }
    }
}

const fn data(bytes: Bytes) -> Decoded {
    Decoded::Frame(Frame::Data(bytes))
}

fn take(buffer: &mut BytesMut, most: u64) -> Option<Bytes> {
    let length = usize::try_from(most)
        .unwrap_or(usize::MAX)
        .min(buffer.len());
    (length > 0).then(|| buffer.split_to(length).freeze())
}

/// Takes one line without its CRLF. A bare LF is not a line's end.
fn line(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, Malformed> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        // The CR of a line that is just short enough may be here already.
        return if buffer.len() > limit + 1 {
            Err(Malformed("a chunk's size line is too long"))
        } else {
            Ok(None)
        };
    };
    let line = buffer.split_to(end + 1).freeze();
    match line.strip_suffix(b"\r\n") {
        Some(text) if text.len() <= limit => Ok(Some(line.slice_ref(text))),
        Some(_) => Err(Malformed("a chunk's size line is too long")),
        None => Err(Malformed("a line ends without CR")),
    }
}

/// `1*HEXDIG [ chunk-ext ]` (RFC 9112 §7.1). Extensions are dropped, as §7.1.1 wants of those who
/// don't know them.
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (size, rest) = line.split_at(digits);
    // 15 digits can't overflow, and nobody sends a chunk of an exbibyte.
    if size.is_empty() || size.len() > 15 {
        return Err(Malformed("a chunk's size is not a hexadecimal number"));
    }
    let extension = rest.trim_ascii_start();
    if !(extension.is_empty() && rest.is_empty() || extension.first() == Some(&b';')) {
        return Err(Malformed(
            "a chunk's size is followed by something else than an extension",
        ));
    }
    if rest
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(Malformed("a chunk's extension has a control byte"));
    }
    Ok(size.iter().fold(0, |sum, digit| {
        sum * 16 + u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
    }))
}

fn trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
        // All but the last byte of an end may be here already.
        return if buffer.len() >= limits::TRAILER_BYTES + 4 {
            Err(Malformed("the trailers are too large"))
        } else {
            Ok(None)
        };
    };
    if end > limits::TRAILER_BYTES {
        return Err(Malformed("the trailers are too large"));
    }
    let block = buffer.split_to(end + 4).freeze();
    let mut fields = head::parse_fields(&block)?;
    head::strip_from_trailers(&mut fields);
    Ok(Some(fields))
}

/// Frames a body.
#[derive(Debug)]
pub enum Encoder {
    /// Nothing may be sent.
    None,
    /// This many bytes are still owed.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Bytes as they are; the connection's end is the body's.
    UntilClose,
}

impl Encoder {
    /// An encoder for a body of that framing.
    pub const fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::None,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked,
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// What must be written before `length` bytes of content; `Err` when there is more content than
    /// was promised.
    ///
    /// # Errors
    /// The source sent more than its `content-length`: the message can't be ended whole.
    pub fn before(&mut self, length: usize, out: &mut BytesMut) -> Result<(), Malformed> {
        match self {
            Self::None if length > 0 => Err(Malformed("content where there can be none")),
            Self::Length(left) => {
                *left = left
                    .checked_sub(length as u64)
                    .ok_or(Malformed("more content than content-length says"))?;
                Ok(())
            }
            Self::Chunked if length > 0 => {
                hex(length, out);
                out.extend_from_slice(b"\r\n");
                Ok(())
            }
            Self::None | Self::Chunked | Self::UntilClose => Ok(()),
        }
    }

    /// What must be written after content.
    pub fn after(&self, length: usize, out: &mut BytesMut) {
        if matches!(self, Self::Chunked) && length > 0 {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// What must be written at the end. Trailers can only be told in chunked framing; elsewhere they
    /// are dropped (RFC 9110 §6.5.1 lets an intermediary).
    ///
    /// # Errors
    /// Less content than `content-length` said: the message can't be ended whole.
    pub fn end(&self, trailers: Option<&HeaderMap>, out: &mut BytesMut) -> Result<(), Malformed> {
        match self {
            Self::Length(1..) => Err(Malformed("less content than content-length says")),
            Self::Chunked => {
                out.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    head::write_fields(trailers, out);
                }
                out.extend_from_slice(b"\r\n");
                Ok(())
            }
            Self::None | Self::Length(0) | Self::UntilClose => Ok(()),
        }
    }

    /// The message's end is told by closing the connection.
    pub const fn ends_by_close(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}

fn hex(mut number: usize, out: &mut BytesMut) {
    let mut digits = [0_u8; 16];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b"0123456789abcdef"
            .get(number & 15)
            .copied()
            .unwrap_or_default();
        used += 1;
        number >>= 4;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(16 - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(
        framing: Framing,
        wire: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, HeaderMap, Vec<u8>), Malformed> {
        let mut decoder = Decoder::new(framing);
        let mut buffer = BytesMut::new();
        let (mut content, mut trailers) = (Vec::new(), HeaderMap::new());
        let mut pieces = wire.chunks(piece.max(1));
        loop {
            match decoder.decode(&mut buffer)? {
                Decoded::Frame(Frame::Data(bytes)) => content.extend_from_slice(&bytes),
                Decoded::Frame(Frame::Trailers(fields)) => trailers = fields,
                Decoded::End => break,
                Decoded::More => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None if decoder.may_end_by_close() => break,
                    None => return Err(Malformed("cut")),
                },
            }
        }
        let mut rest = buffer.to_vec();
        pieces.for_each(|piece| rest.extend_from_slice(piece));
        Ok((content, trailers, rest))
    }

    #[test]
    fn a_chunked_body_decodes_the_same_however_it_is_cut_and_leaves_what_follows() {
        let wire =
            b"4\r\nWiki\r\n6;a=b\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nx-sum: 1\r\n\r\nGET";
        for piece in 1..wire.len() {
            let (content, trailers, rest) = decode_all(Framing::Chunked, wire, piece).unwrap();
            assert_eq!(content, b"Wikipedia in \r\n\r\nchunks.");
            assert_eq!(trailers["x-sum"], "1");
            assert_eq!(rest, b"GET");
        }
    }

    #[test]
    fn a_body_of_known_length_leaves_what_follows() {
        let (content, _, rest) = decode_all(Framing::Length(3), b"abcGET", 2).unwrap();
        assert_eq!(
            (content.as_slice(), rest.as_slice()),
            (&b"abc"[..], &b"GET"[..])
        );
    }

    #[test]
    fn broken_chunks_are_refused() {
        for wire in [
            &b"\r\n"[..],
            b" ;x=y\r\n",
            b"g\r\n",
            b"-1\r\n",
            b"0x1\r\na\r\n0\r\n\r\n",
            b"1\na\r\n0\r\n\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
            b"1 \r\na\r\n0\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"1;a=\x00\r\na\r\n0\r\n\r\n",
            b"0\r\nbad header\r\n\r\n",
        ] {
            assert!(
                decode_all(Framing::Chunked, wire, 64).is_err(),
                "{:?}",
                wire.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn endless_size_lines_and_trailers_are_refused_before_they_are_held() {
        let line = [b"1;".as_slice(), &[b'a'; 300]].concat();
        assert!(decode_all(Framing::Chunked, &line, 64).is_err());
        let trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(2000)].concat();
        assert!(decode_all(Framing::Chunked, &trailers, 64).is_err());
    }

    #[test]
    fn what_the_encoder_frames_the_decoder_reads_back() {
        for sizes in [&[][..], &[1], &[15, 16, 17], &[255, 256, 70_000]] {
            let mut encoder = Encoder::new(Framing::Chunked);
            let (mut wire, mut sent) = (BytesMut::new(), Vec::new());
            for size in sizes {
                let content = vec![b'x'; *size];
                encoder.before(content.len(), &mut wire).unwrap();
                wire.extend_from_slice(&content);
                encoder.after(content.len(), &mut wire);
                sent.extend_from_slice(&content);
            }
            encoder.end(None, &mut wire).unwrap();
            let (content, _, rest) = decode_all(Framing::Chunked, &wire, 1000).unwrap();
            assert!(content == sent && rest.is_empty());
        }
    }

    #[test]
    fn a_body_that_is_longer_or_shorter_than_promised_is_refused() {
        let mut encoder = Encoder::new(Framing::Length(2));
        let mut out = BytesMut::new();
        assert!(encoder.before(3, &mut out).is_err());
        encoder.before(1, &mut out).unwrap();
        assert!(encoder.end(None, &mut out).is_err());
    }
}
