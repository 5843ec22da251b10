//! PURE. One line of JSON, built as its values become known: a fraction of what a serializer costs,
//! which would be a sixth of a whole request. Whatever a value holds, the line stays one object.

use std::fmt;
use std::io::Write;
use std::time::SystemTime;

use super::stamp::Stamp;

/// A line that has begun.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<u8>);

/// The text before a value: its name, and what parts it from the value before.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use key;

impl Line {
    /// An empty object, in the memory of the line before.
    pub(super) fn begin(&mut self) {
        self.0.clear();
        // The first value's key brings a comma, which an object doesn't begin with.
        self.0.extend_from_slice(b"{\"v\":1");
    }

    /// The whole line, once nothing more comes.
    pub(super) fn end(&mut self) -> &[u8] {
        self.0.extend_from_slice(b"}\n");
        &self.0
    }

    /// A text, or `null`.
    pub(super) fn text(&mut self, key: &'static str, value: Option<&str>) {
        self.0.extend_from_slice(key.as_bytes());
        let Some(value) = value else {
            return self.0.extend_from_slice(b"null");
        };
        self.0.push(b'"');
        // All of it is looked at, whatever is found: without a branch a byte, many are at once.
        if value
            .bytes()
            .fold(false, |any, byte| any | must_be_escaped(byte))
        {
            self.escaped(value);
        } else {
            self.0.extend_from_slice(value.as_bytes());
        }
        self.0.push(b'"');
    }

    /// An object within, until [`close`](Self::close).
    pub(super) fn open(&mut self, key: &'static str) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'{');
    }

    /// A number in the object that is open, by a name that JSON would not escape.
    pub(super) fn member(&mut self, first: bool, name: &str, value: u64) {
        let comma: &[u8] = if first { b"" } else { b"," };
        let mut digits = itoa::Buffer::new();
        let parts = [comma, b"\"", name.as_bytes(), b"\":"];
        for part in parts {
            self.0.extend_from_slice(part);
        }
        self.0.extend_from_slice(digits.format(value).as_bytes());
    }

    /// The end of the object that is open.
    pub(super) fn close(&mut self) {
        self.0.push(b'}');
    }

    /// A word of ours or of a checked record, which has nothing to escape, or `null`.
    pub(super) fn word(&mut self, key: &'static str, value: Option<&str>) {
        self.0.extend_from_slice(key.as_bytes());
        let Some(value) = value else {
            return self.0.extend_from_slice(b"null");
        };
        debug_assert!(!value.bytes().any(must_be_escaped), "`{value}` is no word");
        self.0.push(b'"');
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'"');
    }

    /// What can be shown without anything that JSON would escape.
    pub(super) fn shown(&mut self, key: &'static str, value: impl fmt::Display) {
        self.0.extend_from_slice(key.as_bytes());
        // Writing to memory doesn't fail.
        write!(self.0, "\"{value}\"").ok();
    }

    /// A time.
    pub(super) fn time(&mut self, key: &'static str, at: SystemTime, stamp: &mut Stamp) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.push(b'"');
        stamp.write(at, &mut self.0);
        self.0.push(b'"');
    }

    /// A number, or `null`.
    pub(super) fn number(&mut self, key: &'static str, value: Option<u64>) {
        self.0.extend_from_slice(key.as_bytes());
        match value {
            Some(value) => {
                let mut digits = itoa::Buffer::new();
                self.0.extend_from_slice(digits.format(value).as_bytes());
            }
            None => self.0.extend_from_slice(b"null"),
        }
    }

    /// RFC 8259 §7.
    #[cold]
    fn escaped(&mut self, value: &str) {
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                byte if must_be_escaped(byte) => {
                    write!(self.0, "\\u{byte:04x}").ok();
                }
                byte => self.0.push(byte),
            }
        }
    }
}

const fn must_be_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_value_holds_comes_back_from_one_object(
            text in any::<String>(), absent in any::<bool>(), number in any::<u64>(),
        ) {
            let mut line = Line::default();
            line.begin();
            line.text(key!("before"), Some("before"));
            line.begin();
            line.text(key!("text"), Some(&text));
            line.text(key!("absent"), absent.then_some("there"));
            line.number(key!("number"), Some(number));
            line.number(key!("none"), None);
            line.word(key!("word"), absent.then_some("there"));
            line.open(key!("inner"));
            line.member(true, "one", number);
            line.member(false, "two", 2);
            line.close();
            let whole = line.end();
            prop_assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 1);
            let parsed: Value = serde_json::from_slice(whole).unwrap();
            let absent = if absent { Value::from("there") } else { Value::Null };
            prop_assert_eq!(parsed, serde_json::json!({
                "v": 1, "text": text, "absent": absent, "number": number, "none": null, "word": absent,
                "inner": { "one": number, "two": 2 },
            }));
        }
    }
}
