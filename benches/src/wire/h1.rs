//! PURE. HTTP/1.1: reading responses as they arrive, in any pieces.

/// More headers than any peer in the comparison adds.
const MAX_HEADERS: usize = 48;

/// Why a response can't be read on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unreadable {
    /// The bytes are not an HTTP/1.1 response.
    #[error("the peer's response is not HTTP/1.1: {0}")]
    Syntax(&'static str),
    /// The answer came from the proxy itself or from a failing origin.
    #[error("the peer answered {0} instead of 200")]
    Status(u16),
}

/// What a step of the reader found.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Body bytes.
    Body(&'a [u8]),
    /// The response is complete.
    End,
    /// Nothing before more bytes arrive.
    More,
    /// Framing that was passed over.
    Framing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
}

/// Reads one response after another on a connection.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    state: State,
}

impl Reader {
    /// Looks at the start of `bytes`; returns how many were used and what they were.
    ///
    /// # Errors
    /// When the peer does not speak HTTP/1.1 or answers with anything but `200`.
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, Part<'a>), Unreadable> {
        match self.state {
            State::Head => self.head(bytes),
            State::Length(0) => {
                self.state = State::Head;
                Ok((0, Part::End))
            }
            State::Length(left) => {
                let (taken, left) = body(bytes, left);
                self.state = State::Length(left);
                Ok(taken)
            }
            State::Chunk(0) => {
                self.state = State::ChunkEnd;
                Ok((0, Part::Framing))
            }
            State::Chunk(left) => {
                let (taken, left) = body(bytes, left);
                self.state = State::Chunk(left);
                Ok(taken)
            }
            State::ChunkSize | State::ChunkEnd | State::Trailer => self.line(bytes),
        }
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, Part<'a>), Unreadable> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let size = match response.parse(bytes) {
            Ok(httparse::Status::Complete(size)) => size,
            Ok(httparse::Status::Partial) => return Ok((0, Part::More)),
            Err(_) => return Err(Unreadable::Syntax("the response head")),
        };
        match response.code {
            Some(200) => {}
            code => return Err(Unreadable::Status(code.unwrap_or_default())),
        }
        let value = |name: &str| {
            let header = response
                .headers
                .iter()
                .find(|h| h.name.eq_ignore_ascii_case(name));
            header.and_then(|h| str::from_utf8(h.value).ok())
        };
        self.state = if let Some(length) = value("content-length") {
            State::Length(
                length
                    .parse()
                    .map_err(|_| Unreadable::Syntax("content-length"))?,
            )
        } else if value("transfer-encoding").is_some_and(|te| te.eq_ignore_ascii_case("chunked")) {
            State::ChunkSize
        } else {
            return Err(Unreadable::Syntax("a body of unknown length"));
        };
        Ok((size, Part::Framing))
    }

    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, Part<'a>), Unreadable> {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            return Ok((0, Part::More));
        };
        let line = &bytes[..end];
        let (state, part) = match self.state {
            State::ChunkEnd => (State::ChunkSize, Part::Framing),
            State::Trailer if line.is_empty() => (State::Head, Part::End),
            State::Trailer => (State::Trailer, Part::Framing),
            _ => match chunk_size(line)? {
                0 => (State::Trailer, Part::Framing),
                size => (State::Chunk(size), Part::Framing),
            },
        };
        self.state = state;
        Ok((end + 2, part))
    }
}

fn body(bytes: &[u8], left: u64) -> ((usize, Part<'_>), u64) {
    if bytes.is_empty() {
        return ((0, Part::More), left);
    }
    let size = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    ((size, Part::Body(&bytes[..size])), left - size as u64)
}

fn chunk_size(line: &[u8]) -> Result<u64, Unreadable> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    str::from_utf8(digits)
        .ok()
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .ok_or(Unreadable::Syntax("a chunk size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(wire: &[u8], cut: usize) -> (Vec<u8>, usize) {
        let (mut reader, mut body, mut ends) = (Reader::default(), Vec::new(), 0);
        let mut buffer = Vec::new();
        for piece in wire.chunks(cut) {
            buffer.extend_from_slice(piece);
            loop {
                let (used, part) = reader.step(&buffer).expect("valid");
                let more = part == Part::More;
                match part {
                    Part::Body(bytes) => body.extend_from_slice(bytes),
                    Part::End => ends += 1,
                    Part::More | Part::Framing => {}
                }
                buffer.drain(..used);
                if more {
                    break;
                }
            }
        }
        (body, ends)
    }

    #[test]
    fn lengths_and_chunks_are_read_in_any_pieces() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\
            transfer-encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\n\r\n\
            HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        for cut in [1, 2, 3, 10, wire.len()] {
            assert_eq!(
                read_all(wire, cut),
                (b"abcdef".to_vec(), 3),
                "cut every {cut}"
            );
        }
    }

    #[test]
    fn an_answer_of_the_proxys_own_is_not_counted_as_a_response() {
        let bad = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(Reader::default().step(bad), Err(Unreadable::Status(502)));
    }
}
