//! PURE. WebSocket messages of one fixed size (RFC 6455 §5.2), and what opens and accepts a socket:
//! a client's message is answered with a server's of the same payload.

use super::AUTHORITY;

/// Bytes of payload: a chat message or a token.
const PAYLOAD: usize = 64;
/// A final binary frame.
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0; 4];

/// Bytes of a client's message.
pub const FROM_CLIENT: usize = 2 + MASK.len() + PAYLOAD;
/// Bytes of a server's message.
pub const FROM_SERVER: usize = 2 + PAYLOAD;

/// Where sockets are asked for: some proxies are told by the path.
pub const PATH: &str = "/ws";
/// The key of RFC 6455 §1.3; nobody here needs another.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What the RFC says that a server answers to it.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A client's message, masked as the protocol wants it, with a mask that changes nothing.
pub fn put_client(out: &mut Vec<u8>) {
    out.extend_from_slice(&[BINARY, MASKED | PAYLOAD as u8]);
    out.extend_from_slice(&MASK);
    out.resize(out.len() + PAYLOAD, b'm');
}

/// A server's message.
pub fn put_server(out: &mut Vec<u8>) {
    out.extend_from_slice(&[BINARY, PAYLOAD as u8]);
    out.resize(out.len() + PAYLOAD, b'm');
}

/// The HTTP/1.1 request that opens a socket.
#[must_use]
pub fn h1_request(headers: &[(String, String)]) -> Vec<u8> {
    let mut text = format!(
        "GET {PATH} HTTP/1.1\r\nhost: {AUTHORITY}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n"
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The HTTP/1.1 answer that accepts it.
#[must_use]
pub fn h1_response() -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {ACCEPT}\r\n\r\n"
    )
    .into_bytes()
}

/// Finds the ends of messages of one size in bytes that arrive in any pieces.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    size: usize,
    seen: usize,
}

impl Count {
    /// For messages of `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size, seen: 0 }
    }

    /// Takes `bytes` more; returns how many messages they complete.
    pub fn take(&mut self, bytes: usize) -> usize {
        self.seen += bytes;
        let whole = self.seen / self.size;
        self.seen %= self.size;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_sizes_that_their_readers_count_with() {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        put_client(&mut client);
        put_server(&mut server);
        assert_eq!((client.len(), server.len()), (FROM_CLIENT, FROM_SERVER));
    }

    #[test]
    fn messages_are_counted_in_any_pieces() {
        let mut count = Count::new(10);
        let ends: Vec<usize> = [4, 6, 25, 4, 1].map(|bytes| count.take(bytes)).to_vec();
        assert_eq!(ends, [0, 1, 2, 0, 1]);
    }
}
