//! PURE. What a peer says on a connection, frame by frame (RFC 9113 §6). An error of one stream ends
//! that stream; what makes the rest unreadable, or is meant to hurt, ends the connection.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName};
use http::{Response, StatusCode};

use super::core::{Block, Core};
use super::entry::Entry;
use crate::h1::head::content_length;
use crate::h2::frame::{self, Code, Head, flag, kind, setting};
use crate::h2::hpack::Field;
use crate::limits;
use crate::message::Interim;
use crate::upstream::Failure;

/// Frames that one header block may come in, and its bytes: without an end to both, a block that never
/// ends would cost what it likes.
const BLOCK_FRAMES: usize = 64;
const BLOCK_BYTES: usize = limits::HEADER_LIST_BYTES as usize;

/// Answers to SETTINGS and PING that may wait for a peer that doesn't read them.
const UNWRITTEN: usize = 4 * limits::WRITE_BYTES;

/// Responses before the response.
const INTERIMS: usize = 32;

impl Core {
    /// Takes every whole frame.
    ///
    /// # Errors
    /// The connection is to end with that code.
    pub(super) fn receive(&mut self, bytes: &mut BytesMut) -> Result<(), Code> {
        while let Some(head) = Head::parse(bytes) {
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
    fn stream(&self, head: Head) -> Result<Option<usize>, Code> {
        match self.by_id.get(&head.stream) {
            Some(key) => Ok(Some(*key)),
            None if self.is_idle(head.stream) => Err(Code::PROTOCOL_ERROR),
            None => Ok(None),
        }
    }

    fn data(&mut self, head: Head, payload: Bytes) -> Result<(), Code> {
        let key = self.stream(head)?;
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

    /// The peer broke a stream's rules: it is reset, and its exchange fails.
    fn refuse(&mut self, stream: u32, code: Code) {
        if let Some(entry) = self
            .by_id
            .remove(&stream)
            .and_then(|key| self.streams.get_mut(key))
        {
            entry.got_end = false;
            entry.fail(Failure::Protocol);
            self.reset(stream, code);
        }
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        self.stream(head)?;
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
        let Some(entry) = key.and_then(|key| self.streams.get_mut(key)) else {
            return Ok(());
        };
        if message.end(entry, end).is_err() {
            self.refuse(stream, Code::PROTOCOL_ERROR);
        }
        Ok(())
    }

    fn reset_by_peer(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let code = Code(word(payload)?);
        let Some(key) = self.stream(head)? else {
            return Ok(());
        };
        self.by_id.remove(&head.stream);
        if let Some(entry) = self.streams.get_mut(key) {
            entry.fail(match code {
                Code::REFUSED_STREAM => Failure::Refused,
                _ => Failure::Reset,
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
        frame::head(self.out.tail(), 0, kind::SETTINGS, flag::ACK, 0);
        self.answered()
    }

    fn ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let opaque = payload.try_into().map_err(|_| Code::FRAME_SIZE_ERROR)?;
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        if head.has(flag::ACK) {
            return Ok(());
        }
        frame::pong(self.out.tail(), opaque);
        self.answered()
    }

    /// An answer waits to be written; a peer that asks and never reads would have us keep them all.
    fn answered(&mut self) -> Result<(), Code> {
        self.call();
        match self.out.len() > UNWRITTEN {
            true => Err(Code::ENHANCE_YOUR_CALM),
            false => Ok(()),
        }
    }

    /// The peer takes no new streams. Those after the last it tells of were never looked at if it goes
    /// in good order; an error's GOAWAY says less (RFC 9113 §6.8).
    fn goaway(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let (Some(last), Some(code)) = (payload.first_chunk::<4>(), payload.get(4..8)) else {
            return Err(Code::FRAME_SIZE_ERROR);
        };
        if head.stream != 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        let last = u32::from_be_bytes(*last) & 0x7fff_ffff;
        let failure = match Code(word(code)?) {
            Code::NO_ERROR => Failure::Refused,
            _ => Failure::Reset,
        };
        self.leaving = true;
        for (_, entry) in &mut self.streams {
            if entry.id > last {
                self.by_id.remove(&entry.id);
                entry.fail(failure);
            }
        }
        self.call();
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Code> {
        let more = i64::from(word(payload)? & 0x7fff_ffff);
        if head.stream == 0 {
            self.room += more;
            self.wake_waiting();
            return match more {
                0 => Err(Code::PROTOCOL_ERROR),
                _ if self.room > frame::LARGEST_WINDOW => Err(Code::FLOW_CONTROL_ERROR),
                _ => Ok(()),
            };
        }
        let key = self.stream(head)?;
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

/// Content of a response.
fn take(entry: &mut Entry, content: Bytes, end: bool) -> Result<(), Code> {
    if entry.left < 0 {
        return Err(Code::FLOW_CONTROL_ERROR);
    }
    if entry.got_end || !entry.answered {
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

/// One header block, read.
#[derive(Debug, Default)]
struct Message {
    status: Option<StatusCode>,
    fields: HeaderMap,
    bytes: usize,
    malformed: bool,
}

/// A message that is malformed (RFC 9113 §8.1.1).
struct Malformed;

impl Message {
    fn add(&mut self, field: Field, size: usize) {
        self.bytes += size;
        if self.bytes > limits::HEADER_LIST_BYTES as usize {
            self.malformed = true;
            return;
        }
        match field {
            Field::Status(status) => {
                let first = self.status.replace(status).is_none() && self.fields.is_empty();
                self.malformed |= !first;
            }
            Field::Regular(name, value) => {
                self.malformed |= is_of_connection(&name);
                self.malformed |= self.fields.try_append(name, value).is_err();
            }
            Field::Malformed(_) => self.malformed = true,
        }
    }

    /// Hands it to the stream it is of.
    fn end(self, entry: &mut Entry, end: bool) -> Result<(), Malformed> {
        if self.malformed || entry.got_end {
            return Err(Malformed);
        }
        if entry.answered {
            return self.trailers(entry, end);
        }
        let status = self.status.ok_or(Malformed)?;
        if status.is_informational() {
            // RFC 9113 §8.6: there is no switching of protocols.
            let out_of_place = end || status == StatusCode::SWITCHING_PROTOCOLS;
            if out_of_place || entry.interims.len() >= INTERIMS {
                return Err(Malformed);
            }
            let fields = self.fields;
            entry.interims.push_back(Interim { status, fields });
            entry.wake();
            return Ok(());
        }
        let length = content_length(&self.fields).map_err(|_| Malformed)?;
        let none =
            entry.head || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if !none {
            if end && length.is_some_and(|length| length > 0) {
                return Err(Malformed);
            }
            entry.expected = length;
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = self.fields;
        entry.answer = Some(response);
        entry.answered = true;
        entry.got_end = end;
        entry.wake();
        Ok(())
    }

    fn trailers(self, entry: &mut Entry, end: bool) -> Result<(), Malformed> {
        let short = entry.expected.is_some_and(|expected| expected > 0);
        if !end || self.status.is_some() || short {
            return Err(Malformed);
        }
        if !self.fields.is_empty() {
            entry.trailers = Some(Box::new(self.fields));
        }
        entry.got_end = true;
        entry.wake();
        Ok(())
    }
}

/// RFC 9113 §8.2.2.
fn is_of_connection(name: &HeaderName) -> bool {
    const KEEP_ALIVE: &str = "keep-alive";
    const PROXY_CONNECTION: &str = "proxy-connection";
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || name == KEEP_ALIVE
        || name == PROXY_CONNECTION
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
mod tests;
