//! Bodies of HTTP/1.1: what a body is and what follows it doesn't depend on how its bytes arrive,
//! nothing past its end is taken, and the encoder's form is read as the very same body.

use bytes::BytesMut;
use fprs_forward::h1::body::{Decoded, Decoder, Encoder, Framing};
use fprs_forward::message::Frame;
use http::HeaderMap;

/// What was read of some bytes.
#[derive(Debug, PartialEq)]
struct Read {
    content: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// `None`: there is no end yet; an error is the same wherever it is noticed.
    end: Option<Result<Vec<u8>, ()>>,
}

/// The first byte is the framing, the second how the rest arrives, which is the body and what
/// follows it.
pub fn check(data: &[u8]) {
    let [framing, piece, wire @ ..] = data else {
        return;
    };
    let framing = match framing % 4 {
        0 => Framing::None,
        1 => Framing::Length(u64::from(framing / 4)),
        2 => Framing::UntilClose,
        _ => Framing::Chunked,
    };
    let whole = read(framing, wire, wire.len().max(1));
    let pieces = read(framing, wire, usize::from(*piece).max(1));
    assert_eq!(whole.end, pieces.end, "in pieces of {piece}");
    if whole.end != Some(Err(())) {
        assert_eq!(whole, pieces, "in pieces of {piece}");
    }
    if let (Framing::Length(length), Some(Ok(rest))) = (framing, &whole.end) {
        assert_eq!(whole.content.len() as u64, length);
        assert_eq!(whole.content.len() + rest.len(), wire.len());
    }
    if matches!(whole.end, Some(Ok(_))) && framing == Framing::Chunked {
        reads_back(&whole, usize::from(*piece).max(1));
    }
}

fn read(framing: Framing, wire: &[u8], piece: usize) -> Read {
    let mut decoder = Decoder::new(framing);
    let mut buffer = BytesMut::new();
    let mut read = Read {
        content: Vec::new(),
        trailers: None,
        end: None,
    };
    let mut pieces = wire.chunks(piece);
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Decoded::Frame(Frame::Data(data))) => {
                assert!(!data.is_empty(), "an empty piece");
                read.content.extend_from_slice(&data);
            }
            Ok(Decoded::Frame(Frame::Trailers(trailers))) => {
                assert!(read.trailers.replace(trailers).is_none(), "trailers twice");
            }
            Ok(Decoded::End) => {
                assert!(decoder.is_done());
                let rest = pieces.flatten().copied();
                read.end = Some(Ok(buffer.iter().copied().chain(rest).collect()));
                return read;
            }
            Ok(Decoded::More) => match pieces.next() {
                Some(bytes) => buffer.extend_from_slice(bytes),
                None => return read,
            },
            Err(_) => {
                read.end = Some(Err(()));
                return read;
            }
        }
    }
}

fn reads_back(body: &Read, piece: usize) {
    let mut encoder = Encoder::new(Framing::Chunked);
    let mut wire = BytesMut::new();
    for content in body.content.chunks(piece) {
        encoder.before(content.len(), &mut wire).unwrap();
        wire.extend_from_slice(content);
        encoder.after(content.len(), &mut wire);
    }
    encoder.end(body.trailers.as_ref(), &mut wire).unwrap();
    wire.extend_from_slice(b"GET /next");
    let again = read(Framing::Chunked, &wire, wire.len());
    assert_eq!(again.content, body.content);
    let trailers = body.trailers.clone().filter(|fields| !fields.is_empty());
    assert_eq!(again.trailers.filter(|fields| !fields.is_empty()), trailers);
    assert_eq!(again.end, Some(Ok(b"GET /next".to_vec())));
}
