//! What a commit is: all or nothing, with expectations, seen by the next snapshot.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Subject, delete, expect, key, put};
use crate::key::Revision;
use crate::limits;
use crate::store::CommitError;

/// A snapshot taken after a commit holds it, under the commit's revision, in key order.
pub async fn a_commit_is_in_the_next_snapshot(subject: &Subject) {
    assert_eq!(subject.read().await.entries, [], "the store begins empty");
    let first = subject.write(vec![put("b", "1"), put("a", "2")]).await;
    let second = subject.write(vec![put("b", "3")]).await;
    assert!(first < second, "revisions grow");
    let contents = subject.read().await;
    assert_eq!(contents.revision, second);
    let rows: Vec<_> = contents
        .entries
        .iter()
        .map(|entry| (&*entry.key.name, &*entry.value, entry.revision))
        .collect();
    assert_eq!(rows, [("a", &b"2"[..], first), ("b", &b"3"[..], second)]);
}

/// An expectation that doesn't hold is named, and none of the writes happens.
pub async fn a_commit_that_conflicts_writes_nothing(subject: &Subject) {
    let first = subject.write(vec![put("a", "1")]).await;
    let second = subject.write(vec![put("a", "2"), put("b", "2")]).await;
    let before = subject.read().await;
    for (expectations, conflicting) in [
        (vec![expect("a", Some(first))], vec!["a"]),
        (vec![expect("a", None)], vec!["a"]),
        (vec![expect("missing", Some(first))], vec!["missing"]),
        (
            vec![expect("a", Some(second)), expect("b", None)],
            vec!["b"],
        ),
        (
            vec![expect("a", Some(first)), expect("b", Some(first))],
            vec!["a", "b"],
        ),
    ] {
        let writes = vec![put("a", "x"), put("new", "x"), delete("b")];
        match subject.store.commit(writes, expectations).await {
            Err(CommitError::Conflict(keys)) => {
                let expected: Vec<_> = conflicting.into_iter().map(key).collect();
                assert_eq!(keys, expected);
            }
            other => panic!("a conflict, not {other:?}"),
        }
        assert_eq!(subject.read().await, before);
    }
    let holds = vec![expect("a", Some(second)), expect("missing", None)];
    subject
        .store
        .commit(vec![put("a", "3")], holds)
        .await
        .expect("what is expected is so");
}

/// Of racing commits that expect the same revision exactly one happens.
pub async fn one_of_those_who_expect_the_same_wins(subject: &Subject) {
    const RACERS: usize = 8;
    const ROUNDS: usize = 5;
    let mut revision = None;
    for _ in 0..ROUNDS {
        let commits = (0..RACERS).map(|racer| {
            let writes = vec![put("a", racer.to_string())];
            subject.store.commit(writes, vec![expect("a", revision)])
        });
        let won: Vec<Revision> = join_all(commits)
            .await
            .into_iter()
            .filter_map(|outcome| match outcome {
                Ok(revision) => Some(revision),
                Err(CommitError::Conflict(_)) => None,
                Err(other) => panic!("a win or a conflict, not {other}"),
            })
            .collect();
        assert_eq!(won.len(), 1, "exactly one wins");
        revision = won.first().copied();
    }
}

/// A commit without writes returns the current revision and changes nothing.
pub async fn an_empty_commit_writes_nothing_and_tells_the_revision(subject: &Subject) {
    let first = subject.write(vec![put("a", "1")]).await;
    let before = subject.read().await;
    assert_eq!(subject.write(Vec::new()).await, first);
    assert_eq!(subject.read().await, before);
}

/// A commit without writes is a check that several records are as expected.
pub async fn an_empty_commit_still_checks_its_expectations(subject: &Subject) {
    let first = subject.write(vec![put("a", "1")]).await;
    let check = |expectation| subject.store.commit(Vec::new(), vec![expectation]);
    assert_eq!(check(expect("a", Some(first))).await.ok(), Some(first));
    assert!(matches!(
        check(expect("a", None)).await,
        Err(CommitError::Conflict(_))
    ));
}

/// A deleted record is as if it had never been, until it is written again.
pub async fn deleted_records_are_gone_and_can_come_back(subject: &Subject) {
    let first = subject.write(vec![put("a", "1"), put("b", "1")]).await;
    let deleted = subject
        .store
        .commit(vec![delete("a")], vec![expect("a", Some(first))])
        .await
        .expect("what is expected is so");
    let names = |contents: crate::store::Contents| -> Vec<String> {
        let keys = contents.entries.into_iter().map(|entry| entry.key);
        keys.map(|key| key.name.to_string()).collect()
    };
    let contents = subject.read().await;
    assert_eq!(contents.revision, deleted);
    assert_eq!(names(contents), ["b"]);
    let back = subject
        .store
        .commit(vec![put("a", "2")], vec![expect("a", None)])
        .await
        .expect("it doesn't exist");
    let contents = subject.read().await;
    assert_eq!(contents.entries[0].revision, back);
    assert_eq!(names(contents), ["a", "b"]);
}

/// Values up to the limit, in a commit up to its limit, are kept and told byte for byte.
pub async fn the_largest_values_are_kept_whole(subject: &Subject) {
    // Room for the keys in the commit's limit.
    let count = limits::COMMIT_BYTES / limits::RECORD_BYTES - 1;
    let mut watch = subject.store.watch(subject.read().await.revision);
    let writes: Vec<_> = (0..count)
        .map(|n| {
            let byte = u8::try_from(n % 251).expect("below 251");
            put(
                &format!("n{n:04}"),
                Bytes::from(vec![byte; limits::RECORD_BYTES]),
            )
        })
        .collect();
    let revision = subject.write(writes.clone()).await;
    let told = super::until(&mut watch, revision).await;
    assert!(told[0].changes == writes, "told byte for byte");
    let contents = subject.read().await;
    assert_eq!(contents.entries.len(), count);
    for (entry, write) in contents.entries.iter().zip(&writes) {
        assert!(
            Some(&entry.value) == write.value.as_ref(),
            "kept byte for byte"
        );
    }
    subject.write(vec![put("empty", Bytes::new())]).await;
    assert_eq!(subject.read().await.entries[0].value, Bytes::new());
}

/// A commit over a limit is refused with a reason, and none of it happens.
pub async fn what_is_over_the_limits_is_refused_whole(subject: &Subject) {
    let before = subject.read().await;
    let large = Bytes::from(vec![0; limits::RECORD_BYTES + 1]);
    let twice = vec![put("a", "1"), put("a", "2")];
    for writes in [vec![put("a", "1"), put("b", large)], twice] {
        match subject.store.commit(writes, Vec::new()).await {
            Err(CommitError::Refused(reason)) => assert!(!reason.is_empty()),
            other => panic!("a refusal, not {other:?}"),
        }
    }
    assert_eq!(subject.read().await, before);
}
