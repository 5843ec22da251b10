//! PURE. Reads header blocks (RFC 7541 §3.2, §6). Whatever a block says, the table keeps in
//! step with its writer's; names and values that come again are shared, not made again.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::table::{self, STATIC};
use super::{Broken, ENTRY, Field, Name, TABLE, huffman, integer};
use crate::websocket::Protocol;

/// Room taken at once for values: a message's fit, and what keeps one of them keeps little more.
const ROOM: usize = 512;

/// One direction of one connection.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The newest first, each with its size.
    entries: VecDeque<(Field, usize)>,
    size: usize,
    /// What the writer has said it keeps to, below [`TABLE`]; `None`: that.
    limit: Option<usize>,
    /// A string that was in Huffman's code.
    plain: Vec<u8>,
    values: BytesMut,
}

impl Decoder {
    /// Reads a block, and hands on each field with its size as RFC 7541 §4.1 counts.
    ///
    /// # Errors
    /// Nothing on this connection can be read any more.
    pub(crate) fn decode(
        &mut self,
        mut block: &[u8],
        mut each: impl FnMut(Field, usize),
    ) -> Result<(), Broken> {
        let mut begun = false;
        while let Some(first) = block.first().copied() {
            if first & 0xe0 == 0x20 {
                // Sizes change at a block's beginning only (RFC 7541 §4.2).
                let (limit, rest) = integer::read(block, 5)?;
                if begun || limit > TABLE {
                    return Err(Broken);
                }
                self.limit = Some(limit);
                self.evict(0);
                block = rest;
                continue;
            }
            begun = true;
            block = match first {
                0x80.. => {
                    let (place, rest) = integer::read(block, 7)?;
                    let (field, size) = self.at(place)?;
                    each(field, size);
                    rest
                }
                0x40.. => {
                    let (field, size, rest) = self.literal(block, 6)?;
                    self.insert(field.clone(), size);
                    each(field, size);
                    rest
                }
                _ => {
                    let (field, size, rest) = self.literal(block, 4)?;
                    each(field, size);
                    rest
                }
            };
        }
        Ok(())
    }

    fn at(&self, place: usize) -> Result<(Field, usize), Broken> {
        if place > STATIC {
            let (field, size) = self.entries.get(place - STATIC - 1).ok_or(Broken)?;
            return Ok((field.clone(), *size));
        }
        let (field, value) = table::entry(place).ok_or(Broken)?;
        let size = field.name().len() + value + ENTRY;
        Ok((field, size))
    }

    fn name_at(&self, place: usize) -> Result<Name, Broken> {
        if place > STATIC {
            let (field, _) = self.entries.get(place - STATIC - 1).ok_or(Broken)?;
            return Ok(field.name());
        }
        let (field, _) = table::entry(place).ok_or(Broken)?;
        Ok(field.name())
    }

    /// A field whose value, and perhaps its name, is spelt out.
    fn literal<'a>(
        &mut self,
        block: &'a [u8],
        prefix: u32,
    ) -> Result<(Field, usize, &'a [u8]), Broken> {
        let (place, mut rest) = integer::read(block, prefix)?;
        let name = match place {
            0 => {
                let (name, after) = self.name(rest)?;
                rest = after;
                name
            }
            _ => self.name_at(place)?,
        };
        let (string, coded, rest) = string(rest)?;
        let value = match coded {
            false => string,
            true => {
                self.plain.clear();
                huffman::decode(string, &mut self.plain).map_err(|_| Broken)?;
                &self.plain
            }
        };
        let size = name.len() + value.len() + ENTRY;
        let field = field(&mut self.values, &name, value).unwrap_or(Field::Malformed(name));
        Ok((field, size, rest))
    }

    /// A name that is spelt out.
    fn name<'a>(&mut self, block: &'a [u8]) -> Result<(Name, &'a [u8]), Broken> {
        let (string, coded, rest) = string(block)?;
        let name = match coded {
            false => string,
            true => {
                self.plain.clear();
                huffman::decode(string, &mut self.plain).map_err(|_| Broken)?;
                &self.plain
            }
        };
        let parsed = match name {
            b":status" => Name::Status,
            b":method" => Name::Method,
            b":scheme" => Name::Scheme,
            b":authority" => Name::Authority,
            b":path" => Name::Path,
            b":protocol" => Name::Protocol,
            // RFC 9113 §8.2.1: an upper-case letter is malformed, and would be lost here.
            _ if name.iter().any(u8::is_ascii_uppercase) => Name::Malformed(name.len()),
            _ => HeaderName::from_bytes(name).map_or(Name::Malformed(name.len()), Name::Regular),
        };
        Ok((parsed, rest))
    }

    fn insert(&mut self, field: Field, size: usize) {
        self.evict(size);
        // One that is larger than the table empties it and is not kept (RFC 7541 §4.4).
        if size <= self.limit() {
            self.size += size;
            self.entries.push_front((field, size));
        }
    }

    /// Drops the oldest until that much more fits.
    fn evict(&mut self, more: usize) {
        while self.size + more > self.limit() {
            let Some((_, size)) = self.entries.pop_back() else {
                return;
            };
            self.size -= size;
        }
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(TABLE)
    }
}

/// A field of that name and value, if there may be one.
fn field(values: &mut BytesMut, name: &Name, value: &[u8]) -> Option<Field> {
    Some(match name {
        Name::Status => Field::Status(StatusCode::from_bytes(value).ok()?),
        Name::Method => Field::Method(Method::from_bytes(value).ok()?),
        Name::Scheme => Field::Scheme(match value {
            b"http" => Scheme::HTTP,
            b"https" => Scheme::HTTPS,
            _ => Scheme::try_from(value).ok()?,
        }),
        Name::Authority => {
            let authority = Authority::from_maybe_shared(kept(values, value));
            Field::Authority(authority.ok()?)
        }
        // RFC 9113 §8.3.1: it may not be empty, where a URI's may.
        Name::Path if value.is_empty() => return None,
        Name::Path => {
            let path = PathAndQuery::from_maybe_shared(kept(values, value));
            Field::Path(path.ok()?)
        }
        Name::Protocol => Field::Protocol(Protocol::new(str::from_utf8(value).ok()?)),
        Name::Regular(name) => {
            let value = HeaderValue::from_maybe_shared(kept(values, value));
            Field::Regular(name.clone(), value.ok()?)
        }
        Name::Malformed(_) => return None,
    })
}

/// A value, in memory that it shares with its neighbours.
fn kept(values: &mut BytesMut, value: &[u8]) -> Bytes {
    if values.capacity() < value.len() {
        values.reserve(value.len().max(ROOM));
    }
    values.extend_from_slice(value);
    values.split().freeze()
}

/// A string, whether it is in Huffman's code, and what comes after it.
fn string(block: &[u8]) -> Result<(&[u8], bool, &[u8]), Broken> {
    let coded = block.first().ok_or(Broken)? & 0x80 != 0;
    let (length, rest) = integer::read(block, 7)?;
    let (string, rest) = rest.split_at_checked(length).ok_or(Broken)?;
    Ok((string, coded, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Broken> {
        let mut fields = Vec::new();
        decoder.decode(block, |field, _| {
            fields.push(match field {
                Field::Status(status) => format!(":status: {}", status.as_str()),
                Field::Regular(name, value) => format!("{name}: {}", value.to_str().unwrap()),
                Field::Malformed(_) => "malformed".to_owned(),
                other => format!("{other:?}"),
            });
        })?;
        Ok(fields)
    }

    fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    /// RFC 7541 C.5 and C.6 in a table of 256 bytes: every response evicts.
    #[test]
    fn the_responses_of_the_rfc_plain_and_in_huffmans_code() {
        let plain = [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 \
             303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 \
             5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 \
             5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ];
        let coded = [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b \
             ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad \
             94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 \
             65c0 03ed 4ee5 b106 3d50 07",
        ];
        for blocks in [plain, coded] {
            let mut decoder = Decoder {
                limit: Some(256),
                ..Decoder::default()
            };
            let fields = blocks.map(|block| read(&mut decoder, &hex(block)).unwrap());
            let location = "location: https://www.example.com";
            assert_eq!(
                fields[0],
                [
                    ":status: 302",
                    "cache-control: private",
                    "date: Mon, 21 Oct 2013 20:13:21 GMT",
                    location
                ]
            );
            assert_eq!(fields[1][0], ":status: 307");
            assert_eq!(fields[1][3], location);
            assert_eq!(
                fields[2],
                [
                    ":status: 200",
                    "cache-control: private",
                    "date: Mon, 21 Oct 2013 20:13:22 GMT",
                    location,
                    "content-encoding: gzip",
                    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
                ]
            );
            assert_eq!(decoder.size, 215);
        }
    }

    #[test]
    fn what_no_message_may_have_is_malformed_and_the_table_stays_in_step() {
        let mut decoder = Decoder::default();
        for block in [
            &[0x81][..],        // an authority of nothing
            b"\x02\x05G ET?",   // a method with a space
            b"\x04\x00",        // a path of nothing
            b"\x00\x01X\x01v",  // an upper-case letter
            b"\x00\x01 \x01v",  // a name with a space
            b"\x0f\x10\x02a\n", // a value with a line's end, of content-type
            b"\x08\x0220",      // a status of two digits
            b"\x00\x07:status\x03abc",
            b"\x00\x05:part\x01/",
        ] {
            assert_eq!(
                read(&mut decoder, block).unwrap(),
                ["malformed"],
                "{block:?}"
            );
        }
        let fields = read(&mut decoder, b"\x40\x01X\x01v\x40\x01a\x01b").unwrap();
        assert_eq!(fields, ["malformed", "a: b"]);
        assert_eq!(
            read(&mut decoder, &[0xbe, 0xbf]).unwrap(),
            ["a: b", "malformed"]
        );
    }

    #[test]
    fn what_cannot_be_read_is_broken() {
        for block in [
            &[0x80][..],                     // the place 0
            &[0xbe],                         // a place beyond the table
            &[0x3f, 0xe2, 0x1f],             // a table of 4097
            &[0x88, 0x20],                   // a size in the middle
            &[0x00, 0x85, 0xff],             // a string that doesn't end
            &[0x40],                         // nothing after it
            b"\x00\x84\xff\xff\xff\xff\x00", // the end of Huffman's code
        ] {
            assert_eq!(
                read(&mut Decoder::default(), block),
                Err(Broken),
                "{block:?}"
            );
        }
    }

    #[test]
    fn a_smaller_table_drops_the_oldest_and_one_of_nothing_all() {
        let mut decoder = Decoder::default();
        read(&mut decoder, b"\x40\x01a\x01b\x40\x01c\x01d").unwrap();
        assert_eq!(decoder.size, 2 * 34);
        assert_eq!(read(&mut decoder, b"\x3f\x03\xbe").unwrap(), ["c: d"]);
        assert_eq!(read(&mut decoder, &[0xbf]), Err(Broken), "a: b is gone");
        assert_eq!(read(&mut decoder, &[0x20, 0xbe]), Err(Broken));
        assert_eq!(decoder.size, 0);
        assert_eq!(read(&mut decoder, b"\x40\x01a\x01b").unwrap(), ["a: b"]);
        assert_eq!(read(&mut decoder, &[0xbe]), Err(Broken), "nothing fits");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise(blocks in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..80), 1..6)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                if decoder.decode(&block, |_, _| {}).is_err() {
                    break;
                }
                prop_assert!(decoder.size <= TABLE);
            }
        }
    }
}
