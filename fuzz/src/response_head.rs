//! Response heads of HTTP/1.1: what is accepted is written in one form, which is read as the very
//! same response.

use bytes::{Bytes, BytesMut};
use fprs_forward::fields::strip_hop_by_hop;
use fprs_forward::h1::body::Framing;
use fprs_forward::h1::head::{bodiless, parse_response, take_head, write_response};
use http::Method;

/// The first byte is the request's method, the rest the response's head.
pub fn check(data: &[u8]) {
    let Some((method, wire)) = data.split_first() else {
        return;
    };
    let method = match method % 3 {
        0 => Method::HEAD,
        1 => Method::GET,
        _ => Method::CONNECT,
    };
    let Ok(head) = parse_response(&Bytes::copy_from_slice(wire), &method) else {
        return;
    };
    let mut response = head.response;
    let status = response.status();
    strip_hop_by_hop(response.headers_mut());
    if bodiless(&method, status) {
        assert_eq!(head.framing, Framing::None);
    }
    assert!(!head.keep_alive || head.framing != Framing::UntilClose);
    let mut wire = BytesMut::new();
    write_response(&response, &method, head.framing, false, &mut wire);
    let canonical = take_head(&mut wire, &mut 0)
        .unwrap()
        .expect("one whole head");
    assert!(wire.is_empty(), "and nothing behind it");
    let again = parse_response(&canonical, &method)
        .unwrap_or_else(|error| panic!("{error}: {canonical:?}"));
    assert_eq!(again.framing, head.framing, "{canonical:?}");
    let mut second = again.response;
    strip_hop_by_hop(second.headers_mut());
    assert_eq!(second.status(), status);
    assert_eq!(second.headers(), response.headers());
}
