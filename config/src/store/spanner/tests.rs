use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fprs_testkit::fault::{Fault, FaultProxy};
use futures_util::StreamExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::*;
use crate::engines::Emulator;
use crate::engines::faults::{FaultServer, StreamFault};
use crate::key::Key;
use crate::limits;
use crate::store::{Batch, Contents, Entry, Watch, WatchEvent, conformance};

/// A prepared, empty database.
async fn database(emulator: &Emulator, name: &str) -> Spanner {
    let address: Spanner = emulator.database(name).parse().unwrap();
    init(&address).await.unwrap();
    address
}

async fn open(address: &Spanner, commits: usize) -> Mirrored<Client> {
    let history = HistoryLimits {
        commits,
        ..HistoryLimits::default()
    };
    open_within(address, history).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_stores_contract() {
    const HISTORY: usize = 100;
    let Some(emulator) = Emulator::start(None) else {
        return;
    };
    let databases = AtomicUsize::new(0);
    conformance::run_all(|| async {
        let number = databases.fetch_add(1, Ordering::Relaxed);
        let address = database(&emulator, &format!("d{number}")).await;
        conformance::Subject {
            store: Arc::new(open(&address, HISTORY).await),
            history: Some(HISTORY),
            guard: Box::new(()),
        }
    })
    .await;
}

/// How long writers write; ten minutes in a soak.
fn writing() -> Duration {
    let soak = std::env::var_os("FPRS_SOAK").is_some();
    Duration::from_secs(if soak { 600 } else { 20 })
}

/// Commits of several rows and deletes, until that time; how many.
async fn write_until(store: Mirrored<Client>, writer: u64, end: Instant) -> u64 {
    let mut random = fastrand::Rng::with_seed(writer);
    let mut commits = 0;
    while Instant::now() < end {
        let mut names: Vec<u8> = (0..20).collect();
        random.shuffle(&mut names);
        let writes = names.iter().take(random.usize(1..8)).map(|name| Change {
            key: Key {
                kind: "gapless".into(),
                name: format!("k{name:02}").into(),
            },
            value: random.bool().then(|| format!("{writer}-{commits}").into()),
        });
        // The emulator has one transaction at a time and aborts all others: a writer that never
        // pauses starves the rest.
        match store.commit(writes.collect(), Vec::new()).await {
            Ok(_) => commits += 1,
            Err(CommitError::Store(error)) => eprintln!("a commit is not done: {error}"),
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(random.u64(10..60))).await;
    }
    commits
}

/// What a read finds at this moment.
async fn exact(client: &Client) -> Result<Contents, StoreError> {
    client.read(client.now().await?).await
}

/// On a machine that is too slow for the emulator, history may be said to be lost so often.
const MOST_LOST: usize = 2;

/// Two writers in processes of their own; what a third process is told comes, at every moment it is
/// compared, to exactly what a read at that moment finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_while_partitions_split_and_merge_under_two_writers() {
    let Some(emulator) = Emulator::start(Some(2)) else {
        return;
    };
    let address = database(&emulator, "gapless").await;
    let follower = open(&address, 10_000).await;
    let contents = follower.snapshot().await.unwrap();
    let mut watch = follower.watch(contents.revision);
    let mut replayed = Replayed::of(contents);

    let end = Instant::now() + writing();
    let writers = [1, 2].map(|writer| {
        let address = address.clone();
        tokio::spawn(async move {
            let store = open(&address, 10).await;
            write_until(store, writer, end).await
        })
    });
    let (mut compared, mut lost) = (0, 0);
    let mut written = None;
    while written.is_none() {
        if Instant::now() > end {
            let [a, b] = writers.each_ref().map(JoinHandle::is_finished);
            written = (a && b).then_some(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let Ok(exact) = exact(&follower.engine).await else {
            eprintln!("the emulator is too busy to be compared with");
            continue;
        };
        while replayed.revision < exact.revision {
            match watch.next().await.unwrap() {
                WatchEvent::Batch(batch) => replayed.take(batch),
                WatchEvent::Progress(at) => assert_eq!(at, replayed.revision),
                WatchEvent::Lost => {
                    // The contract allows it where an engine is too slow; what comes after is whole again.
                    lost += 1;
                    assert!(lost <= MOST_LOST, "history is lost again and again");
                    let contents = follower.snapshot().await.unwrap();
                    watch = follower.watch(contents.revision);
                    replayed = Replayed::of(contents);
                }
            }
        }
        if replayed.revision > exact.revision {
            continue;
        }
        assert_eq!(replayed.contents(), exact);
        compared += 1;
    }
    let mut commits = 0;
    for writer in writers {
        commits += writer.await.unwrap();
    }
    assert!(replayed.revision >= Revision(commits));
    println!("{commits} commits, compared {compared} times, 0 mismatches, {lost} times read anew");
    assert!(compared > 3 && commits > 20);
}

async fn put(store: &impl Store, value: u64) -> Revision {
    let write = Change {
        key: Key {
            kind: "test".into(),
            name: "a".into(),
        },
        value: Some(value.to_string().into()),
    };
    store.commit(vec![write], Vec::new()).await.unwrap()
}

/// Hears everything up to that revision, each once.
async fn hear(watch: &mut Watch, position: &mut Revision, until: Revision) {
    let hearing = async {
        while *position < until {
            match watch.next().await.unwrap() {
                WatchEvent::Batch(batch) => {
                    assert_eq!(batch.revision.0, position.0 + 1, "no gap, nothing twice");
                    *position = batch.revision;
                }
                WatchEvent::Progress(at) => assert_eq!(at, *position),
                WatchEvent::Lost => panic!("no history is lost here"),
            }
        }
    };
    let patience = limits::SPANNER_SILENCE + limits::RETRY_LONGEST + Duration::from_secs(10);
    timeout(patience, hearing).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_and_swallowed_connections_leave_no_gap() {
    let Some(emulator) = Emulator::start(Some(2)) else {
        return;
    };
    let address = database(&emulator, "faults").await;
    let proxy = FaultProxy::start(emulator.address()).await;
    let through = emulator.database_through("faults", proxy.address());
    let writer = open(&address, 1000).await;
    let follower = open(&through.parse().unwrap(), 1000).await;
    let mut position = follower.mirror.revision().unwrap();
    let mut watch = follower.watch(position);
    let mut newest = position;
    for fault in [Fault::Cut, Fault::BlackHole, Fault::Cut] {
        newest = put(&writer, newest.0).await;
        hear(&mut watch, &mut position, newest).await;
        proxy.set(fault);
        newest = put(&writer, newest.0).await;
        if fault == Fault::BlackHole {
            // Until it is noticed: nothing but silence says so.
            tokio::time::sleep(limits::SPANNER_SILENCE).await;
        }
        proxy.set(Fault::None);
        hear(&mut watch, &mut position, newest).await;
    }
    let exact = writer.snapshot().await.unwrap();
    assert_eq!(follower.snapshot().await.unwrap(), exact);
}

/// A writer beside a follower whose calls go through a server that misbehaves.
struct Misbehaving {
    writer: Mirrored<Client>,
    follower: Mirrored<Client>,
    faults: FaultServer,
    _emulator: Emulator,
}

impl Misbehaving {
    async fn start() -> Option<Self> {
        let emulator = Emulator::start(Some(1))?;
        let address = database(&emulator, "faults").await;
        let faults = FaultServer::start(emulator.address()).await;
        let through = emulator.database_through("faults", faults.address());
        Some(Self {
            writer: open(&address, 1000).await,
            follower: open(&through.parse().unwrap(), 1000).await,
            faults,
            _emulator: emulator,
        })
    }

    /// Does that until so many readings more have met it.
    async fn until_met(&self, fault: StreamFault, readings: usize) {
        self.faults.set(fault);
        let until = self.faults.spoiled() + readings;
        let met = async {
            while self.faults.spoiled() < until {
                put(&self.writer, 1).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), met).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_end_in_the_middle_or_lack_tokens_or_are_too_many_leave_no_gap() {
    let Some(it) = Misbehaving::start().await else {
        return;
    };
    let mut position = it.follower.mirror.revision().unwrap();
    let mut watch = it.follower.watch(position);
    for (fault, readings) in [
        (StreamFault::Ended(Code::Unavailable, 1), 3),
        (StreamFault::Ended(Code::Internal, 3), 3),
        (StreamFault::NoTokens, 3),
        // What Spanner says to a partition's 21st reader.
        (StreamFault::Refused(Code::ResourceExhausted), 3),
    ] {
        it.until_met(fault, readings).await;
        it.faults.set(StreamFault::None);
        let newest = put(&it.writer, 2).await;
        hear(&mut watch, &mut position, newest).await;
    }
    let exact = it.writer.snapshot().await.unwrap();
    assert_eq!(it.follower.snapshot().await.unwrap(), exact);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_history_is_gone_is_lost_and_everything_is_read_again() {
    let Some(it) = Misbehaving::start().await else {
        return;
    };
    let start = put(&it.writer, 1).await;
    it.follower.snapshot().await.unwrap();
    let mut watch = it.follower.watch(start);
    it.until_met(StreamFault::Refused(Code::OutOfRange), 4)
        .await;
    it.faults.set(StreamFault::None);
    let newest = put(&it.writer, 2).await;
    // What was read before is served until everything was read again.
    let caught_up = async {
        while it.follower.snapshot().await.unwrap().revision < newest {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), caught_up).await.unwrap();
    let lost = async { while watch.next().await.unwrap() != WatchEvent::Lost {} };
    timeout(Duration::from_secs(10), lost).await.unwrap();
    let exact = it.writer.snapshot().await.unwrap();
    assert_eq!(it.follower.snapshot().await.unwrap(), exact);
    let mut position = exact.revision;
    let mut watch = it.follower.watch(position);
    let newest = put(&it.writer, 3).await;
    hear(&mut watch, &mut position, newest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_fprs_did_not_write_are_read_again_not_taken_for_commits() {
    let Some(emulator) = Emulator::start(None) else {
        return;
    };
    let store = open(&database(&emulator, "foreign").await, 100).await;
    let revision = put(&store, 1).await;
    let row = google_cloud_spanner::mutation::Mutation::new_insert_builder("Records")
        .set("kind")
        .to("test")
        .set("name")
        .to("foreign")
        .set("value")
        .to(b"x".to_vec())
        .set("revision")
        .to(1_i64)
        .build();
    store.engine.write(vec![row]).await.unwrap();
    let seen = async {
        while store.snapshot().await.unwrap().entries.len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), seen).await.unwrap();
    assert_eq!(store.mirror.revision(), Some(revision));
    // And it is followed again.
    let mut position = revision;
    let mut watch = store.watch(revision);
    let newest = put(&store, 2).await;
    hear(&mut watch, &mut position, newest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_prepared_or_not_there_is_named_with_what_to_do() {
    let Some(emulator) = Emulator::start(None) else {
        return;
    };
    let address: Spanner = emulator.database("missing").parse().unwrap();
    let error = open_within(&address, HistoryLimits::default()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("databases/missing"), "{error}");
    assert!(error.contains("fprs store init"), "{error}");
    init(&address).await.unwrap();
    put(&super::open(&address).await.unwrap(), 1).await;
    init(&address).await.unwrap();
    let again = super::open(&address).await.unwrap();
    let entries = again.snapshot().await.unwrap().entries;
    assert_eq!(entries.len(), 1, "what is there stays");
}

/// A follower's rows.
struct Replayed {
    revision: Revision,
    rows: BTreeMap<Key, Entry>,
}

impl Replayed {
    fn of(contents: Contents) -> Self {
        let rows = contents.entries.into_iter();
        Self {
            revision: contents.revision,
            rows: rows.map(|entry| (entry.key.clone(), entry)).collect(),
        }
    }

    fn take(&mut self, batch: Batch) {
        assert_eq!(
            batch.revision.0,
            self.revision.0 + 1,
            "no gap, nothing twice"
        );
        self.revision = batch.revision;
        for Change { key, value } in batch.changes {
            self.rows.remove(&key);
            if let Some(value) = value {
                let revision = batch.revision;
                let entry = Entry {
                    key: key.clone(),
                    value,
                    revision,
                };
                self.rows.insert(key, entry);
            }
        }
    }

    fn contents(&self) -> Contents {
        Contents {
            revision: self.revision,
            entries: self.rows.values().cloned().collect(),
        }
    }
}
