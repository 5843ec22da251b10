//! Authorities: what a request's authority means doesn't change with its port or a trailing dot, and
//! a server's name is one label.

use bytes::Bytes;
use fprs::proxy::host::{Host, read};
use fprs_forward::h1::head::parse_request;

const ZONE: &str = "region.localhost";

/// The bytes are a `host` field's value.
pub fn check(data: &[u8]) {
    let head = [b"GET / HTTP/1.1\r\nhost: ", data, b"\r\n\r\n"].concat();
    let Ok(head) = parse_request(&Bytes::from(head)) else {
        return;
    };
    let authority = head.request.uri().authority().expect("a canonical request");
    let name = authority.as_str().to_ascii_lowercase();
    assert!(
        !name.is_empty() && !name.contains(['@', '/', '?', '#', ' ', ',']),
        "{name}"
    );
    let host = read(&name, ZONE);
    match host {
        Host::Server(server) => {
            assert!(!server.is_empty() && !server.contains(['.', ':']), "{name}");
            assert_eq!(read(&format!("{server}.{ZONE}"), ZONE), host);
            assert_eq!(read(&format!("{server}.{ZONE}.:443"), ZONE), host);
        }
        Host::Other(other) => assert!(name.starts_with(other)),
        Host::Internal => assert!(name.starts_with(fprs::proxy::host::INTERNAL)),
    }
}
