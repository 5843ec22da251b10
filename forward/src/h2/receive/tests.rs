//! A client's connection and what a server may say to it, byte by byte, without a socket.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

use http::Request;
use proptest::prelude::*;

use super::wire::*;
use super::*;

#[test]
fn a_response_is_read_however_its_bytes_come() {
    let stream = all(&[
        frame(kind::HEADERS, WHOLE, 1, b"\x08\x03103"),
        frame(kind::HEADERS, 0, 1, OK),
        frame(kind::CONTINUATION, 0, 1, b""),
        frame(kind::CONTINUATION, WHOLE, 1, b"\x00\x01a\x01b"),
        frame(kind::DATA, flag::PADDED, 1, b"\x02abc\0\0"),
        frame(kind::PING, 0, 0, b"whatever"),
        frame(77, 0xff, 9, b"of no kind that is known"),
        frame(kind::DATA, 0, 1, b""),
        frame(kind::DATA, 0, 1, b"def"),
        frame(kind::HEADERS, WHOLE | END, 1, b"\x00\x01t\x01u"),
    ]);
    for step in 1..stream.len() {
        let mut core = core();
        let key = open(&mut core);
        let mut read = BytesMut::new();
        for piece in stream.chunks(step) {
            read.extend_from_slice(piece);
            core.receive(&mut read).unwrap();
        }
        let whole = (Some(200), b"abcdef".to_vec(), true, Ok(true));
        assert_eq!(got(&mut core, key), whole, "in steps of {step}");
        assert_eq!(core.streams[key].interims(), 1);
        assert_eq!(core.streams[key].unread, 6);
        let pong = written(&mut core).pop().unwrap();
        assert_eq!((pong.0.flags, &pong.1[..]), (flag::ACK, &b"whatever"[..]));
    }
}

#[test]
fn a_malformed_response_fails_alone() {
    let head = |block: &[u8]| frame(kind::HEADERS, WHOLE, 1, block);
    let length = |digits: &str| {
        let length = u8::try_from(digits.len()).unwrap();
        head(&[b"\x88\x0f\x0d", &[length][..], digits.as_bytes()].concat())
    };
    let data = |flags, content: &[u8]| frame(kind::DATA, flags, 1, content);
    let ok = || head(OK);
    for (what, frames) in [
        ("no status", vec![head(b"\x00\x01a\x01b")]),
        ("two of them", vec![head(b"\x88\x88")]),
        ("one after a field", vec![head(b"\x00\x01a\x01b\x88")]),
        ("a request's part", vec![head(b"\x88\x84")]),
        ("an upper-case name", vec![head(b"\x88\x00\x01A\x01b")]),
        ("a line's end", vec![head(b"\x88\x00\x01a\x02b\n")]),
        ("connection", vec![head(b"\x88\x00\x0aconnection\x05close")]),
        ("keep-alive", vec![head(b"\x88\x00\x0akeep-alive\x011")]),
        ("a length that is none", vec![length("12x")]),
        ("content without a head", vec![data(0, b"a")]),
        (
            "an end without a head",
            vec![frame(kind::HEADERS, WHOLE | END, 1, b"\x08\x03100")],
        ),
        ("a switch of protocols", vec![head(b"\x08\x03101")]),
        ("a second head", vec![ok(), ok()]),
        (
            "a status in trailers",
            vec![ok(), frame(kind::HEADERS, WHOLE | END, 1, OK)],
        ),
        ("more than announced", vec![length("2"), data(0, b"abc")]),
        ("less than announced", vec![length("2"), data(END, b"a")]),
        (
            "nothing of what was announced",
            vec![length("2"), data(END, b"")],
        ),
        (
            "trailers too soon",
            vec![
                length("2"),
                frame(kind::HEADERS, WHOLE | END, 1, b"\x00\x01t\x01u"),
            ],
        ),
        (
            "a window that grows by nothing",
            vec![frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4])],
        ),
        (
            "a window without end",
            vec![frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])],
        ),
    ] {
        let mut core = core();
        let (key, other) = (open(&mut core), open(&mut core));
        written(&mut core);
        core.receive(&mut all(&frames)).unwrap();
        let (.., end) = got(&mut core, key);
        assert_eq!(end, Err(Fault::Protocol), "{what}");
        assert_eq!(resets(&mut core).len(), 1, "{what}");
        // What the peer still has on its way for it is nobody's.
        core.receive(&mut all(&[ok(), data(END, b"late")])).unwrap();
        core.receive(&mut frame(kind::HEADERS, WHOLE | END, 3, OK))
            .unwrap();
        let whole = (Some(200), Vec::new(), false, Ok(true));
        assert_eq!(got(&mut core, other), whole, "{what}");
        assert_eq!(resets(&mut core), [], "{what}");
        core.release(key);
        core.release(other);
        assert!(core.streams.is_empty() && core.by_id.is_empty());
    }
}

#[test]
fn a_response_without_content_may_announce_some() {
    for (method, status) in [("HEAD", &b"\x88"[..]), ("GET", b"\x8b"), ("GET", b"\x89")] {
        let mut core = core();
        let request = Request::builder().method(method).uri("http://program/");
        let key = core.open(&request.body(()).unwrap(), true).unwrap();
        let block = [status, b"\x0f\x0d\x0212"].concat();
        core.receive(&mut frame(kind::HEADERS, WHOLE | END, 1, &block))
            .unwrap();
        assert_eq!(got(&mut core, key).3, Ok(true), "{method} {status:?}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_makes_the_rest_unreadable_ends_the_connection() {
    let long = vec![0; 5];
    for (what, code, bytes) in [
        (
            "a frame beyond the size",
            Code::FRAME_SIZE_ERROR,
            frame(0, 0, 1, &vec![0; 65_537]),
        ),
        (
            "a stream that never was",
            Code::PROTOCOL_ERROR,
            frame(kind::DATA, 0, 5, b""),
        ),
        (
            "a stream of the peer's",
            Code::PROTOCOL_ERROR,
            frame(kind::HEADERS, WHOLE, 2, OK),
        ),
        (
            "a header block that is none",
            Code::COMPRESSION_ERROR,
            frame(kind::HEADERS, WHOLE, 1, b"\xff"),
        ),
        (
            "a push",
            Code::PROTOCOL_ERROR,
            frame(kind::PUSH_PROMISE, WHOLE, 1, b"\0\0\0\x02"),
        ),
        (
            "padding without end",
            Code::PROTOCOL_ERROR,
            frame(kind::DATA, flag::PADDED, 1, b"\x09abc"),
        ),
        (
            "a block within a block",
            Code::PROTOCOL_ERROR,
            all(&[
                frame(kind::HEADERS, 0, 1, OK),
                frame(kind::PING, 0, 0, &[0; 8]),
            ]),
        ),
        (
            "the rest of nothing",
            Code::PROTOCOL_ERROR,
            frame(kind::CONTINUATION, WHOLE, 1, OK),
        ),
        (
            "a long reset",
            Code::FRAME_SIZE_ERROR,
            frame(kind::RST_STREAM, 0, 1, &long),
        ),
        (
            "a long ping",
            Code::FRAME_SIZE_ERROR,
            frame(kind::PING, 0, 0, &long),
        ),
        (
            "half a setting",
            Code::FRAME_SIZE_ERROR,
            frame(kind::SETTINGS, 0, 0, &long),
        ),
        (
            "a stream's setting",
            Code::PROTOCOL_ERROR,
            frame(kind::SETTINGS, 0, 1, b""),
        ),
        (
            "a window beyond all",
            Code::FLOW_CONTROL_ERROR,
            settings(&[(4, 1 << 31)]),
        ),
        (
            "frames too small",
            Code::PROTOCOL_ERROR,
            settings(&[(5, 16_383)]),
        ),
        (
            "frames too large",
            Code::PROTOCOL_ERROR,
            settings(&[(5, 1 << 24)]),
        ),
        (
            "a window that grows by nothing",
            Code::PROTOCOL_ERROR,
            frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
        ),
        (
            "a window without end",
            Code::FLOW_CONTROL_ERROR,
            frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        (
            "half a goodbye",
            Code::FRAME_SIZE_ERROR,
            frame(kind::GOAWAY, 0, 0, &long),
        ),
    ] {
        let mut core = core();
        open(&mut core);
        open(&mut core);
        assert_eq!(core.receive(&mut bytes.clone()), Err(code), "{what}");
    }
    assert_eq!(
        Core::client().receive(&mut frame(kind::PING, 0, 0, &[0; 8])),
        Err(Code::PROTOCOL_ERROR),
        "settings come first"
    );
}

#[test]
fn a_peer_that_asks_without_end_is_left() {
    for asked in [frame(kind::PING, 0, 0, &[0; 8]), settings(&[])] {
        let mut core = core();
        let ended = (0..100_000).find_map(|_| core.receive(&mut asked.clone()).err());
        assert_eq!(ended, Some(Code::ENHANCE_YOUR_CALM));
        assert!(core.out.len() < 3 * limits::CONNECTION_WRITE_BYTES);
    }
    for (flags, content) in [(0, &b"\x00\x01a\x01b"[..]), (0, b"")] {
        let mut core = core();
        open(&mut core);
        core.receive(&mut frame(kind::HEADERS, 0, 1, OK)).unwrap();
        let more = frame(kind::CONTINUATION, flags, 1, content);
        let ended = (0..100_000).find_map(|_| core.receive(&mut more.clone()).err());
        assert_eq!(ended, Some(Code::ENHANCE_YOUR_CALM));
    }
}

#[test]
fn a_peer_that_asks_now_and_then_is_answered_however_much_waits() {
    let mut core = core();
    while !core.is_choked() {
        open(&mut core);
    }
    for _ in 0..1_000 {
        core.receive(&mut frame(kind::PING, 0, 0, &[0; 8])).unwrap();
    }
}

#[test]
fn a_list_of_fields_beyond_the_limit_fails_alone_and_is_not_kept() {
    let mut core = core();
    let (key, other) = (open(&mut core), open(&mut core));
    // One field of 4,000 bytes put into the table and told again and again.
    let mut block = b"\x88\x40\x01a\x7f\xa1\x1e".to_vec();
    block.extend(vec![b'b'; 4_000]);
    block.extend(vec![0xbe; 4_000]);
    core.receive(&mut frame(kind::HEADERS, WHOLE, 1, &block))
        .unwrap();
    assert_eq!(got(&mut core, key).3, Err(Fault::Protocol));
    let again = frame(kind::HEADERS, WHOLE | END, 3, b"\x88\xbe");
    core.receive(&mut { again }).unwrap();
    assert_eq!(got(&mut core, other).3, Ok(true), "the table is in step");
}

#[test]
fn the_peer_sends_what_it_was_granted_and_no_more() {
    let mut core = core();
    let key = open(&mut core);
    let window = limits::STREAM_WINDOW as usize;
    core.receive(&mut frame(kind::HEADERS, WHOLE, 1, OK))
        .unwrap();
    let half = vec![0; 32 * 1024];
    for _ in 0..window / half.len() {
        core.receive(&mut frame(kind::DATA, 0, 1, &half)).unwrap();
    }
    assert_eq!(core.streams[key].unread, window);
    written(&mut core);
    core.consumed(key, window / 2 - 1);
    assert!(written(&mut core).is_empty(), "not yet worth a frame");
    core.consumed(key, 1);
    let update = written(&mut core).pop().unwrap();
    assert_eq!(update.0.kind, kind::WINDOW_UPDATE);
    assert_eq!(update.1, (limits::STREAM_WINDOW / 2).to_be_bytes());
    for _ in 0..window / half.len() / 2 {
        core.receive(&mut frame(kind::DATA, 0, 1, &half)).unwrap();
    }
    assert_eq!(got(&mut core, key).3, Ok(false));
    core.receive(&mut frame(kind::DATA, 0, 1, b"a")).unwrap();
    assert_eq!(got(&mut core, key).3, Err(Fault::Protocol));
    assert_eq!(resets(&mut core), [(1, Code::FLOW_CONTROL_ERROR.0)]);
}

#[test]
fn a_narrower_window_holds_once_the_peer_agrees_and_a_wider_one_at_once() {
    let mut core = core();
    let key = open(&mut core);
    core.offer(16 * 1024);
    assert_eq!(
        core.streams[key].left,
        256 * 1024,
        "it may not have read that"
    );
    core.offer(64 * 1024);
    core.receive(&mut frame(kind::SETTINGS, flag::ACK, 0, b""))
        .unwrap();
    assert_eq!(core.streams[key].left, 16 * 1024);
    let told = written(&mut core).into_iter();
    let told = told.filter(|(head, _)| head.kind == kind::SETTINGS && !head.has(flag::ACK));
    assert_eq!(told.count(), 1, "one change at a time");
    core.offer(256 * 1024);
    assert_eq!(core.streams[key].left, 256 * 1024);
    core.receive(&mut frame(kind::SETTINGS, flag::ACK, 0, b""))
        .unwrap();
    assert_eq!(core.streams[key].left, 256 * 1024);
}

#[test]
fn nothing_is_sent_beyond_a_window_or_a_frame() {
    let mut core = core();
    let (key, other) = (open(&mut core), open(&mut core));
    core.receive(&mut settings(&[(setting::INITIAL_WINDOW_SIZE, 40_000)]))
        .unwrap();
    written(&mut core);
    assert_eq!(room(&mut core, key, 100_000), Some(40_000));
    core.send(key, vec![1; 40_000].into(), false).unwrap();
    let lengths: Vec<usize> = written(&mut core)
        .iter()
        .map(|(head, _)| head.length)
        .collect();
    assert_eq!(lengths, [16_384, 16_384, 7_232]);
    assert_eq!(room(&mut core, key, 1), None, "the stream's window");
    core.receive(&mut settings(&[(setting::INITIAL_WINDOW_SIZE, 30_000)]))
        .unwrap();
    core.receive(&mut frame(
        kind::WINDOW_UPDATE,
        0,
        1,
        &10_000_u32.to_be_bytes(),
    ))
    .unwrap();
    assert_eq!(room(&mut core, key, 1), None, "it took as much back");
    core.receive(&mut frame(kind::WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()))
        .unwrap();
    assert_eq!(room(&mut core, key, 9), Some(1));
    assert_eq!(
        room(&mut core, other, 100_000),
        Some(25_535),
        "the connection's window"
    );
    core.send(other, vec![2; 25_535].into(), true).unwrap();
    let last = written(&mut core).pop().unwrap().0;
    assert_eq!((last.length, last.flags), (25_535 - 16_384, END));
    assert_eq!(room(&mut core, key, 1), None);
    core.receive(&mut frame(kind::WINDOW_UPDATE, 0, 0, &5_u32.to_be_bytes()))
        .unwrap();
    assert_eq!(room(&mut core, key, 9), Some(1));
    assert_eq!(
        core.send(other, Bytes::new(), true),
        Err(Fault::Reset),
        "it has ended"
    );
}

#[test]
fn a_head_larger_than_a_frame_goes_in_several() {
    let mut core = core();
    let long = "v".repeat(60_000);
    let request = Request::get("http://program/").header("long", &long);
    core.open(&request.body(()).unwrap(), true).unwrap();
    let frames = written(&mut core);
    let heads: Vec<_> = frames
        .iter()
        .map(|(head, _)| (head.kind, head.flags))
        .collect();
    let rest = (kind::CONTINUATION, 0);
    assert_eq!(
        heads,
        [
            (kind::HEADERS, END),
            rest,
            rest,
            (kind::CONTINUATION, WHOLE)
        ]
    );
    let block: Vec<u8> = frames.into_iter().flat_map(|(_, block)| block).collect();
    assert!(block.ends_with(long.as_bytes()));
}

#[test]
fn a_peer_that_goes_says_what_it_never_looked_at() {
    for (code, failure) in [(0_u32, Fault::Refused), (2, Fault::Reset)] {
        let mut core = core();
        let keys = [open(&mut core), open(&mut core)];
        let goodbye = [&1_u32.to_be_bytes()[..], &code.to_be_bytes(), b"why"].concat();
        core.receive(&mut frame(kind::GOAWAY, 0, 0, &goodbye))
            .unwrap();
        assert_eq!(core.allowed(), None);
        assert_eq!(got(&mut core, keys[1]).3, Err(failure));
        core.receive(&mut frame(kind::HEADERS, WHOLE | END, 1, OK))
            .unwrap();
        assert_eq!(got(&mut core, keys[0]).3, Ok(true));
        assert!(!core.is_done());
        for key in keys {
            core.release(key);
        }
        assert!(core.is_done());
    }
}

#[test]
fn a_reset_says_whether_it_was_looked_at_and_takes_nothing_that_is_whole() {
    let reset = |code: Code| frame(kind::RST_STREAM, 0, 1, &code.0.to_be_bytes());
    for (code, failure) in [
        (Code::REFUSED_STREAM, Fault::Refused),
        (Code::CANCEL, Fault::Reset),
        (Code::NO_ERROR, Fault::Reset),
    ] {
        let mut core = core();
        let key = open(&mut core);
        core.receive(&mut all(&[
            frame(kind::HEADERS, WHOLE, 1, OK),
            frame(kind::DATA, 0, 1, b"abc"),
            reset(code),
        ]))
        .unwrap();
        assert_eq!(
            got(&mut core, key),
            (Some(200), b"abc".to_vec(), false, Err(failure))
        );
        core.release(key);
        assert_eq!(resets(&mut core), [], "it has reset it itself");
    }
    // RFC 9113 §8.1: the whole answer, and no more of the request is wanted.
    let mut core = core();
    let key = open(&mut core);
    core.receive(&mut all(&[
        frame(kind::HEADERS, WHOLE | END, 1, OK),
        reset(Code::NO_ERROR),
    ]))
    .unwrap();
    assert_eq!(got(&mut core, key).3, Ok(true));
    assert_eq!(
        core.send(key, Bytes::from_static(b"more"), false),
        Err(Fault::Reset)
    );
}

#[test]
fn what_is_left_before_its_end_is_cancelled_and_what_has_ended_is_not() {
    let mut core = core();
    let (left, ended) = (open(&mut core), open(&mut core));
    core.receive(&mut frame(kind::HEADERS, WHOLE | END, 3, OK))
        .unwrap();
    core.send(ended, Bytes::new(), true).unwrap();
    core.release(ended);
    core.release(left);
    assert_eq!(resets(&mut core), [(1, Code::CANCEL.0)]);
    core.receive(&mut all(&[
        frame(kind::HEADERS, WHOLE, 1, OK),
        frame(kind::DATA, 0, 1, b"late"),
        frame(kind::WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
        frame(kind::RST_STREAM, 0, 1, &8_u32.to_be_bytes()),
    ]))
    .unwrap();
    assert!(core.streams.is_empty());
}

#[test]
fn what_nobody_reads_takes_nothing_of_the_connection() {
    let mut core = core();
    open(&mut core);
    core.receive(&mut frame(kind::HEADERS, WHOLE, 1, OK))
        .unwrap();
    core.release(0);
    let piece = frame(kind::DATA, 0, 1, &vec![0; 64 * 1024]);
    let sent = 4 * limits::CONNECTION_WINDOW as usize;
    let mut returned = 0;
    for _ in 0..sent / (64 * 1024) {
        core.receive(&mut piece.clone()).unwrap();
        for (head, more) in written(&mut core) {
            if head.kind == kind::WINDOW_UPDATE && head.stream == 0 {
                returned += u32::from_be_bytes(more.try_into().unwrap()) as usize;
            }
        }
    }
    assert!(sent - returned <= limits::CONNECTION_WINDOW as usize / 2);
}

proptest! {
    /// Frames that mean something, in any order, with anything in them, in any pieces.
    #[test]
    fn nothing_a_peer_says_breaks_the_core(
        frames in proptest::collection::vec(
            (0_u8..11, any::<u8>(), 0_u32..8, proptest::collection::vec(any::<u8>(), 0..40)), 0..40),
        step in 1_usize..64,
    ) {
        let mut core = core();
        let keys = [open(&mut core), open(&mut core), open(&mut core)];
        let frames: Vec<BytesMut> = frames
            .iter()
            .map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload))
            .collect();
        let mut read = BytesMut::new();
        for piece in all(&frames).chunks(step) {
            read.extend_from_slice(piece);
            if let Err(code) = core.receive(&mut read) {
                core.end(Some(code));
                break;
            }
        }
        written(&mut core);
        for key in keys {
            core.release(key);
        }
        prop_assert!(core.streams.is_empty() && core.by_id.is_empty());
    }
}
