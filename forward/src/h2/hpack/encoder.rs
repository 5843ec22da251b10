//! PURE. Writes header blocks (RFC 7541 §6). A field goes into the table the second time it
//! is seen, so what comes once never pushes out what comes again; strings are written as they are,
//! since whoever reads them is near and bytes cost less there than Huffman's code on both sides.

use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri};

use super::table::{self, STATIC, place};
use super::{ENTRY, Name, TABLE, integer};
use crate::websocket::Protocol;

/// Places by hash for fields that were seen, and for names: apart, for there is no end of fields. Each
/// place has room for four, or two fields that come with every request could fall on one for ever.
const FIELDS: usize = 64;
const NAMES: usize = 16;
const ROOM: usize = 4;

/// A value longer than this is never put into the table: a few such would be all it holds.
const LONGEST: usize = 512;

/// One direction of one connection.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
    /// What the reader is to be told at the next block's beginning.
    resized: Option<usize>,
    /// Entries that were ever put into the table.
    inserted: u64,
    seen: Memory,
    named: Memory,
}

/// What was seen, by hash. What is not in the table goes first where there is no room.
#[derive(Debug)]
struct Memory(Box<[[Seen; ROOM]]>);

/// What was seen with a hash.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    hash: u32,
    /// Which entry it was put into, counted from 1; 0: none.
    entry: u64,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    value: Box<[u8]>,
}

/// How a field is to be written.
#[derive(Clone, Copy, Debug)]
enum How {
    /// And kept in the table.
    Kept,
    Once,
    /// And by whoever passes it on, too (RFC 7541 §7.1.3).
    Never,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            limit: TABLE,
            resized: None,
            inserted: 0,
            seen: Memory::of(FIELDS),
            named: Memory::of(NAMES),
        }
    }
}

impl Encoder {
    /// The reader keeps a table of at most so many bytes.
    pub(crate) fn resize(&mut self, most: usize) {
        let limit = most.min(TABLE);
        if limit == self.limit {
            return;
        }
        self.limit = limit;
        // The smallest in between is told too (RFC 7541 §4.2): what it dropped, we drop.
        self.resized = Some(self.resized.map_or(limit, |before| before.min(limit)));
        self.evict(0);
    }

    /// Appends a request's block, an extended CONNECT's with its protocol (RFC 8441 §4).
    pub(crate) fn request<T>(&mut self, request: &Request<T>, out: &mut BytesMut) {
        self.begin(out);
        method(request.method(), out);
        self.target(request.uri(), out);
        if let Some(protocol) = request.extensions().get::<Protocol>() {
            out.put_u8(0);
            string(b":protocol", out);
            string(protocol.as_str().as_bytes(), out);
        }
        self.fields(request.headers(), out);
    }

    /// Appends a response's block.
    pub(crate) fn response(&mut self, status: StatusCode, fields: &HeaderMap, out: &mut BytesMut) {
        self.begin(out);
        let place = match status.as_u16() {
            200 => place::OK,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                integer::write(out, 0, 4, place::OK);
                string(status.as_str().as_bytes(), out);
                return self.fields(fields, out);
            }
        };
        integer::write(out, 0x80, 7, place);
        self.fields(fields, out);
    }

    /// Appends a block of trailers.
    pub(crate) fn trailers(&mut self, fields: &HeaderMap, out: &mut BytesMut) {
        self.begin(out);
        self.fields(fields, out);
    }

    /// A block says first what became of the table (RFC 7541 §4.2).
    fn begin(&mut self, out: &mut BytesMut) {
        if let Some(smallest) = self.resized.take() {
            integer::write(out, 0x20, 5, smallest);
            if smallest != self.limit {
                integer::write(out, 0x20, 5, self.limit);
            }
        }
    }

    fn fields(&mut self, fields: &HeaderMap, out: &mut BytesMut) {
        for (name, value) in fields {
            let secret = value.is_sensitive() || is_secret(name);
            let (name, value) = (name, value.as_bytes());
            match secret {
                false => self.field(
                    |other| matches!(other, Name::Regular(other) if other == name),
                    || Name::Regular(name.clone()),
                    value,
                    hash(name.as_str().as_bytes(), 0),
                    out,
                ),
                true => {
                    let hash = hash(name.as_str().as_bytes(), 0);
                    self.name(How::Never, &Name::Regular(name.clone()), hash, out);
                    string(value, out);
                }
            }
        }
    }

    fn target(&mut self, uri: &Uri, out: &mut BytesMut) {
        let scheme = match uri.scheme_str() {
            Some("https") => place::HTTPS,
            _ => place::HTTP,
        };
        integer::write(out, 0x80, 7, scheme);
        if let Some(authority) = uri.authority() {
            let value = authority.as_str().as_bytes();
            let is = |other: &Name| *other == Name::Authority;
            self.field(is, || Name::Authority, value, 1, out);
        }
        match uri.path_and_query().map_or("/", |path| path.as_str()) {
            "/" => integer::write(out, 0x80, 7, place::ROOT),
            path => {
                let is = |other: &Name| *other == Name::Path;
                self.field(is, || Name::Path, path.as_bytes(), 2, out);
            }
        }
    }

    /// Appends one field; `named` is its name's hash.
    fn field(
        &mut self,
        is: impl Fn(&Name) -> bool,
        name: impl Fn() -> Name,
        value: &[u8],
        named: u32,
        out: &mut BytesMut,
    ) {
        let hash = hash(value, named);
        let seen = self.seen.seen(hash);
        if let Some((place, entry)) = seen.and_then(|entry| self.entry(entry))
            && is(&entry.name)
            && *entry.value == *value
        {
            integer::write(out, 0x80, 7, place);
            return;
        }
        let how = match seen.is_some() && value.len() <= LONGEST {
            true => How::Kept,
            false => How::Once,
        };
        let name = name();
        let kept = self.name(how, &name, named, out);
        string(value, out);
        let entry = match kept {
            true => self.insert(name, value, named),
            false => 0,
        };
        self.seen.note(hash, entry);
    }

    /// Appends a field's beginning: its name, by place where it has one. `true`: the field is kept.
    fn name(&mut self, how: How, name: &Name, hash: u32, out: &mut BytesMut) -> bool {
        let mut kept = matches!(how, How::Kept);
        let place = self.name_place(name, hash);
        if place.is_none() && matches!(how, How::Once) {
            // A name that comes again is worth a place, whatever its values.
            kept = self.named.seen(hash).is_some();
            self.named.note(hash, 0);
        }
        let (first, prefix) = match (kept, how) {
            (true, _) => (0x40, 6),
            (false, How::Never) => (0x10, 4),
            (false, How::Kept | How::Once) => (0, 4),
        };
        integer::write(out, first, prefix, place.unwrap_or(0));
        if place.is_none() {
            string(name.as_bytes(), out);
        }
        kept
    }

    fn name_place(&self, name: &Name, hash: u32) -> Option<usize> {
        match name {
            Name::Authority => return Some(place::AUTHORITY),
            Name::Path => return Some(place::ROOT),
            Name::Regular(name) => {
                if let Some(place) = table::of(name) {
                    return Some(place);
                }
            }
            _ => return None,
        }
        let (place, entry) = self.entry(self.named.seen(hash)?)?;
        (entry.name == *name).then_some(place)
    }

    /// Puts a field into the table, under its name as well; which entry it is, 0 if there is no room.
    fn insert(&mut self, name: Name, value: &[u8], named: u32) -> u64 {
        let size = name.as_bytes().len() + value.len() + ENTRY;
        self.evict(size);
        if size > self.limit {
            return 0;
        }
        self.size += size;
        self.inserted += 1;
        self.entries.push_front(Entry {
            name,
            value: value.into(),
        });
        self.named.note(named, self.inserted);
        self.inserted
    }

    fn evict(&mut self, more: usize) {
        while self.size + more > self.limit {
            let Some(oldest) = self.entries.pop_back() else {
                return;
            };
            self.size -= oldest.name.as_bytes().len() + oldest.value.len() + ENTRY;
        }
    }

    /// An entry that is still there, and its place.
    fn entry(&self, number: u64) -> Option<(usize, &Entry)> {
        if number == 0 {
            return None;
        }
        let at = usize::try_from(self.inserted - number).ok()?;
        Some((STATIC + 1 + at, self.entries.get(at)?))
    }
}

impl Memory {
    fn of(places: usize) -> Self {
        Self(vec![[Seen::default(); ROOM]; places].into_boxed_slice())
    }

    /// Which entry what has this hash was put into, 0 for none; `None`: it was not seen, or long ago.
    fn seen(&self, hash: u32) -> Option<u64> {
        let place = self.0.get(hash as usize % self.0.len())?;
        let seen = place.iter().find(|seen| seen.hash == hash)?;
        Some(seen.entry)
    }

    fn note(&mut self, hash: u32, entry: u64) {
        let at = hash as usize % self.0.len();
        let Some(place) = self.0.get_mut(at) else {
            return;
        };
        let known = place.iter().position(|seen| seen.hash == hash);
        let goes = known
            .or_else(|| place.iter().rposition(|seen| seen.entry == 0))
            .unwrap_or(ROOM - 1);
        // The newest first.
        if let Some(older) = place.get_mut(..=goes) {
            older.rotate_right(1);
        }
        if let Some(newest) = place.first_mut() {
            *newest = Seen { hash, entry };
        }
    }
}

/// Credentials: what shares a table with others' guesses could be guessed byte by byte.
fn is_secret(name: &HeaderName) -> bool {
    use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
    *name == AUTHORIZATION || *name == COOKIE || *name == PROXY_AUTHORIZATION
}

fn method(method: &Method, out: &mut BytesMut) {
    match *method {
        Method::GET => integer::write(out, 0x80, 7, place::GET),
        Method::POST => integer::write(out, 0x80, 7, place::POST),
        _ => {
            integer::write(out, 0, 4, place::GET);
            string(method.as_str().as_bytes(), out);
        }
    }
}

fn string(bytes: &[u8], out: &mut BytesMut) {
    integer::write(out, 0, 7, bytes.len());
    out.put_slice(bytes);
}

/// Of a value that belongs to a name with that hash. Two fields with one hash cost bytes, no more.
fn hash(bytes: &[u8], with: u32) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = mix(u64::from(with) << 32, bytes.len() as u64);
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    if let Some(room) = last.get_mut(..rest.len()) {
        room.copy_from_slice(rest);
    }
    let hash = mix(mix(hash, u64::from_le_bytes(last)), 0);
    // 0 is what was never seen.
    ((hash >> 32) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Field};
    use super::*;

    /// What a reader makes of the fields; the message's own parts are counted.
    fn read(decoder: &mut Decoder, block: &[u8]) -> (Vec<String>, usize) {
        let (mut fields, mut own) = (Vec::new(), 0);
        decoder
            .decode(block, |field, _| match field {
                Field::Regular(name, value) => {
                    fields.push(format!("{name}: {}", value.to_str().unwrap()));
                }
                Field::Malformed(name) => unreachable!("{name:?}"),
                _ => own += 1,
            })
            .unwrap();
        (fields, own)
    }

    fn request(fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get("http://web.example/v1?a=b");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn written(encoder: &mut Encoder, request: &Request<()>) -> BytesMut {
        let mut out = BytesMut::new();
        encoder.request(request, &mut out);
        out
    }

    #[test]
    fn what_comes_again_is_a_byte_from_the_third_time_on() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let request = request(&[("x-tenant", "blue"), ("accept", "*/*"), ("host", "h")]);
        let lengths = [(); 4].map(|()| {
            let block = written(&mut encoder, &request);
            let (fields, own) = read(&mut decoder, &block);
            assert_eq!(fields, ["x-tenant: blue", "accept: */*", "host: h"]);
            assert_eq!(own, 4);
            block.len()
        });
        assert!(lengths[0].abs_diff(lengths[1]) < 4, "{lengths:?}");
        assert_eq!(lengths[2..], [7, 7]);
    }

    #[test]
    fn what_changes_is_never_put_in_but_its_name_is() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let mut last = 0;
        for n in 0..100 {
            let id = format!("{n:08}");
            let block = written(
                &mut encoder,
                &request(&[("x-request-id", &id), ("etag", &id)]),
            );
            let (fields, _) = read(&mut decoder, &block);
            assert_eq!(
                fields,
                [format!("x-request-id: {id}"), format!("etag: {id}")]
            );
            last = block.len();
        }
        let names: Vec<_> = encoder.entries.iter().map(|entry| &entry.name).collect();
        assert_eq!(names.len(), 3, "authority, path and one name: {names:?}");
        // Four parts of the request, and twice a place, a length and eight digits.
        assert!(last <= 4 + 2 * 11, "{last}");
    }

    #[test]
    fn credentials_are_marked_and_kept_by_nobody() {
        let mut encoder = Encoder::default();
        let secret = [("authorization", "Bearer a"), ("cookie", "b=c")];
        for _ in 0..3 {
            let block = written(&mut encoder, &request(&secret));
            let spelt = block.windows(8).filter(|window| *window == b"Bearer a");
            assert_eq!(spelt.count(), 1);
            // Never indexed, the places 23 and 32.
            for head in [[0x1f, 8], [0x1f, 17]] {
                assert!(block.windows(2).any(|window| window == head), "{block:?}");
            }
        }
        assert_eq!(encoder.entries.len(), 2, "authority and path");
    }

    #[test]
    fn a_reader_with_a_smaller_table_is_told_and_never_sent_to_what_it_dropped() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let all: Vec<(String, String)> = (0..60)
            .map(|n| (format!("x-name-{n}"), format!("{n:040}")))
            .collect();
        let fields: Vec<(&str, &str)> = all.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let request = request(&fields);
        for (round, table) in [4096, 4096, 4096, 200, 0, 4096, 100, 4096]
            .into_iter()
            .enumerate()
        {
            encoder.resize(table);
            for _ in 0..3 {
                let block = written(&mut encoder, &request);
                let (read, own) = read(&mut decoder, &block);
                assert_eq!((read.len(), own), (60, 4), "round {round}");
                assert!(encoder.size <= table);
            }
        }
    }

    #[test]
    fn a_status_with_a_place_is_a_byte_and_any_other_five() {
        let mut decoder = Decoder::default();
        for status in [
            200, 204, 206, 304, 400, 404, 500, 100, 201, 302, 429, 503, 599,
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let mut block = BytesMut::new();
            Encoder::default().response(status, &HeaderMap::new(), &mut block);
            let mut read = None;
            let each = |field, _| read = Some(field);
            decoder.decode(&block, each).unwrap();
            assert!(
                matches!(read, Some(Field::Status(read)) if read == status),
                "{read:?}"
            );
            assert!([1, 5].contains(&block.len()));
        }
    }

    #[test]
    fn methods_and_protocols_that_have_no_place_are_spelt_out() {
        let mut request = request(&[]);
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::new("websocket"));
        let mut out = BytesMut::new();
        Encoder::default().request(&request, &mut out);
        let holds = |part: &[u8]| out.windows(part.len()).any(|window| window == part);
        assert!(holds(b"\x02\x07CONNECT") && holds(b"\x00\x09:protocol\x09websocket"));
    }
}
