//! Stored records: what decodes passes its own check and is stored as what decodes to the same.

use bytes::Bytes;
use fprs_config::{Key, Kind, Record};

/// The first byte is the kind, the second the length of the name that follows, the rest the value.
pub fn check(data: &[u8]) {
    let [kind, length, rest @ ..] = data else {
        return;
    };
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    let (name, value) = rest.split_at(usize::from(*length).min(rest.len()));
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    let key = Key::new(kind, name);
    let Ok(record) = Record::decode(&key, &Bytes::copy_from_slice(value)) else {
        return;
    };
    record.check().expect("what decodes is valid");
    let change = record.change();
    assert_eq!(change.key, key);
    let stored = change.value.expect("a write");
    let again = Record::decode(&key, &stored).expect("what is stored decodes");
    assert_eq!(again, record);
}
