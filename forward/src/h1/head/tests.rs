use super::*;

fn parse(text: &str) -> Result<RequestHead, Malformed> {
    parse_request(&Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn a_request_becomes_canonical() {
    let head =
        parse("POST /a?b=c HTTP/1.1\r\nHost: Hello.zone:80\r\nContent-Length: 3\r\nX-A: 1\r\n\r\n")
            .unwrap();
    assert_eq!(head.request.uri(), "http://Hello.zone:80/a?b=c");
    assert_eq!(head.framing, Framing::Length(3));
    assert!(head.keep_alive && !head.request.headers().contains_key(HOST));
}

#[test]
fn an_absolute_target_of_the_same_host_is_the_same_request() {
    let head = parse("GET http://h/x HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    assert_eq!(head.request.uri(), "http://h/x");
    let head = parse("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    assert_eq!(head.request.uri().path(), "*");
}

#[test]
fn ambiguous_requests_are_refused() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \r\n\r\n",
        "GET / HTTP/1.1\r\nhost: u@h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\nhost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nx: \x01\r\n\r\n",
        "GET foo HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n",
        "GET * HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /#f HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET http://other/ HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET / HTTP/2.0\r\nhost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 5, 5\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: +5\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: identity, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn heads_are_found_however_they_arrive_and_bounded() {
    let wire = b"GET / HTTP/1.1\r\nhost: h\r\n\r\nrest";
    let (mut buffer, mut searched) = (BytesMut::new(), 0);
    for (at, byte) in wire.iter().enumerate() {
        buffer.extend_from_slice(&[*byte]);
        if let Some(head) = take_head(&mut buffer, &mut searched).unwrap() {
            assert_eq!(at, wire.len() - 5);
            assert_eq!(head.len(), wire.len() - 4);
        }
    }
    assert_eq!(&buffer[..], b"rest");
    let mut endless = BytesMut::from(&vec![b'a'; limits::HEAD_BYTES + 1][..]);
    assert!(take_head(&mut endless, &mut 0).is_err());
}

#[test]
fn responses_are_framed_by_status_method_and_fields() {
    let parse =
        |text: &str, method| parse_response(&Bytes::copy_from_slice(text.as_bytes()), &method);
    let table = [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n",
            Method::GET,
            Framing::Length(4),
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n",
            Method::HEAD,
            Framing::None,
            true,
        ),
        (
            "HTTP/1.1 304 X\r\ncontent-length: 4\r\n\r\n",
            Method::GET,
            Framing::None,
            true,
        ),
        ("HTTP/1.1 204 X\r\n\r\n", Method::GET, Framing::None, true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            Method::GET,
            Framing::Chunked,
            true,
        ),
        (
            "HTTP/1.0 200 OK\r\n\r\n",
            Method::GET,
            Framing::UntilClose,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
            Method::GET,
            Framing::UntilClose,
            false,
        ),
    ];
    for (text, method, framing, keep_alive) in table {
        let head = parse(text, method).unwrap();
        assert_eq!(
            (head.framing, head.keep_alive),
            (framing, keep_alive),
            "{text:?}"
        );
    }
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        assert!(parse(text, Method::GET).is_err(), "{text:?}");
    }
}
