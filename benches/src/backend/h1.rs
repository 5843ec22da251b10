//! PURE. The origin's side of an HTTP/1.1 connection: one request at a time, kept alive.

use super::{Answer, HIGH_WATER, Serve};
use crate::wire::{
    TINY,
    websocket::{Count, FROM_CLIENT, h1_response, put_server},
};

const MAX_HEADERS: usize = 48;
const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// One connection.
#[derive(Debug, Default)]
pub struct Server {
    /// Request body bytes that are still to come before the answer is due.
    upload: Option<u64>,
    /// Zeros that are still to be sent.
    zeros: u64,
    /// Whether an endless answer is being sent.
    endless: bool,
    /// The connection became a WebSocket; its messages are counted.
    socket: Option<Count>,
    /// Whether that was answered.
    accepted: bool,
    /// The head of the last answer: they are all alike.
    head: Option<(Answer, Vec<u8>)>,
}

impl Server {
    /// Adds each complete request to `requests` as stream 0 with whether it had a body; `None`
    /// when this is not HTTP/1.1.
    pub fn ingest(&mut self, received: &[u8], requests: &mut Vec<(u32, bool)>) -> Option<usize> {
        let mut used = 0;
        loop {
            let rest = &received[used..];
            if let Some(messages) = &mut self.socket {
                requests.extend((0..messages.take(rest.len())).map(|_| (0, true)));
                return Some(received.len());
            }
            if let Some(left) = self.upload {
                let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                used += taken;
                let left = left - taken as u64;
                self.upload = Some(left).filter(|left| *left > 0);
                if left > 0 {
                    return Some(used);
                }
                requests.push((0, true));
                continue;
            }
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(rest) {
                Ok(httparse::Status::Complete(size)) => used += size,
                Ok(httparse::Status::Partial) => return Some(used),
                Err(_) => return None,
            }
            if request
                .headers
                .iter()
                .any(|h| h.name.eq_ignore_ascii_case("upgrade"))
            {
                self.socket = Some(Count::new(FROM_CLIENT));
                requests.push((0, false));
                continue;
            }
            match body_length(&request) {
                0 => requests.push((0, false)),
                length => self.upload = Some(length),
            }
        }
    }

    /// Begins the answer.
    pub fn respond(&mut self, serve: Serve, answer: Answer, out: &mut Vec<u8>) {
        if answer == Answer::Message {
            if std::mem::replace(&mut self.accepted, true) {
                put_server(out);
            } else {
                out.extend_from_slice(&h1_response());
            }
            return;
        }
        if self.head.as_ref().is_none_or(|(known, _)| *known != answer) {
            self.head = Some((answer, head(serve, answer)));
        }
        if let Some((_, head)) = &self.head {
            out.extend_from_slice(head);
        }
        match answer {
            Answer::Tiny => out.extend_from_slice(TINY),
            Answer::Zeros(bytes) => self.zeros = bytes,
            Answer::Endless => self.endless = true,
            Answer::Message => {}
        }
    }

    /// Writes one event as a chunk; `false` when none is wanted.
    pub fn event(&mut self, body: &[u8], out: &mut Vec<u8>) -> bool {
        if self.endless && out.len() < HIGH_WATER {
            out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
        self.endless
    }

    /// Writes zeros while they are due and fewer than the limit wait to be sent; returns whether
    /// there are more.
    pub fn pump(&mut self, unsent: usize, out: &mut Vec<u8>) -> bool {
        let mut room = HIGH_WATER.saturating_sub(unsent);
        while self.zeros > 0 && room > 0 {
            let size = ZEROS
                .len()
                .min(room)
                .min(usize::try_from(self.zeros).unwrap_or(usize::MAX));
            out.extend_from_slice(&ZEROS[..size]);
            self.zeros -= size as u64;
            room -= size;
        }
        self.zeros > 0
    }
}

/// No case uploads more than a byte, and every peer keeps its content-length.
fn body_length(request: &httparse::Request<'_, '_>) -> u64 {
    let header = request
        .headers
        .iter()
        .find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let value = header.and_then(|header| str::from_utf8(header.value).ok());
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

fn head(serve: Serve, answer: Answer) -> Vec<u8> {
    let mut text = "HTTP/1.1 200 OK\r\n".to_owned();
    for (name, value) in serve.headers(answer) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if answer == Answer::Endless {
        text.push_str("transfer-encoding: chunked\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_due_only_after_the_whole_request() {
        let (mut server, mut requests) = (Server::default(), Vec::new());
        let wire =
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nab";
        let used = server
            .ingest(&wire[..wire.len() - 1], &mut requests)
            .expect("HTTP/1.1");
        assert_eq!(requests, [(0, false)]);
        assert_eq!(
            server.ingest(&wire[used..], &mut requests),
            Some(wire.len() - used)
        );
        assert_eq!(requests, [(0, false), (0, true)]);
    }
}
