//! What clients do to a connection, without a socket.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

use bytes::{BufMut, BytesMut};

use super::*;
use crate::h2::frame::{self, flag, kind};

/// So many streams, each reset right behind its head, in the fewest bytes there are.
fn resets(streams: u32) -> BytesMut {
    let mut sent = BytesMut::from(PREFACE);
    frame::settings(&mut sent, &[]);
    for stream in 0..streams {
        let stream = 2 * stream + 1;
        // GET, http, `/` and the authority `a`.
        let block = b"\x82\x86\x84\x01\x01a";
        let flags = flag::END_STREAM | flag::END_HEADERS;
        frame::head(&mut sent, block.len(), kind::HEADERS, flags, stream);
        sent.put_slice(block);
        frame::word(&mut sent, kind::RST_STREAM, stream, Code::CANCEL.0);
    }
    sent
}

#[test]
fn streams_that_are_reset_at_once_never_add_up() {
    const STREAMS: u32 = 20_000;
    let sent = resets(STREAMS);
    let (core, mut read) = (&mut Core::server(), BytesMut::new());
    let mut accepted = 0;
    for turn in sent[PREFACE.len()..].chunks(limits::TURN_BYTES) {
        read.put_slice(turn);
        // Those who serve them look once all that was read has been taken.
        let mut begun = Vec::new();
        loop {
            core.receive(&mut read).unwrap();
            let Some(stream) = core.accept() else {
                break;
            };
            begun.push(stream.key);
        }
        accepted += u32::try_from(begun.len()).unwrap();
        let mut open = 0;
        for stream in begun {
            open += usize::from(!core.stream(stream).unwrap().closed);
            core.release(stream);
        }
        assert!(open <= 1, "but for one whose reset is on its way");
        assert!(core.is_empty());
    }
    assert_eq!(accepted, STREAMS);
}
