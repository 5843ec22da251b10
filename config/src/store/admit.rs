//! PURE. Which commits a store takes at all: sizes, whole keys, and no value of a known kind that
//! every follower would refuse. Kinds this build doesn't know pass: a later build may.

use std::collections::BTreeSet;

use super::{Change, CommitError, Expectation};
use crate::key::{Key, Kind};
use crate::limits;
use crate::record::Record;

/// Checks a commit before it is queued; returns its size in bytes of keys and values.
///
/// # Errors
/// [`CommitError::Refused`], naming the key.
pub(crate) fn check(writes: &[Change], expectations: &[Expectation]) -> Result<usize, CommitError> {
    for (what, count) in [
        ("writes", writes.len()),
        ("expectations", expectations.len()),
    ] {
        if count > limits::COMMIT_WRITES {
            return Err(CommitError::Refused(format!(
                "a commit has at most {} {what}, this has {count}; split it",
                limits::COMMIT_WRITES
            )));
        }
    }
    let mut seen = BTreeSet::new();
    let mut bytes = 0_usize;
    for change in writes {
        check_change(change).map_err(|reason| {
            CommitError::Refused(format!("{} can't be written: {reason}", change.key))
        })?;
        if !seen.insert(&change.key) {
            return Err(CommitError::Refused(format!(
                "{} is written twice in one commit",
                change.key
            )));
        }
        bytes = bytes.saturating_add(size(change));
    }
    if bytes > limits::COMMIT_BYTES {
        return Err(CommitError::Refused(format!(
            "a commit has at most {} bytes, this has {bytes}; split it",
            limits::COMMIT_BYTES
        )));
    }
    Ok(bytes)
}

/// Bytes of key and value.
pub(crate) fn size(change: &Change) -> usize {
    let value = change.value.as_ref().map_or(0, bytes::Bytes::len);
    change
        .key
        .kind
        .len()
        .saturating_add(change.key.name.len())
        .saturating_add(value)
}

fn check_change(Change { key, value }: &Change) -> Result<(), String> {
    check_key(key)?;
    let Some(value) = value else { return Ok(()) };
    if value.len() > limits::RECORD_BYTES {
        return Err(format!(
            "has {} bytes; the limit is {}",
            value.len(),
            limits::RECORD_BYTES
        ));
    }
    if Kind::from_name(&key.kind).is_some() {
        Record::decode(key, value)?;
    }
    Ok(())
}

fn check_key(key: &Key) -> Result<(), String> {
    for (part, text) in [("kind", &key.kind), ("name", &key.name)] {
        if text.is_empty() {
            return Err(format!("its {part} is empty"));
        }
        if text.len() > limits::HOST_BYTES {
            return Err(format!(
                "its {part} has {} bytes; the limit is {}",
                text.len(),
                limits::HOST_BYTES
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::testing::{broken, server, server_with};

    fn change(name: &str, bytes: usize) -> Change {
        Change {
            key: Key {
                kind: "test".into(),
                name: name.into(),
            },
            value: Some(Bytes::from(vec![0; bytes])),
        }
    }

    fn refusal(writes: &[Change]) -> String {
        check(writes, &[]).unwrap_err().to_string()
    }

    #[test]
    fn a_commit_within_every_limit_is_taken_and_measured() {
        let writes = [change("a", 10), server("a").change()];
        assert_eq!(
            check(&writes, &[]).unwrap(),
            writes.iter().map(size).sum::<usize>()
        );
        assert_eq!(check(&[], &[]).unwrap(), 0);
        assert!(check(&[change("a", limits::RECORD_BYTES)], &[]).is_ok());
    }

    #[test]
    fn what_is_over_a_limit_is_refused_by_name() {
        let record = limits::RECORD_BYTES;
        assert!(refusal(&[change("a", record + 1)]).contains("test/a can't be written: has"));
        let many: Vec<_> = (0..20).map(|n| change(&n.to_string(), record)).collect();
        assert!(refusal(&many).contains("bytes, this has"));
        let many: Vec<_> = (0..=limits::COMMIT_WRITES)
            .map(|n| change(&n.to_string(), 0))
            .collect();
        assert!(refusal(&many).contains("writes, this has"));
        assert!(refusal(&[change("", 0)]).contains("its name is empty"));
        assert!(refusal(&[change(&"x".repeat(300), 0)]).contains("its name has 300 bytes"));
        assert!(refusal(&[change("a", 0), change("a", 1)]).contains("test/a is written twice"));
    }

    #[test]
    fn a_value_that_every_follower_would_refuse_is_refused_at_once() {
        assert!(refusal(&[broken(server("a").key())]).starts_with("server/a can't be written"));
        let wrong = server_with("a", 0).change();
        assert!(refusal(&[wrong]).contains("`max_replicas` is 0"));
    }
}
