//! Frames for tests, and what a core makes of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

use std::task::{Context, Poll, Waker};

use bytes::{Buf, BufMut, BytesMut};

use http::Request;

use super::super::core::Core;
use super::super::entry::Fault;
use super::super::frame::{self, Head, flag, kind};

pub(super) const OK: &[u8] = b"\x88";
pub(super) const END: u8 = flag::END_STREAM;
pub(super) const WHOLE: u8 = flag::END_HEADERS;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    frame::head(&mut out, payload.len(), kind, flags, stream);
    out.put_slice(payload);
    out
}

pub(super) fn settings(settings: &[(u16, u32)]) -> BytesMut {
    let mut out = BytesMut::new();
    frame::settings(&mut out, settings);
    out
}

/// A core whose peer has said what it allows; what was written until then is gone.
pub(super) fn core() -> Core {
    let mut core = Core::client();
    core.receive(&mut settings(&[])).unwrap();
    written(&mut core);
    core
}

pub(super) fn open(core: &mut Core) -> usize {
    let request = Request::post("http://program/").body(()).unwrap();
    core.open(&request, false).unwrap()
}

/// What was to go out, in frames.
pub(super) fn written(core: &mut Core) -> Vec<(Head, Vec<u8>)> {
    let mut bytes = drained(core);
    if bytes.starts_with(frame::PREFACE) {
        bytes.advance(frame::PREFACE.len());
    }
    let mut frames = Vec::new();
    while let Some(head) = Head::parse(&bytes) {
        bytes.advance(frame::HEAD);
        frames.push((head, bytes.split_to(head.length).to_vec()));
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}

fn drained(core: &mut Core) -> BytesMut {
    let mut sink = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(
        core.out.poll_flush(&mut sink, &mut cx),
        Poll::Ready(Ok(()))
    ));
    BytesMut::from(&sink[..])
}

pub(super) fn resets(core: &mut Core) -> Vec<(u32, u32)> {
    let resets = written(core).into_iter();
    let resets = resets.filter(|(head, _)| head.kind == kind::RST_STREAM);
    resets
        .map(|(head, code)| (head.stream, u32::from_be_bytes(code.try_into().unwrap())))
        .collect()
}

/// What a stream got: its status, content, trailers, and whether it is whole.
pub(super) fn got(
    core: &mut Core,
    key: usize,
) -> (Option<u16>, Vec<u8>, bool, Result<bool, Fault>) {
    let entry = &mut core.streams[key];
    let status = entry.answer.map(|head| core.heads[head].status().as_u16());
    let mut content = Vec::new();
    while let Some(piece) = entry.body.pop() {
        content.extend_from_slice(&piece);
    }
    let end = entry.failed.map_or(Ok(entry.got_end), Err);
    (status, content, entry.trailers.is_some(), end)
}

pub(super) fn all(frames: &[BytesMut]) -> BytesMut {
    frames.concat().as_slice().into()
}

pub(super) fn room(core: &mut Core, key: usize, wanted: usize) -> Option<usize> {
    let cx = Context::from_waker(Waker::noop());
    match core.poll_room(key, wanted, &cx) {
        Poll::Ready(room) => Some(room.unwrap()),
        Poll::Pending => None,
    }
}
