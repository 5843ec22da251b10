use std::fs;
use std::path::PathBuf;

use futures_util::StreamExt;
use tempfile::TempDir;

use super::*;
use crate::store::{Batch, WatchEvent, conformance};
use crate::testing::{server, server_with};

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    (dir, path)
}

async fn put(store: &EmbeddedStore, max_replicas: u32) -> Revision {
    let write = server_with("a", max_replicas).change();
    store.commit(vec![write], Vec::new()).await.unwrap()
}

/// The next commit, progress marks aside; `None` once lost.
async fn next_batch(watch: &mut Watch) -> Option<Batch> {
    loop {
        match watch.next().await? {
            WatchEvent::Batch(batch) => return Some(batch),
            WatchEvent::Progress(_) => {}
            WatchEvent::Lost => return None,
        }
    }
}

#[tokio::test]
async fn everything_committed_is_there_after_reopening() {
    let (_dir, path) = place();
    let store = EmbeddedStore::open(&path).unwrap();
    for n in 1..=5 {
        put(&store, n).await;
    }
    let before = store.snapshot().await.unwrap();
    drop(store);

    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.snapshot().await.unwrap(), before);
    assert_eq!(put(&store, 6).await, Revision(6));
    let mut watch = store.watch(Revision(2));
    for revision in 3..=6 {
        let batch = next_batch(&mut watch).await.unwrap();
        assert_eq!(batch.revision, Revision(revision));
        let max = u32::try_from(revision).unwrap();
        assert_eq!(batch.changes, [server_with("a", max).change()]);
    }
}

#[tokio::test]
async fn history_stays_bounded_over_reopening() {
    let (_dir, path) = place();
    let store = EmbeddedStore::open_with_history(&path, 3).unwrap();
    for n in 1..=10 {
        put(&store, n).await;
    }
    assert_eq!(next_batch(&mut store.watch(Revision(6))).await, None);
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(next_batch(&mut store.watch(Revision(6))).await, None);
    let batch = next_batch(&mut store.watch(Revision(7))).await.unwrap();
    assert_eq!(batch.revision, Revision(8));
}

#[tokio::test]
async fn a_file_that_is_open_is_held() {
    let (_dir, path) = place();
    let store = EmbeddedStore::open(&path).unwrap();
    let error = EmbeddedStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Held(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("stop that one"));
    drop(store);
    EmbeddedStore::open(&path).unwrap();
}

#[test]
fn a_file_that_is_no_store_is_refused_and_kept() {
    for bytes in [&b""[..], b"x", b"not a store at all", &[0; 100_000]] {
        let (_dir, path) = place();
        fs::write(&path, bytes).unwrap();
        let error = EmbeddedStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("restore a backup"));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_place_that_can_not_hold_a_store_is_named() {
    let (dir, path) = place();
    fs::write(&path, "a file").unwrap();
    for bad in [path.join("store"), dir.path().join("missing/store")] {
        let error = EmbeddedStore::open(&bad).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(error.to_string().contains(bad.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_crash_after_any_commit_loses_nothing_that_was_answered() {
    let (dir, path) = place();
    let store = EmbeddedStore::open_with_history(&path, 5).unwrap();
    for n in 1..=12 {
        put(&store, n).await;
        // The file as a process that is killed now leaves it.
        let left = dir.path().join(format!("left-{n}"));
        fs::copy(&path, &left).unwrap();
        let found = EmbeddedStore::open(&left).unwrap();
        assert_eq!(
            found.snapshot().await.unwrap(),
            store.snapshot().await.unwrap()
        );
        assert_eq!(put(&found, 1).await, Revision(u64::from(n) + 1));
    }
}

/// A store's file, closed, and what it holds.
async fn filled() -> (TempDir, PathBuf, Contents) {
    let (dir, path) = place();
    let store = EmbeddedStore::open_with_history(&path, 20).unwrap();
    for n in 0..40 {
        let writes = (0..10)
            .map(|m| server(&format!("s{}", n * 7 + m)).change())
            .collect();
        store.commit(writes, Vec::new()).await.unwrap();
    }
    let contents = store.snapshot().await.unwrap();
    (dir, path, contents)
}

#[tokio::test]
async fn a_truncated_file_is_refused_and_never_emptied() {
    let (_dir, path, contents) = filled().await;
    let whole = fs::read(&path).unwrap();
    for cut in [
        1,
        100,
        4096,
        whole.len() / 4,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = EmbeddedStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{cut}: {error:?}");
        assert_eq!(fs::read(&path).unwrap().len(), cut);
    }
    fs::write(&path, &whole).unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.snapshot().await.unwrap(), contents);
}

#[tokio::test]
async fn a_flipped_byte_is_refused_or_harmless_but_never_read_as_something_else() {
    const FLIPS: usize = 300;
    let (_dir, path, contents) = filled().await;
    let whole = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut refused = 0;
    for _ in 0..FLIPS {
        let at = random.usize(..whole.len());
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.u8(..8);
        fs::write(&path, &bytes).unwrap();
        match EmbeddedStore::open(&path) {
            Ok(store) => assert_eq!(store.snapshot().await.unwrap(), contents, "byte {at}"),
            Err(StoreError::Corrupt(_)) => refused += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(refused > 0, "some flips hit what is checked");
}

#[tokio::test]
async fn concurrent_commits_all_happen_once() {
    let (_dir, path) = place();
    let store = Arc::new(EmbeddedStore::open(&path).unwrap());
    let commits = (0..50).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let write = server(&format!("s{n}")).change();
            store.commit(vec![write], Vec::new()).await.unwrap()
        })
    });
    let mut revisions: Vec<u64> = futures_util::future::join_all(commits)
        .await
        .into_iter()
        .map(|revision| revision.unwrap().0)
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=50).collect::<Vec<_>>());
    assert_eq!(store.snapshot().await.unwrap().entries.len(), 50);
}

#[tokio::test]
async fn watchers_of_a_closed_store_are_lost() {
    let (_dir, path) = place();
    let store = EmbeddedStore::open(&path).unwrap();
    let mut watch = store.watch(Revision(0));
    drop(store);
    assert_eq!(next_batch(&mut watch).await, None);
}

#[tokio::test]
async fn it_keeps_the_stores_contract() {
    const HISTORY: usize = 200;
    conformance::run_all(|| async {
        let (dir, path) = place();
        conformance::Subject {
            store: Arc::new(EmbeddedStore::open_with_history(&path, HISTORY).unwrap()),
            history: Some(HISTORY),
            guard: Box::new(dir),
        }
    })
    .await;
}
