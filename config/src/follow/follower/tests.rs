use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::follow::{StatusReport, View};
use crate::key::{Key, Revision};
use crate::last_good::Pace;
use crate::store::{BoxFuture, CommitError, Contents, Expectation, Store, Watch};
use crate::testing::{batch, broken, contents_after, lease, server, server_with};

/// Of paused time; far beyond every wait of a follower.
const DEADLINE: Duration = Duration::from_secs(600);

/// A store that answers as it is told: snapshots and watches in turn; then what is lasting, or it can't
/// be reached.
#[derive(Default)]
struct Scripted {
    snapshots: Mutex<VecDeque<Contents>>,
    lasting: Mutex<Option<Contents>>,
    watches: Mutex<VecDeque<mpsc::Receiver<WatchEvent>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn snapshot_of(&self, batches: &[Batch]) {
        let contents = contents_after(batches);
        self.snapshots.lock().unwrap().push_back(contents);
    }

    /// However often it is asked.
    fn lasting_snapshot_of(&self, batches: &[Batch]) {
        *self.lasting.lock().unwrap() = Some(contents_after(batches));
    }

    fn watch_to_feed(&self) -> mpsc::Sender<WatchEvent> {
        let (sender, receiver) = mpsc::channel(64);
        self.watches.lock().unwrap().push_back(receiver);
        sender
    }
}

impl Store for Scripted {
    fn snapshot(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let next = self.snapshots.lock().unwrap().pop_front();
        let next = next.or_else(|| self.lasting.lock().unwrap().clone());
        Box::pin(async { next.ok_or_else(|| StoreError::Unavailable("it is away".to_owned())) })
    }

    fn watch(&self, _: Revision) -> Watch {
        match self.watches.lock().unwrap().pop_front() {
            Some(receiver) => ReceiverStream::new(receiver).boxed(),
            None => stream::pending().boxed(),
        }
    }

    fn commit(
        &self,
        _: Vec<Change>,
        _: Vec<Expectation>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async { Err(StoreError::Unavailable("it only reads".to_owned()).into()) })
    }
}

/// A follower that runs until dropped.
struct Running {
    view: View,
    status: Arc<Status>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(store: &Arc<Scripted>, set: impl FnOnce(Follower) -> Follower) -> Self {
        let (publisher, view) = View::new();
        let follower = set(Follower::new(Arc::clone(store) as SharedStore, publisher));
        let status = follower.status();
        let task = tokio::spawn(follower.run());
        Self { view, status, task }
    }

    async fn reached(&mut self, revision: u64) -> Arc<Snapshot> {
        let reached = self.view.reached(Revision(revision));
        match timeout(DEADLINE, reached).await {
            Ok(snapshot) => snapshot.unwrap(),
            Err(_) => panic!("{revision} is not reached: {:?}", self.status.report()),
        }
    }

    /// Waits until the status is as wanted.
    async fn report(&self, wanted: impl Fn(&StatusReport) -> bool) -> StatusReport {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let report = self.status.report();
            if wanted(&report) {
                return report;
            }
            assert!(Instant::now() < deadline, "not as wanted: {report:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

fn tell(batch: Batch) -> WatchEvent {
    WatchEvent::Batch(batch)
}

fn max_replicas(snapshot: &Snapshot, name: &str) -> u32 {
    let server = snapshot.server(name).unwrap().server.as_ref().unwrap();
    server.scaling.max_replicas
}

fn last_good() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("last-good");
    (dir, path)
}

#[tokio::test(start_paused = true)]
async fn observers_hear_of_a_change_before_it_is_published() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, vec![server("a").change()])]);
    let feed = store.watch_to_feed();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let (publisher, mut view) = View::new();
    let seen = view.clone();
    let follower = Follower::new(Arc::clone(&store) as SharedStore, publisher).observe(Box::new(
        move |applied| {
            log.lock().unwrap().push((
                applied.snapshot.revision(),
                seen.load().revision(),
                applied.whole,
            ));
        },
    ));
    let task = tokio::spawn(follower.run());
    feed.send(tell(batch(2, vec![server("b").change()])))
        .await
        .unwrap();
    view.reached(Revision(2)).await.unwrap();
    assert_eq!(
        *heard.lock().unwrap(),
        [
            (Revision(1), Revision(0), true),
            (Revision(2), Revision(1), false)
        ]
    );
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lost_follower_keeps_what_it_has_and_takes_a_new_snapshot() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, vec![server_with("a", 1).change()])]);
    let feed = store.watch_to_feed();
    let mut running = Running::start(&store, |follower| follower);
    running.reached(1).await;
    feed.send(WatchEvent::Lost).await.unwrap();
    let report = running.report(|report| report.trouble.is_some()).await;
    assert_eq!(report.revision, Revision(1));
    assert_eq!(report.source, Source::Store);
    assert_eq!(max_replicas(&running.view.load(), "a"), 1);

    store.snapshot_of(&[batch(9, vec![server_with("a", 2).change()])]);
    let snapshot = running.reached(9).await;
    assert_eq!(max_replicas(&snapshot, "a"), 2);
    let report = running.report(|report| report.snapshots == 2).await;
    assert_eq!(report.trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_falls_silent_is_asked_again_and_its_age_shows() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, Vec::new())]);
    let feed = store.watch_to_feed();
    let mut running = Running::start(&store, |follower| follower);
    running.reached(1).await;
    sleep(limits::SILENCE - Duration::from_secs(1)).await;
    let age = running.status.report().age.unwrap();
    assert!(age >= limits::SILENCE - Duration::from_secs(1));

    feed.send(WatchEvent::Progress(Revision(1))).await.unwrap();
    running
        .report(|report| report.age < Some(Duration::from_secs(1)))
        .await;
    assert_eq!(store.asked.load(Ordering::Relaxed), 1);
    store.snapshot_of(&[batch(2, Vec::new())]);
    running.reached(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_not_asked_in_a_hurry() {
    let store = Arc::new(Scripted::default());
    let running = Running::start(&store, |follower| follower);
    sleep(Duration::from_secs(600)).await;
    let asked = store.asked.load(Ordering::Relaxed);
    // Full jitter around half of ten seconds, after a few quick tries.
    assert!((60..250).contains(&asked), "{asked}");
    assert_eq!(running.status.report().source, Source::Nothing);
    assert_eq!(running.status.report().age, None);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_older_than_what_is_in_force_is_not_taken() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(8, vec![server_with("a", 8).change()])]);
    let feed = store.watch_to_feed();
    let mut running = Running::start(&store, |follower| follower);
    running.reached(8).await;
    // Each time it is asked: how often that is before we look depends on chance.
    for _ in 0..100 {
        store.snapshot_of(&[batch(3, vec![server_with("a", 3).change()])]);
    }
    feed.send(WatchEvent::Lost).await.unwrap();
    let report = running.report(|report| report.trouble.is_some()).await;
    let trouble = report.trouble.unwrap();
    assert!(
        trouble.contains("at revision 3, before 8"),
        "what happened: {trouble}"
    );
    assert_eq!(max_replicas(&running.view.load(), "a"), 8);
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_is_listed_until_a_good_version_comes() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, vec![server_with("a", 1).change()])]);
    let feed = store.watch_to_feed();
    let mut running = Running::start(&store, |follower| follower);
    let bad = vec![broken(server("a").key()), server("b").change()];
    feed.send(tell(batch(2, bad))).await.unwrap();
    let snapshot = running.reached(2).await;
    assert_eq!(max_replicas(&snapshot, "a"), 1);
    assert!(snapshot.server("b").is_some());
    let report = running.report(|report| report.batches == 1).await;
    assert_eq!(report.refused.len(), 1);
    assert_eq!(report.refused[0].key, server("a").key());

    let good = vec![server_with("a", 3).change()];
    feed.send(tell(batch(3, good))).await.unwrap();
    running.reached(3).await;
    let report = running.report(|report| report.batches == 2).await;
    assert_eq!(report.refused, []);
    assert_eq!(report.refusals, 1);
}

fn panics_on_poison(current: &Snapshot, batch: &Batch) -> Applied {
    let poison = batch
        .changes
        .iter()
        .any(|change| &*change.key.name == "poison");
    assert!(!poison, "poison");
    apply(current, batch)
}

#[tokio::test(start_paused = true)]
async fn a_record_that_panics_is_refused_alone() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, Vec::new())]);
    let feed = store.watch_to_feed();
    let mut running = Running::start(&store, |mut follower| {
        follower.apply = panics_on_poison;
        follower
    });
    let changes = ["a", "poison", "b"].map(|name| server(name).change());
    feed.send(tell(batch(2, changes.to_vec()))).await.unwrap();
    let snapshot = running.reached(2).await;
    assert!(snapshot.server("a").is_some() && snapshot.server("b").is_some());
    assert!(snapshot.server("poison").is_none());
    let report = running.report(|report| report.batches == 1).await;
    assert_eq!(report.panics, 1);
    assert_eq!(report.refused.len(), 1);
    assert_eq!(report.refused[0].key, server("poison").key());

    feed.send(tell(batch(3, vec![server("c").change()])))
        .await
        .unwrap();
    assert!(running.reached(3).await.server("c").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_is_told_everything_next() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, Vec::new())]);
    let feed = store.watch_to_feed();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let mut running = Running::start(&store, |follower| {
        follower.observe(Box::new(move |applied| {
            let told = (applied.snapshot.revision().0, applied.whole);
            log.lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .push(told);
            assert_ne!(told, (2, false), "this one is too much");
        }))
    });
    feed.send(tell(batch(2, vec![server("a").change()])))
        .await
        .unwrap();
    running.reached(2).await;
    feed.send(tell(batch(3, vec![server("b").change()])))
        .await
        .unwrap();
    running.reached(3).await;
    assert_eq!(
        *heard.lock().unwrap(),
        [(1, true), (2, false), (2, true), (3, false)]
    );
    assert_eq!(running.status.report().panics, 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_no_observer_survives_is_refused_and_the_next_one_tells_all() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, Vec::new())]);
    let feed = store.watch_to_feed();
    let mut running = Running::start(&store, |follower| {
        follower.observe(Box::new(|applied| {
            assert_ne!(applied.snapshot.revision(), Revision(2), "not this one");
        }))
    });
    for revision in [2, 3] {
        let change = server(&format!("s{revision}")).change();
        feed.send(tell(batch(revision, vec![change])))
            .await
            .unwrap();
    }
    let snapshot = running.reached(3).await;
    assert!(snapshot.server("s2").is_none() && snapshot.server("s3").is_some());
    let report = running.report(|report| report.batches == 1).await;
    assert_eq!(report.panics, 2);
    assert_eq!(report.refused[0].key, server("s2").key());
}

/// As if a process had kept that.
fn kept(path: &std::path::Path, contents: Contents) {
    let last_good = LastGood::new(path);
    let written = last_good.write(contents.revision, contents.entries, Pace::AtOnce);
    written.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_follower_starts_from_the_last_good_file_while_the_store_is_away() {
    let (_dir, path) = last_good();
    let before = contents_after(&[batch(5, vec![server_with("a", 5).change()])]);
    kept(&path, before.clone());

    let store = Arc::new(Scripted::default());
    let mut running = Running::start(&store, |follower| follower.last_good(LastGood::new(&path)));
    let snapshot = running.reached(5).await;
    assert_eq!(max_replicas(&snapshot, "a"), 5);
    let report = running.report(|report| report.snapshots == 1).await;
    assert_eq!(report.source, Source::LastGood);
    assert_eq!(report.age, None);

    store.snapshot_of(&[batch(6, vec![server_with("a", 6).change()])]);
    let snapshot = running.reached(6).await;
    assert_eq!(max_replicas(&snapshot, "a"), 6);
    let report = running.report(|report| report.snapshots == 2).await;
    assert_eq!(report.source, Source::Store);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_force_at_the_end_is_the_next_starts_last_good() {
    let (_dir, path) = last_good();
    let store = Arc::new(Scripted::default());
    let batches = [batch(
        1,
        vec![
            server("a").change(),
            broken(Key::new(crate::Kind::Worker, "w")),
        ],
    )];
    store.snapshot_of(&batches);
    let mut running = Running::start(&store, |follower| follower.last_good(LastGood::new(&path)));
    running.reached(1).await;
    running.report(|report| report.snapshots == 1).await;
    running.stop().await;
    let kept = LastGood::new(&path).read().unwrap().unwrap();
    assert_eq!(kept.revision, Revision(1));
    let keys: Vec<_> = kept
        .entries
        .iter()
        .map(|entry| entry.key.to_string())
        .collect();
    assert_eq!(keys, ["server/a"], "what was refused is not kept");
}

#[tokio::test(start_paused = true)]
async fn the_last_good_file_is_written_while_it_serves() {
    let (_dir, path) = last_good();
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, vec![server("a").change()])]);
    let feed = store.watch_to_feed();
    let mut running = Running::start(&store, |follower| follower.last_good(LastGood::new(&path)));
    let kept = || {
        let contents = LastGood::new(&path).read().unwrap();
        contents.map(|contents| contents.revision.0)
    };
    for expected in [1, 2] {
        let deadline = Instant::now() + DEADLINE;
        while kept() != Some(expected) {
            assert!(Instant::now() < deadline, "revision {expected} is kept");
            feed.send(WatchEvent::Progress(Revision(expected)))
                .await
                .unwrap();
            sleep(Duration::from_millis(500)).await;
        }
        let next = match expected {
            1 => server("b").change(),
            _ => lease("autoscaler").change(),
        };
        feed.send(tell(batch(expected + 1, vec![next])))
            .await
            .unwrap();
    }
    running.reached(3).await;
    for _ in 0..20 {
        feed.send(WatchEvent::Progress(Revision(3))).await.unwrap();
        sleep(limits::LAST_GOOD_AFTER).await;
    }
    running.stop().await;
    assert_eq!(kept(), Some(2), "a lease alone is no reason");
}

#[tokio::test(start_paused = true)]
async fn a_last_good_file_that_is_not_whole_is_left_in_place_and_nothing_starts_from_it() {
    let (_dir, path) = last_good();
    std::fs::write(&path, "half a file").unwrap();
    let store = Arc::new(Scripted::default());
    let running = Running::start(&store, |follower| follower.last_good(LastGood::new(&path)));
    running
        .report(|_| store.asked.load(Ordering::Relaxed) > 3)
        .await;
    assert_eq!(running.status.report().source, Source::Nothing);
    running.stop().await;
    assert_eq!(std::fs::read(&path).unwrap(), b"half a file");
}

#[tokio::test(start_paused = true)]
async fn servers_that_are_gone_at_once_stay_until_somebody_confirms() {
    let store = Arc::new(Scripted::default());
    let all: Vec<_> = (0..40).map(|n| server(&format!("s{n}"))).collect();
    let filled = batch(1, all.iter().map(|server| server.change()).collect());
    let emptied = batch(
        2,
        all.iter()
            .map(|server| Change::delete(server.key()))
            .collect(),
    );
    store.snapshot_of(std::slice::from_ref(&filled));
    let feed = store.watch_to_feed();
    let mut running = Running::start(&store, |follower| follower);
    running.reached(1).await;
    feed.send(tell(emptied.clone())).await.unwrap();
    assert_eq!(running.reached(2).await.len(), 40);
    let report = running.report(|report| !report.refused.is_empty()).await;
    assert_eq!(report.refused.len(), 40);
    assert!(report.refused[0].reason.starts_with("held"));

    // A whole snapshot without them is held too.
    store.lasting_snapshot_of(&[filled.clone(), emptied.clone()]);
    feed.send(WatchEvent::Lost).await.unwrap();
    let held = |report: &StatusReport| {
        let trouble = report.trouble.as_deref();
        trouble.is_some_and(|trouble| trouble.contains("lacks 40 of the 40 servers"))
    };
    running.report(held).await;
    assert_eq!(running.view.load().len(), 40);

    store.lasting_snapshot_of(&[filled, emptied, batch(3, Vec::new())]);
    running.status.confirm();
    assert_eq!(running.reached(3).await.len(), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_crashed_two_processes_is_not_taken_by_the_third_which_starts_from_the_last_good() {
    let (dir, path) = last_good();
    kept(
        &path,
        contents_after(&[batch(1, vec![server("a").change()])]),
    );
    let marker = dir
        .path()
        .join(format!("{}-applying", path.file_name().unwrap().display()));
    std::fs::write(&marker, "2 2\n").unwrap();
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(2, vec![server("b").change()])]);
    let mut running = Running::start(&store, |follower| follower.last_good(LastGood::new(&path)));
    let snapshot = running.reached(1).await;
    assert_eq!((snapshot.revision(), snapshot.len()), (Revision(1), 1));
    let report = running.report(|report| report.trouble.is_some()).await;
    assert_eq!(report.source, Source::LastGood);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn how_long_after_its_commit_a_change_came_in_force_is_told() {
    let store = Arc::new(Scripted::default());
    store.snapshot_of(&[batch(1, vec![server("a").change()])]);
    let feed = store.watch_to_feed();
    let lags = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&lags);
    let mut running = Running::start(&store, |follower| {
        follower.lag(Box::new(move |lag| hear.lock().unwrap().push(lag)))
    });
    running.reached(1).await;
    let second_ago = clock::unix_us() - 1_000_000;
    for (revision, committed_unix_us) in [(2, second_ago), (3, 0), (4, u64::MAX)] {
        let commit = Batch {
            committed_unix_us,
            ..batch(revision, vec![server("a").change()])
        };
        feed.send(tell(commit)).await.unwrap();
    }
    running.reached(4).await;
    running.report(|report| report.batches == 3).await;
    let lags = lags.lock().unwrap().clone();
    assert_eq!(lags.len(), 2, "of a commit without a time nothing is told");
    assert!(lags[0] >= Duration::from_secs(1) && lags[0] < Duration::from_secs(60));
    assert_eq!(lags[1], Duration::ZERO, "a clock that is ahead");
    running.stop().await;
}
