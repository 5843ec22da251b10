//! Every field of every kind of record, missing, empty, huge, doubled, of an unknown value or of
//! another type: whatever a store may hold one day. A poisoned record is refused by its key or is
//! one that any build could have written; what stands beside it applies; a good version heals it.

use bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

use super::*;
use crate::record::Record;
use crate::testing::{egress_pool, issuer, mirror, rollout, tenant, token};

/// One field as it is encoded.
#[derive(Clone)]
struct Field {
    tag: u32,
    wire: WireType,
    /// Without tag, and without length where it has one.
    value: Vec<u8>,
}

/// The fields of a message; `None`: it is none.
fn fields(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (tag, wire) = decode_key(&mut bytes).ok()?;
        let size = match wire {
            WireType::Varint => bytes.iter().position(|byte| byte & 0x80 == 0)? + 1,
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut bytes).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (value, rest) = bytes.split_at_checked(size)?;
        let value = value.to_vec();
        fields.push(Field { tag, wire, value });
        bytes = rest;
    }
    Some(fields)
}

fn encode(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Field { tag, wire, value } in fields {
        encode_key(*tag, *wire, &mut bytes);
        if *wire == WireType::LengthDelimited {
            encode_varint(value.len() as u64, &mut bytes);
        }
        bytes.extend_from_slice(value);
    }
    bytes
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(value, &mut bytes);
    bytes
}

/// What may stand in the place of a field.
fn spoiled(field: &Field) -> Vec<(&'static str, Vec<Field>)> {
    let with = |wire, value| {
        let tag = field.tag;
        vec![Field { tag, wire, value }]
    };
    let mut spoiled = vec![
        ("missing", Vec::new()),
        ("doubled", vec![field.clone(), field.clone()]),
        ("a number", with(WireType::Varint, varint(7))),
        ("text", with(WireType::LengthDelimited, b"text".to_vec())),
        ("unknown", with(WireType::Varint, varint(99))),
        ("zero", with(WireType::Varint, varint(0))),
        ("largest", with(WireType::Varint, varint(u64::MAX))),
        ("empty", with(WireType::LengthDelimited, Vec::new())),
        (
            "not text",
            with(WireType::LengthDelimited, vec![0xff, 0, 0xfe]),
        ),
        ("NUL", with(WireType::LengthDelimited, b"a\0b".to_vec())),
        ("huge", with(WireType::LengthDelimited, vec![b'x'; 100_000])),
        (
            "too huge",
            with(WireType::LengthDelimited, vec![b'x'; limits::RECORD_BYTES]),
        ),
    ];
    // A message in it is spoiled field by field too.
    let within = (field.wire == WireType::LengthDelimited)
        .then(|| fields(&field.value))
        .flatten();
    for (place, inner) in within.iter().flatten().enumerate() {
        for (how, instead) in spoiled_leaf(inner) {
            let mut all = within.clone().unwrap_or_default();
            all.splice(place..=place, instead);
            spoiled.push((how, with(WireType::LengthDelimited, encode(&all))));
        }
    }
    spoiled
}

fn spoiled_leaf(field: &Field) -> Vec<(&'static str, Vec<Field>)> {
    let leaf = Field {
        wire: WireType::Varint,
        ..field.clone()
    };
    let mut spoiled = spoiled(&leaf);
    for (how, instead) in &mut spoiled {
        if *how == "doubled" {
            *instead = vec![field.clone(), field.clone()];
        }
    }
    spoiled
}

/// A good record of every kind.
fn good() -> Vec<Record> {
    vec![
        server("poisoned"),
        replica("poisoned", "beside", ReplicaState::Ready),
        domain("poisoned.example.com", "beside"),
        worker("poisoned"),
        lease("poisoned"),
        tenant("poisoned"),
        token("poisoned"),
        issuer("poisoned"),
        mirror("poisoned", "beside"),
        egress_pool("poisoned"),
        Record::Rollout(rollout("server/poisoned", &["eu"])),
    ]
}

#[test]
fn a_poisoned_field_spoils_its_record_alone_until_a_good_version_comes() {
    let (mut poisons, mut refusals) = (0, 0);
    let kinds: Vec<_> = good().iter().map(Record::kind).collect();
    for kind in Kind::ALL {
        assert!(
            kinds.contains(&kind),
            "a good record of {} is missing here",
            kind.name()
        );
    }
    for record in good() {
        let Change { key, value } = record.change();
        let whole = fields(&value.unwrap()).unwrap();
        let before = run(&[batch(1, vec![record.change(), server("beside").change()])]).snapshot;
        for (place, field) in whole.iter().enumerate() {
            for (how, instead) in spoiled(field) {
                poisons += 1;
                let mut all = whole.clone();
                all.splice(place..=place, instead);
                let what = format!("{key}, field {}: {how}", field.tag);
                let poisoned = Change {
                    key: key.clone(),
                    value: Some(Bytes::from(encode(&all))),
                };
                let beside = server_with("beside", 3).change();
                let applied = apply(&before, &batch(2, vec![poisoned, beside]));
                let written = |key: &Key| applied.snapshot.written(key);
                assert_eq!(
                    written(&server("beside").key()),
                    Some(Revision(2)),
                    "{what}"
                );
                match applied.refused.as_slice() {
                    [] => {
                        let (taken, at) = applied.snapshot.record(&key).expect(&what);
                        assert_eq!(at, Revision(2), "{what}");
                        assert!(taken.check().is_ok(), "{what}: {taken:?}");
                    }
                    [refusal] => {
                        refusals += 1;
                        assert_eq!(refusal.key, key, "{what}");
                        assert!(!refusal.reason.is_empty(), "{what}");
                        let kept = applied.snapshot.record(&key);
                        assert_eq!(kept, Some((record.clone(), Revision(1))), "{what}");
                    }
                    more => panic!("{what}: {more:?}"),
                }
                let healed = apply(&applied.snapshot, &batch(3, vec![record.change()]));
                assert_eq!(healed.refused, [], "{what}");
                let now = healed.snapshot.record(&key);
                assert_eq!(now, Some((record.clone(), Revision(3))), "{what}");
            }
        }
    }
    println!("{poisons} poisoned records, {refusals} refused");
    assert!(poisons > 500 && refusals > 100);
}
