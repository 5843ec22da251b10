//! A server's connection and what a client may say to it, byte by byte, without a socket.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

use http::{Method, Request};
use proptest::prelude::*;

use super::wire::*;
use super::*;

/// GET, http, `/`, and the authority `a`.
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";

/// A connection, and the streams that were opened on it and that nobody has begun to serve.
struct Server {
    core: Core,
    accepted: VecDeque<Accepted>,
}

impl Server {
    fn receive(&mut self, bytes: &mut BytesMut) -> Result<(), Code> {
        loop {
            self.core.receive(bytes)?;
            match self.core.accept() {
                Some(accepted) => self.accepted.push_back(accepted),
                None => return Ok(()),
            }
        }
    }

    fn accept(&mut self) -> Option<Accepted> {
        self.accepted.pop_front()
    }
}

impl Deref for Server {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Core {
        &mut self.core
    }
}

fn server() -> Server {
    let mut server = Server {
        core: Core::server(),
        accepted: VecDeque::new(),
    };
    server.receive(&mut settings(&[])).unwrap();
    written(&mut server);
    server
}

fn asked(stream: u32, block: &[u8]) -> BytesMut {
    frame(kind::HEADERS, WHOLE | END, stream, block)
}

/// The streams that were opened.
fn opened(core: &mut Server) -> Vec<(usize, Request<()>)> {
    std::iter::from_fn(|| core.accept())
        .map(|accepted| (accepted.key, accepted.request))
        .collect()
}

fn goaways(core: &mut Core) -> Vec<(u32, u32)> {
    let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let frames = written(core).into_iter();
    let frames = frames.filter(|(head, _)| head.kind == kind::GOAWAY);
    frames
        .map(|(_, told)| (word(&told[..4]), word(&told[4..8])))
        .collect()
}

#[test]
fn a_request_is_what_was_said_of_it() {
    let mut core = server();
    let post = b"\x83\x87\x44\x04/a?b\x41\x05h.x:1\x00\x01c\x01d\x0f\x0d\x013";
    core.receive(&mut all(&[
        frame(kind::HEADERS, WHOLE, 1, post),
        frame(kind::DATA, 0, 1, b"ab"),
        asked(3, GET),
        frame(kind::DATA, 0, 1, b"c"),
        frame(kind::HEADERS, WHOLE | END, 1, b"\x00\x01t\x01u"),
    ]))
    .unwrap();
    let opened = opened(&mut core);
    let (key, request) = &opened[0];
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), "https://h.x:1/a?b");
    assert_eq!(request.headers()["c"], "d");
    assert_eq!(
        got(&mut core, *key),
        (None, b"abc".to_vec(), true, Ok(true))
    );
    assert_eq!(opened[1].1.uri(), "http://a/");
    assert_eq!(opened.len(), 2);
}

#[test]
fn a_malformed_request_is_reset_alone_and_never_seen() {
    for (what, block) in [
        ("nothing", &b""[..]),
        ("no method", b"\x86\x84\x41\x01a"),
        ("no scheme", b"\x82\x84\x41\x01a"),
        ("no path", b"\x82\x86\x41\x01a"),
        ("an empty path", b"\x82\x86\x04\x00\x41\x01a"),
        ("two methods", b"\x82\x82\x86\x84\x41\x01a"),
        ("a status", b"\x82\x86\x84\x41\x01a\x88"),
        (
            "a part after a field",
            b"\x82\x86\x84\x00\x01a\x01b\x41\x01a",
        ),
        (
            "a part that is none",
            b"\x82\x86\x84\x41\x01a\x00\x02:x\x01y",
        ),
        ("an empty authority", b"\x82\x86\x84\x41\x00"),
        (
            "a protocol without CONNECT",
            b"\x82\x86\x84\x41\x01a\x00\x09:protocol\x01x",
        ),
        ("te: gzip", b"\x82\x86\x84\x41\x01a\x00\x02te\x04gzip"),
        (
            "transfer-encoding",
            b"\x82\x86\x84\x41\x01a\x0f\x2a\x07chunked",
        ),
        (
            "content that does not come",
            b"\x82\x86\x84\x41\x01a\x0f\x0d\x013",
        ),
        (
            "a length that is none",
            b"\x82\x86\x84\x41\x01a\x0f\x0d\x01x",
        ),
    ] {
        let mut core = server();
        core.receive(&mut all(&[asked(1, block), asked(3, GET)]))
            .unwrap();
        assert_eq!(resets(&mut core), [(1, Code::PROTOCOL_ERROR.0)], "{what}");
        assert_eq!(opened(&mut core).len(), 1, "{what}");
        // What is still on its way for it.
        core.receive(&mut frame(kind::DATA, END, 1, b"late"))
            .unwrap();
    }
}

#[test]
fn numbers_rise_and_are_odd() {
    for (what, stream) in [("even", 4), ("none", 0)] {
        let ended = server().receive(&mut asked(stream, GET));
        assert_eq!(ended, Err(Code::PROTOCOL_ERROR), "{what}");
    }
    let mut core = server();
    core.receive(&mut all(&[asked(7, GET), asked(5, GET)]))
        .unwrap();
    assert_eq!(opened(&mut core).len(), 1, "one that was skipped is closed");
    let idle = core.receive(&mut frame(kind::DATA, 0, 9, b"a"));
    assert_eq!(idle, Err(Code::PROTOCOL_ERROR));
}

#[test]
fn streams_beyond_the_limit_are_refused_and_come_again() {
    let mut core = server();
    let most = limits::STREAMS_PER_CONNECTION;
    for n in 0..=most {
        core.receive(&mut asked(2 * n + 1, GET)).unwrap();
    }
    assert_eq!(resets(&mut core), [(2 * most + 1, Code::REFUSED_STREAM.0)]);
    let opened = opened(&mut core);
    assert_eq!(opened.len(), most as usize);
    core.release(opened[0].0);
    core.receive(&mut asked(2 * most + 3, GET)).unwrap();
    assert!(core.accept().is_some());
}

#[test]
fn too_many_fields_are_answered_431_and_none_is_lost_of_the_table() {
    let mut core = server();
    let mut block = GET.to_vec();
    // One field of 4,000 bytes put into the table and told again and again.
    block.extend(b"\x40\x01a\x7f\xa1\x1e");
    block.extend(vec![b'b'; 4_000]);
    block.extend(vec![0xbe; 4_000]);
    core.receive(&mut asked(1, &block)).unwrap();
    let answer = written(&mut core).remove(0);
    assert_eq!(
        (answer.0.kind, answer.0.flags),
        (kind::HEADERS, WHOLE | END)
    );
    assert_eq!(answer.1, b"\x08\x03431");
    core.receive(&mut asked(3, &[GET, b"\xbf"].concat()))
        .unwrap();
    let opened = opened(&mut core);
    assert_eq!(opened[0].1.headers()["a"].len(), 4_000);
}

#[test]
fn an_answer_before_the_requests_end_says_that_the_rest_is_not_wanted() {
    for (whole, code) in [(true, Code::NO_ERROR), (false, Code::CANCEL)] {
        let mut core = server();
        core.receive(&mut frame(kind::HEADERS, WHOLE, 1, GET))
            .unwrap();
        let (key, _) = opened(&mut core).remove(0);
        core.respond(key, StatusCode::OK, &HeaderMap::new(), whole)
            .unwrap();
        core.release(key);
        assert_eq!(resets(&mut core), [(1, code.0)]);
    }
    let mut core = server();
    core.receive(&mut asked(1, GET)).unwrap();
    let (key, _) = opened(&mut core).remove(0);
    core.abort(key, Code::INTERNAL_ERROR);
    assert!(
        core.respond(key, StatusCode::OK, &HeaderMap::new(), true)
            .is_err()
    );
    core.release(key);
    assert_eq!(resets(&mut core), [(1, Code::INTERNAL_ERROR.0)], "once");
}

#[test]
fn a_client_that_leaves_is_noticed_though_it_has_said_everything() {
    let mut core = server();
    core.receive(&mut asked(1, GET)).unwrap();
    let (key, _) = opened(&mut core).remove(0);
    assert!(!core.streams[key].closed);
    core.receive(&mut frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]))
        .unwrap();
    assert!(core.streams[key].closed);
    assert!(core.send(key, Bytes::from_static(b"a"), false).is_err());
}

#[test]
fn a_drain_serves_what_was_sent_before_the_client_knew() {
    let mut core = server();
    core.receive(&mut asked(1, GET)).unwrap();
    core.shut_down();
    core.shut_down();
    assert_eq!(goaways(&mut core), [(frame::LAST_STREAM, 0)]);
    core.receive(&mut asked(3, GET)).unwrap();
    let streams = opened(&mut core);
    assert_eq!(streams.len(), 2);
    let mut pong = BytesMut::new();
    frame::ping(&mut pong, flag::ACK, GOODBYE);
    core.receive(&mut all(&[pong, asked(5, GET)])).unwrap();
    assert_eq!(goaways(&mut core), [(3, 0)]);
    assert!(core.accept().is_none(), "it comes too late");
    assert!(!core.is_done());
    for (key, _) in streams {
        core.release(key);
    }
    assert!(core.is_done());
}

#[test]
fn what_waits_to_be_written_is_bounded() {
    let mut core = server();
    core.receive(&mut all(&[
        settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 30)]),
        frame(kind::WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()),
        asked(1, GET),
    ]))
    .unwrap();
    let (key, _) = opened(&mut core).remove(0);
    core.respond(key, StatusCode::OK, &HeaderMap::new(), false)
        .unwrap();
    let piece = Bytes::from(vec![0; 64 * 1024]);
    let mut sent = 0;
    while room(&mut core, key, piece.len()).is_some() {
        core.send(key, piece.clone(), false).unwrap();
        sent += piece.len();
    }
    assert!(
        sent <= limits::CONNECTION_WRITE_BYTES + piece.len(),
        "{sent}"
    );
    assert!(!core.wake_waiting(), "there is no room yet");
    written(&mut core);
    assert!(room(&mut core, key, 1).is_some());
}

proptest! {
    /// Frames that mean something, in any order, with anything in them, in any pieces.
    #[test]
    fn nothing_a_client_says_breaks_the_core(
        frames in proptest::collection::vec(
            (0_u8..11, any::<u8>(), 0_u32..12, proptest::collection::vec(any::<u8>(), 0..40)), 0..40),
        step in 1_usize..64,
    ) {
        let mut core = server();
        let mut wire = all(&[asked(1, GET), frame(kind::HEADERS, WHOLE, 3, GET)]);
        for (kind, flags, stream, payload) in &frames {
            wire.extend_from_slice(&frame(*kind, *flags, *stream, payload));
        }
        let (mut read, mut keys) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(step) {
            read.extend_from_slice(piece);
            let received = core.receive(&mut read);
            keys.extend(opened(&mut core).into_iter().map(|(key, _)| key));
            if let Err(code) = received {
                core.end(Some(code));
                break;
            }
        }
        for key in keys {
            core.respond(key, StatusCode::OK, &HeaderMap::new(), false).ok();
            core.release(key);
        }
        written(&mut core);
        prop_assert!(core.streams.is_empty() && core.by_id.is_empty());
    }
}
