//! PURE. What the other side says on a connection, frame by frame (RFC 9113 §6). An error of one stream
//! ends that stream; what makes the rest unreadable, or is meant to hurt, ends the connection.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use slab::Slab;

use super::core::{Accepted, Block, Core, GOODBYE, Side};
use super::entry::{Entry, Fault};
use super::frame::{self, Code, Head, flag, kind, setting};
use super::message::{Malformed, Message};
use crate::h1::head::content_length;
use crate::limits;
use crate::message::Interim;

/// Frames that one header block may come in, and its bytes: without an end to both, a block that never
/// ends would cost what it likes.
const BLOCK_FRAMES: usize = 64;
const BLOCK_BYTES: usize = limits::HEADER_LIST_BYTES as usize;

/// Answers to SETTINGS and PING that may wait for a peer that doesn't read them, in bytes.
const ANSWERS: usize = 64 * 1024;

/// Responses before the response.
const INTERIMS: usize = 32;

/// Streams of one client that are there at a time, those included that it has reset and that are still
/// being left.
const STREAMS: usize = 2 * limits::STREAMS_PER_CONNECTION as usize;

impl Core {
    /// Takes whole frames, up to the one that opens a stream, if one does: it is to be accepted before
    /// more is read.
    ///
    /// # Errors
    /// The connection is to end with that code.
    pub(crate) fn receive(&mut self, bytes: &mut BytesMut) -> Result<(), Code> {
        while self.accepted.is_none()
            && let Some(head) = Head::parse(bytes)
        {
            if head.length > limits::FRAME_BYTES as usize {
                return Err(Code::FRAME_SIZE_ERROR);
            }
            self.in_order(head)?;
            let Some(payload) = bytes.get(frame::HEAD..frame::HEAD + head.length) else {
                break;
            };
            if head.kind == kind::DATA {
                bytes.advance(frame::HEAD);
                let payload = bytes.split_to(head.length).freeze();
                self.data(head, payload)?;
                continue;
            }
            self.control(head, payload)?;
            bytes.advance(frame::HEAD + head.length);
        }
        Ok(())
    }

    /// The first frame is SETTINGS (RFC 9113 §3.4), and nothing comes between a block's frames (§4.3).
    fn in_order(&self, head: Head) -> Result<(), Code> {
        let first = self.is_settled() || (head.kind == kind::SETTINGS && !head.has(flag::ACK));
        let next = match &self.block {
            Some(block) => head.kind == kind::CONTINUATION && head.stream == block.stream,
            None => head.kind != kind::CONTINUATION,
        };
        match first && next {
            true => Ok(()),
            false => Err(Code::PROTOCOL_ERROR),
        }
    }

    fn control(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        match head.kind {
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::RST_STREAM => self.reset_by_peer(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PING => self.ping(head, payload),
            kind::GOAWAY => self.goaway(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            kind::PRIORITY if head.stream == 0 => Err(Code::PROTOCOL_ERROR),
            // We have said that we take none.
            kind::PUSH_PROMISE => Err(Code::PROTOCOL_ERROR),
            _ => Ok(()),
        }
    }

    /// The stream that a frame is of; `None`: one that is over for us.
    fn known(&self, head: Head) -> Result<Option<usize>, Code> {
        match self.by_id.get(&head.stream) {
            Some(key) => Ok(Some(*key)),
            None if self.is_idle(head.stream) => Err(Code::PROTOCOL_ERROR),
            None => Ok(None),
        }
    }

    fn data(&mut self, head: Head, payload: Bytes) -> Result<(), Code> {
        let key = self.known(head)?;
        // Every stream's window is a part of it: it can be returned at once.
        self.unreturned += payload.len();
        if self.unreturned >= limits::CONNECTION_WINDOW as usize / 2 {
            let more = u32::try_from(std::mem::take(&mut self.unreturned)).unwrap_or(0);
            frame::word(self.out.tail(), kind::WINDOW_UPDATE, 0, more);
            self.call();
        }
        let length = i64::try_from(payload.len()).unwrap_or(i64::MAX);
        let content = unpadded(head, payload)?;
        let Some(entry) = key.and_then(|key| self.streams.get_mut(key)) else {
            return Ok(());
        };
        entry.left -= length;
        let end = head.has(flag::END_STREAM);
        match take(entry, content, end) {
            Ok(()) => Ok(()),
            Err(code) => {
                self.refuse(head.stream, code);
                Ok(())
            }
        }
    }

    /// The other side broke a stream's rules: it is reset, and its exchange fails.
    fn refuse(&mut self, stream: u32, code: Code) {
        if let Some(entry) = self
            .by_id
            .remove(&stream)
            .and_then(|key| self.streams.get_mut(key))
        {
            entry.got_end = false;
            entry.fail(Fault::Protocol);
            self.reset(stream, code);
        }
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        match self.side {
            // Any that a client opens; whether it is one is seen once its block was read.
            Side::Server { .. } if !head.stream.is_multiple_of(2) => {}
            _ => {
                self.known(head)?;
            }
        }
        let mut block = padded(head, payload)?;
        if head.has(flag::PRIORITY) {
            block = block.get(5..).ok_or(Code::FRAME_SIZE_ERROR)?;
        }
        let end = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.message(head.stream, end, block);
        }
        self.block = Some(Block {
            stream: head.stream,
            end,
            bytes: block.into(),
            frames: 1,
        });
        Ok(())
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let mut block = self.block.take().ok_or(Code::PROTOCOL_ERROR)?;
        block.frames += 1;
        block.bytes.extend_from_slice(payload);
        if block.frames > BLOCK_FRAMES || block.bytes.len() > BLOCK_BYTES {
            return Err(Code::ENHANCE_YOUR_CALM);
        }
        if head.has(flag::END_HEADERS) {
            return self.message(block.stream, block.end, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A whole header block. It is read even for a stream that is over: the table needs it.
    fn message(&mut self, stream: u32, end: bool, block: &[u8]) -> Result<(), Code> {
        let mut message = Message::default();
        let read = self
            .decoder
            .decode(block, |field, size| message.add(field, size));
        read.map_err(|_| Code::COMPRESSION_ERROR)?;
        let key = self.by_id.get(&stream).copied();
        if let Some(entry) = key.and_then(|key| self.streams.get_mut(key)) {
            if hand_over(message, entry, &mut self.heads, end).is_err() {
                self.refuse(stream, Code::PROTOCOL_ERROR);
            }
        } else if self.is_idle(stream) {
            self.opened(stream, end, message);
        }
        Ok(())
    }

    /// A client has opened a stream.
    fn opened(&mut self, stream: u32, end: bool, message: Message) {
        let Side::Server { last, .. } = &mut self.side else {
            return;
        };
        if self.leaving {
            // It knows which was the last, and that this one was never looked at.
            return;
        }
        *last = stream;
        if message.oversize {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            self.send_response(stream, status, &HeaderMap::new(), true);
            return self.reset(stream, Code::NO_ERROR);
        }
        let Ok(request) = message.request() else {
            return self.reset(stream, Code::PROTOCOL_ERROR);
        };
        let Ok(expected) = announced(request.headers(), end) else {
            return self.reset(stream, Code::PROTOCOL_ERROR);
        };
        let open = self.by_id.len() < limits::STREAMS_PER_CONNECTION as usize;
        if !open || self.streams.len() >= STREAMS {
            return self.reset(stream, Code::REFUSED_STREAM);
        }
        let mut entry = Entry::new(stream, self.stream_room, self.granted);
        entry.headed = true;
        entry.got_end = end;
        entry.expected = expected;
        let key = self.streams.insert(entry);
        self.by_id.insert(stream, key);
        self.accepted = Some(Accepted {
            key,
            request,
            ended: end,
        });
    }

    fn reset_by_peer(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let code = Code(word(payload)?);
        let Some(key) = self.known(head)? else {
            return Ok(());
        };
        self.by_id.remove(&head.stream);
        if let Some(entry) = self.streams.get_mut(key) {
            entry.fail(match code {
                Code::REFUSED_STREAM => Fault::Refused,
                _ => Fault::Reset,
            });
        }
        Ok(())
    }

    fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        if head.has(flag::ACK) {
            if let Some(window) = self.offered.take() {
                self.grant(window);
            }
            return Ok(());
        }
        let (settings, []) = payload.as_chunks::<6>() else {
            return Err(Code::FRAME_SIZE_ERROR);
        };
        let mut allows = self
            .allows
            .unwrap_or(limits::STREAMS_PER_CONNECTION as usize);
        for &[a, b, c, d, e, f] in settings {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                setting::HEADER_TABLE_SIZE => self.resize_table(value as usize),
                setting::MAX_CONCURRENT_STREAMS => allows = value as usize,
                setting::INITIAL_WINDOW_SIZE => {
                    if i64::from(value) > frame::LARGEST_WINDOW {
                        return Err(Code::FLOW_CONTROL_ERROR);
                    }
                    self.widen(i64::from(value))?;
                }
                setting::MAX_FRAME_SIZE => {
                    if !(16_384..1 << 24).contains(&value) {
                        return Err(Code::PROTOCOL_ERROR);
                    }
                    self.frame = value as usize;
                }
                _ => {}
            }
        }
        self.allows = Some(allows);
        self.answer(|out| frame::head(out, 0, kind::SETTINGS, flag::ACK, 0))
    }

    fn ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let opaque = payload.try_into().map_err(|_| Code::FRAME_SIZE_ERROR)?;
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        if head.has(flag::ACK) {
            self.heard(opaque);
            return Ok(());
        }
        self.answer(|out| frame::ping(out, flag::ACK, opaque))
    }

    /// A client that was told to go knows it: all that it sends from now on comes too late.
    fn heard(&mut self, opaque: [u8; 8]) {
        if let Side::Server {
            last, asked: true, ..
        } = self.side
            && opaque == GOODBYE
            && !self.leaving
        {
            frame::goaway(self.out.tail(), last, Code::NO_ERROR);
            self.leave();
        }
    }

    /// Answers what was asked of the connection; a peer that asks and never reads would have us keep them
    /// all.
    fn answer(&mut self, write: impl FnOnce(&mut BytesMut)) -> Result<(), Code> {
        if self.out.is_empty() {
            self.answers = 0;
        }
        let before = self.out.len();
        write(self.out.tail());
        self.answers += self.out.len() - before;
        self.call();
        match self.answers > ANSWERS {
            true => Err(Code::ENHANCE_YOUR_CALM),
            false => Ok(()),
        }
    }

    /// A server takes no new streams. Those after the last it tells of were never looked at if it goes
    /// in good order; an error's GOAWAY says less (RFC 9113 §6.8). What a client says of our streams
    /// is of none: we open none.
    fn goaway(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let (Some(last), Some(code)) = (payload.first_chunk::<4>(), payload.get(4..8)) else {
            return Err(Code::FRAME_SIZE_ERROR);
        };
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        if matches!(self.side, Side::Server { .. }) {
            return Ok(());
        }
        let last = u32::from_be_bytes(*last) & 0x7fff_ffff;
        let fault = match Code(word(code)?) {
            Code::NO_ERROR => Fault::Refused,
            _ => Fault::Reset,
        };
        for (_, entry) in &mut self.streams {
            if entry.id > last {
                self.by_id.remove(&entry.id);
                entry.fail(fault);
            }
        }
        self.leave();
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let more = i64::from(word(payload)? & 0x7fff_ffff);
        if head.stream == 0 {
            self.room += more;
            return match more {
                0 => Err(Code::PROTOCOL_ERROR),
                _ if self.room > frame::LARGEST_WINDOW => Err(Code::FLOW_CONTROL_ERROR),
                _ => Ok(()),
            };
        }
        let key = self.known(head)?;
        let Some(entry) = key.and_then(|key| self.streams.get_mut(key)) else {
            return Ok(());
        };
        entry.room += more;
        match more {
            0 => self.refuse(head.stream, Code::PROTOCOL_ERROR),
            _ if entry.room > frame::LARGEST_WINDOW => {
                self.refuse(head.stream, Code::FLOW_CONTROL_ERROR);
            }
            _ => entry.wake(),
        }
        Ok(())
    }
}

/// Content of a message.
fn take(entry: &mut Entry, content: Bytes, end: bool) -> Result<(), Code> {
    if entry.left < 0 {
        return Err(Code::FLOW_CONTROL_ERROR);
    }
    if entry.got_end || !entry.headed {
        return Err(Code::PROTOCOL_ERROR);
    }
    if let Some(expected) = &mut entry.expected {
        let left = expected.checked_sub(content.len() as u64);
        *expected = left.ok_or(Code::PROTOCOL_ERROR)?;
        if end && *expected > 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
    }
    entry.unread += content.len();
    entry.body.push(content);
    entry.got_end = end;
    entry.wake();
    Ok(())
}

/// Hands a message to the stream that is there already: a response or trailers.
fn hand_over(
    message: Message,
    entry: &mut Entry,
    heads: &mut Slab<Response<()>>,
    end: bool,
) -> Result<(), Malformed> {
    if entry.got_end {
        return Err(Malformed);
    }
    if entry.headed {
        let fields = message.trailers()?;
        let short = entry.expected.is_some_and(|expected| expected > 0);
        if !end || short {
            return Err(Malformed);
        }
        entry.trailers = (!fields.is_empty()).then(|| Box::new(fields));
        entry.got_end = true;
        entry.wake();
        return Ok(());
    }
    let mut response = message.response()?;
    let status = response.status();
    if status.is_informational() {
        // RFC 9113 §8.6: there is no switching of protocols.
        let out_of_place = end || status == StatusCode::SWITCHING_PROTOCOLS;
        if out_of_place || entry.interims() >= INTERIMS {
            return Err(Malformed);
        }
        let fields = std::mem::take(response.headers_mut());
        entry.interim(Interim { status, fields });
        entry.wake();
        return Ok(());
    }
    let bare = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    entry.expected = match entry.head || bare.contains(&status) {
        true => None,
        false => announced(response.headers(), end)?,
    };
    entry.answer = Some(heads.insert(response));
    entry.headed = true;
    entry.bare = end;
    entry.got_end = end;
    entry.wake();
    Ok(())
}

/// The content that a head announces.
fn announced(fields: &HeaderMap, end: bool) -> Result<Option<u64>, Malformed> {
    let length = content_length(fields).map_err(|_| Malformed)?;
    match end && length.is_some_and(|length| length > 0) {
        true => Err(Malformed),
        false => Ok(length),
    }
}

/// The payload of a frame that is four bytes.
fn word(payload: &[u8]) -> Result<u32, Code> {
    let bytes = payload.try_into().map_err(|_| Code::FRAME_SIZE_ERROR)?;
    Ok(u32::from_be_bytes(bytes))
}

/// What is padded, without its padding (RFC 9113 §6.1).
fn padded(head: Head, payload: &[u8]) -> Result<&[u8], Code> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().ok_or(Code::FRAME_SIZE_ERROR)?;
    let length = rest.len().checked_sub(usize::from(*padding));
    let length = length.ok_or(Code::PROTOCOL_ERROR)?;
    Ok(rest.get(..length).unwrap_or_default())
}

fn unpadded(head: Head, payload: Bytes) -> Result<Bytes, Code> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let content = padded(head, &payload)?;
    Ok(payload.slice_ref(content))
}

#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire;
