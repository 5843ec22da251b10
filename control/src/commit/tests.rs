use std::sync::{Mutex, PoisonError};

use fprs_config::store::{BoxFuture, Watch};
use fprs_config::{Contents, Kind, ReplicaState, Store};

use super::*;
use crate::testing::replica;

/// A store that answers a commit by the names in it, and remembers every one it was asked for.
#[derive(Default)]
struct Moody {
    asked: Mutex<Vec<Vec<String>>>,
}

impl Moody {
    fn answer(&self, writes: &[Change]) -> Result<Revision, CommitError> {
        let names: Vec<_> = writes.iter().map(|w| w.key.name.to_string()).collect();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(names.clone());
        let has = |name: &str| names.iter().any(|written| written == name);
        if has("away") {
            Err(StoreError::Unavailable("it is away".to_owned()).into())
        } else if has("poison") {
            Err(CommitError::Refused("poison".to_owned()))
        } else if has("late") {
            Err(CommitError::Conflict(Vec::new()))
        } else {
            Ok(Revision(asked.len() as u64))
        }
    }
}

impl Store for Moody {
    fn snapshot(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        Box::pin(async { Ok(Contents::default()) })
    }

    fn watch(&self, _: Revision) -> Watch {
        Box::pin(futures_util::stream::pending())
    }

    fn commit(
        &self,
        writes: Vec<Change>,
        _: Vec<Expectation>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move { self.answer(&writes) })
    }
}

fn group(id: &str) -> Group {
    let mut group = Group::default();
    let replica = replica(id, "hello", ReplicaState::Ready);
    group.note(Note::Ready {
        replica: id.into(),
        server: "hello".into(),
        startup_ms: 1,
    });
    group.put(&Snapshot::default(), &Record::Replica(replica));
    group
}

async fn commit_of(ids: &[&str]) -> (Outcome, Vec<Vec<String>>) {
    let store = Arc::new(Moody::default());
    let shared: SharedStore = store.clone();
    let groups = ids.iter().map(|id| group(id)).collect();
    let outcome = commit(shared, groups).await;
    let asked = std::mem::take(&mut *store.asked.lock().unwrap());
    (outcome, asked)
}

#[tokio::test]
async fn groups_that_all_hold_are_one_commit() {
    let (outcome, asked) = commit_of(&["a", "b", "c"]).await;
    assert_eq!(asked, [["a", "b", "c"]]);
    assert_eq!(outcome.revision, Some(Revision(1)));
    assert_eq!(outcome.notes.len(), 3);
}

#[tokio::test]
async fn a_group_that_is_refused_or_late_stops_no_other() {
    let (outcome, asked) = commit_of(&["a", "late", "poison", "z"]).await;
    assert_eq!(asked.len(), 5);
    assert_eq!(outcome.revision, Some(Revision(5)), "z is written");
    assert_eq!(outcome.notes.len(), 2);
    assert_eq!(outcome.conflicts, 1);
    let (keys, reason) = &outcome.refused[0];
    assert_eq!(keys, &[Key::new(Kind::Replica, "poison")]);
    assert_eq!(reason, "poison");
}

#[tokio::test]
async fn a_store_that_is_away_is_asked_once() {
    let (outcome, asked) = commit_of(&["a", "away", "z"]).await;
    assert_eq!(asked.len(), 1);
    assert!(outcome.failed.is_some());
    assert_eq!(outcome.revision, None);
}

#[test]
fn a_commit_takes_no_more_than_its_limit_but_always_one_group() {
    let groups = |count: usize| (0..count).map(|n| group(&n.to_string())).collect();
    assert_eq!(first_of(groups(MAX_WRITES + 7)).len(), MAX_WRITES);
    assert_eq!(first_of(groups(3)).len(), 3);
    let mut large = Group::default();
    for n in 0..=MAX_WRITES {
        large.delete(
            &Snapshot::default(),
            Key::new(Kind::Replica, &n.to_string()),
        );
    }
    assert_eq!(first_of(vec![large, group("a")]).len(), 1);
}
