use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::store::{
    BoxFuture, Change, CommitError, Contents, EmbeddedStore, Expectation, Store, StoreError,
};
use crate::testing::server;

const DEADLINE: Duration = Duration::from_secs(20);

/// A store whose watches are lost after a few events, as one behind a bad connection is.
struct Flaky {
    store: EmbeddedStore,
    events: usize,
}

impl Store for Flaky {
    fn snapshot(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        self.store.snapshot()
    }

    fn watch(&self, from: Revision) -> Watch {
        let lost = stream::iter([WatchEvent::Lost]);
        self.store.watch(from).take(self.events).chain(lost).boxed()
    }

    fn commit(
        &self,
        writes: Vec<Change>,
        expectations: Vec<Expectation>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.store.commit(writes, expectations)
    }
}

fn flaky(events: usize) -> (TempDir, SharedStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&dir.path().join("store")).unwrap();
    (dir, Arc::new(Flaky { store, events }))
}

async fn put(store: &SharedStore) -> u64 {
    let write = server("a").change();
    store.commit(vec![write], Vec::new()).await.unwrap().0
}

/// Hears until that revision or the end; what it heard, and whether it was lost.
async fn hear(events: &mut BoxStream<'static, WatchEvent>, until: u64) -> (Vec<u64>, bool) {
    let mut heard = Vec::new();
    let listening = async {
        while heard.last() != Some(&until) {
            match events.next().await {
                Some(WatchEvent::Batch(batch)) => heard.push(batch.revision.0),
                Some(WatchEvent::Progress(_)) => {}
                Some(WatchEvent::Lost) => return true,
                None => panic!("a watch ends with `Lost`"),
            }
        }
        false
    };
    let lost = tokio::time::timeout(DEADLINE, listening).await.unwrap();
    (heard, lost)
}

#[tokio::test]
async fn followers_of_a_store_that_loses_its_history_again_and_again_never_see_a_gap() {
    let (_dir, store) = flaky(4);
    let hub = Hub::start(Arc::clone(&store), HistoryLimits::default());
    let mut position = 0;
    let mut events = hub.follow(Arc::clone(&store), Revision(position));
    for _ in 0..40 {
        let end = put(&store).await;
        loop {
            let (heard, lost) = hear(&mut events, end).await;
            for revision in heard {
                assert_eq!(revision, position + 1, "no gap, nothing twice");
                position = revision;
            }
            if !lost {
                break;
            }
            events = hub.follow(Arc::clone(&store), Revision(position));
        }
        assert_eq!(position, end);
    }
}

#[tokio::test]
async fn a_follower_from_before_the_window_is_told_what_the_store_still_knows() {
    let (_dir, store) = flaky(usize::MAX);
    for _ in 0..10 {
        put(&store).await;
    }
    let hub = Hub::start(Arc::clone(&store), HistoryLimits::default());
    // The window begins at the present.
    let mut window = hub.window.clone();
    window
        .wait_for(|window| window.latest() == Revision(10))
        .await
        .unwrap();
    assert!(!window.borrow().covers(Revision(3)));
    let mut events = hub.follow(Arc::clone(&store), Revision(3));
    let end = put(&store).await;
    let (heard, lost) = hear(&mut events, end).await;
    assert_eq!(heard, (4..=end).collect::<Vec<_>>());
    assert!(!lost);
}

#[tokio::test]
async fn a_hub_that_ends_loses_its_followers() {
    let (_dir, store) = flaky(usize::MAX);
    let hub = Hub::start(Arc::clone(&store), HistoryLimits::default());
    let mut events = hub.follow(Arc::clone(&store), Revision(0));
    drop(hub);
    let (_, lost) = hear(&mut events, u64::MAX).await;
    assert!(lost);
}
