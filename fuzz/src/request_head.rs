//! Request heads of HTTP/1.1: where a head ends doesn't depend on how its bytes arrive, and what is
//! accepted is written in one form, which is read as the very same request.

use bytes::{Bytes, BytesMut};
use fprs_forward::Body;
use fprs_forward::fields::strip_hop_by_hop;
use fprs_forward::h1::body::Framing;
use fprs_forward::h1::head::{parse_request, take_head, write_request};

/// The first byte says how the rest arrives, which is a head and what follows it.
pub fn check(data: &[u8]) {
    let Some((piece, wire)) = data.split_first() else {
        return;
    };
    let mut whole = BytesMut::from(wire);
    let found = take_head(&mut whole, &mut 0);
    let (mut buffer, mut searched) = (BytesMut::new(), 0);
    let mut arrived = Ok(None);
    for bytes in wire.chunks(usize::from(*piece).max(1)) {
        buffer.extend_from_slice(bytes);
        if matches!(arrived, Ok(None)) {
            arrived = take_head(&mut buffer, &mut searched);
        }
    }
    assert_eq!(found, arrived, "in pieces of {piece}");
    assert!(
        found.is_err() || whole == buffer,
        "what follows the head stays"
    );
    let Ok(Some(head)) = found else {
        return;
    };
    assert!(head.ends_with(b"\r\n\r\n"));
    reads_back(&head);
}

fn reads_back(head: &Bytes) {
    let Ok(parsed) = parse_request(head) else {
        return;
    };
    let (mut request, framing) = (parsed.request, parsed.framing);
    assert!(request.uri().authority().is_some() && !request.headers().contains_key("host"));
    strip_hop_by_hop(request.headers_mut());
    let body = match framing {
        Framing::None => Body::None,
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked => Body::Stream,
        Framing::UntilClose => panic!("a request that ends with its connection"),
    };
    let mut wire = BytesMut::new();
    write_request(&request, body, &mut wire);
    let canonical = take_head(&mut wire, &mut 0)
        .unwrap()
        .expect("one whole head");
    assert!(wire.is_empty(), "and nothing behind it");
    let again = parse_request(&canonical).unwrap_or_else(|error| panic!("{error}: {canonical:?}"));
    assert_eq!(again.framing, framing, "{canonical:?}");
    let mut second = again.request;
    strip_hop_by_hop(second.headers_mut());
    assert_eq!(second.method(), request.method());
    assert_eq!(
        second.uri().path_and_query(),
        request.uri().path_and_query()
    );
    assert_eq!(second.uri().authority(), request.uri().authority());
    assert_eq!(second.headers(), request.headers());
}
