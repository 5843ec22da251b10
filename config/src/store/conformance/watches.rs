//! What a watch is: every commit once, in order, whole; or `Lost`, never a gap.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Subject, delete, next, put, replay, until};
use crate::key::Revision;
use crate::store::{Batch, WatchEvent};

/// A commit of several records is one batch, exactly as committed, at its revision.
pub async fn commits_are_told_in_order_and_whole(subject: &Subject) {
    let start = subject.read().await.revision;
    let mut live = subject.store.watch(start);
    let mut committed = Vec::new();
    for n in 0..20 {
        let mut changes = vec![put("a", n.to_string()), put(&format!("k{n}"), "1")];
        if n > 0 {
            changes.push(delete(&format!("k{}", n - 1)));
        }
        let revision = subject.write(changes.clone()).await;
        committed.push(Batch::new(revision, changes));
    }
    let end = committed.last().expect("twenty commits").revision;
    assert_eq!(until(&mut live, end).await, committed);
    let mut late = subject.store.watch(start);
    assert_eq!(until(&mut late, end).await, committed);
    let middle = committed[9].revision;
    let mut from_middle = subject.store.watch(middle);
    assert_eq!(until(&mut from_middle, end).await, committed[10..]);
}

/// Every commit of many writers is told once, at the revision its writer was given.
pub async fn concurrent_writers_leave_no_gap(subject: &Subject) {
    const WRITERS: usize = 8;
    const EACH: usize = 10;
    let mut watch = subject.store.watch(subject.read().await.revision);
    let mut committed = write_concurrently(subject, WRITERS, EACH).await;
    committed.sort_unstable_by_key(|batch| batch.revision);
    let end = committed.last().expect("some commits").revision;
    assert_eq!(until(&mut watch, end).await, committed);
}

/// A snapshot taken at any moment plus the watch from it is exactly what a reader sees at the end.
pub async fn a_snapshot_and_what_follows_come_to_the_same_as_reading_the_end(subject: &Subject) {
    let writers = write_concurrently(subject, 4, 10);
    let followers = join_all((0..4_u64).map(|follower| async move {
        // Each begins at another moment of the writing.
        while subject.read().await.revision < Revision(follower * 5) {
            tokio::task::yield_now().await;
        }
        let contents = subject.read().await;
        let watch = subject.store.watch(contents.revision);
        (contents, watch)
    }));
    let (_, followers) = tokio::join!(writers, followers);
    let last = subject.write(vec![put("last", "1")]).await;
    let end = subject.read().await;
    assert_eq!(end.revision, last);
    for (contents, mut watch) in followers {
        let batches = until(&mut watch, last).await;
        assert_eq!(replay(contents, &batches), end);
    }
}

/// Watchers don't take events from each other.
pub async fn every_watcher_hears_everything(subject: &Subject) {
    const WATCHERS: usize = 50;
    let start = subject.read().await.revision;
    let mut watches: Vec<_> = (0..WATCHERS).map(|_| subject.store.watch(start)).collect();
    let mut end = start;
    for n in 0..10 {
        end = subject.write(vec![put("a", n.to_string())]).await;
    }
    let heard = join_all(watches.iter_mut().map(|watch| until(watch, end))).await;
    for batches in &heard {
        assert_eq!(batches.len(), 10);
        assert_eq!(Some(batches), heard.first());
    }
}

/// A watcher hears that nothing happened, at least once a second, and where the store is.
pub async fn progress_is_told_without_commits(subject: &Subject) {
    // The contract's second, and as much again for a busy machine.
    const SILENCE: Duration = Duration::from_secs(2);
    let revision = subject.write(vec![put("a", "1")]).await;
    let mut watch = subject.store.watch(revision);
    let mut told = 0;
    while told < 3 {
        let begun = Instant::now();
        match watch.next().await {
            Some(WatchEvent::Progress(at)) => {
                assert_eq!(at, revision);
                told += 1;
            }
            other => panic!("progress, not {other:?}"),
        }
        assert!(begun.elapsed() < SILENCE, "progress in time");
    }
}

/// A watch from before what the store still knows is told so, at once, not given a gap.
pub async fn history_that_is_gone_is_lost(subject: &Subject) {
    let Some(history) = subject.history else {
        return;
    };
    let start = subject.write(vec![put("a", "start")]).await;
    for n in 0..=history {
        subject.write(vec![put("a", n.to_string())]).await;
    }
    assert_eq!(next(&mut subject.store.watch(start)).await, None);
    let now = subject.read().await.revision;
    let mut watch = subject.store.watch(now);
    let after = subject.write(vec![put("a", "end")]).await;
    assert_eq!(until(&mut watch, after).await.len(), 1);
}

/// A watcher that stops reading delays no commit and no other watcher; when it reads again it goes
/// on without a gap or is lost.
pub async fn a_watcher_that_does_not_read_holds_nobody_up(subject: &Subject) {
    let commits = subject.history.unwrap_or(100) * 2 + 10;
    let start = subject.read().await.revision;
    let mut slow = subject.store.watch(start);
    let mut quick = subject.store.watch(start);
    let mut committed = Vec::new();
    for n in 0..commits {
        let revision = subject.write(vec![put("a", n.to_string())]).await;
        let heard = next(&mut quick).await.expect("the quick one is not lost");
        assert_eq!(heard.revision, revision);
        committed.push(heard);
    }
    let mut place = 0;
    while place < committed.len() {
        let Some(batch) = next(&mut slow).await else {
            return;
        };
        assert_eq!(batch, committed[place], "no gap");
        place += 1;
    }
}

async fn write_concurrently(subject: &Subject, writers: usize, each: usize) -> Vec<Batch> {
    let writers = (0..writers).map(|writer| {
        let store = Arc::clone(&subject.store);
        async move {
            let mut committed = Vec::new();
            for n in 0..each {
                let mut changes = vec![
                    put(&format!("w{writer}"), n.to_string()),
                    put("shared", format!("{writer}-{n}")),
                ];
                if n % 3 == 2 {
                    changes.push(delete(&format!("w{}", writer + 1)));
                }
                let revision = store
                    .commit(changes.clone(), Vec::new())
                    .await
                    .expect("an unconditional commit happens");
                committed.push(Batch::new(revision, changes));
            }
            committed
        }
    });
    join_all(writers).await.into_iter().flatten().collect()
}
