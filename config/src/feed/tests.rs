use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;

use super::*;
use crate::key::Revision;
use crate::store::history::HistoryLimits;
use crate::store::{
    Batch, EmbeddedStore, SharedStore, Store, StoreError, Watch, WatchEvent, conformance,
};
use crate::testing::server;

#[cfg(all(feature = "spanner", feature = "etcd"))]
mod remote;

const DEADLINE: Duration = Duration::from_secs(20);

/// A server of a store on loopback, on a runtime of its own: dropping it ends its connections too,
/// as a crash would.
struct Serving {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Serving {
    fn start(store: SharedStore, commits: usize) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, store, commits)
    }

    fn on(listener: std::net::TcpListener, store: SharedStore, commits: usize) -> Self {
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let history = HistoryLimits {
            commits,
            ..HistoryLimits::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            tonic::transport::Server::builder()
                .add_service(server::service_within(store, history, Arc::default()))
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
                .await
                .unwrap();
        });
        Self {
            address,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An address that refuses connections.
fn dead() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn client(addresses: &[SocketAddr]) -> FeedClient {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    FeedClient::new(&addresses, "token", "test").unwrap()
}

fn embedded(commits: usize) -> (TempDir, SharedStore) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = EmbeddedStore::open_with_history(&path, commits).unwrap();
    (dir, Arc::new(store))
}

async fn next_batch(watch: &mut Watch) -> Option<Batch> {
    let next = async {
        loop {
            match watch.next().await? {
                WatchEvent::Batch(batch) => return Some(batch),
                WatchEvent::Progress(_) => {}
                WatchEvent::Lost => return None,
            }
        }
    };
    tokio::time::timeout(DEADLINE, next).await.unwrap()
}

async fn put(store: &SharedStore, name: &str) -> Revision {
    let write = server(name).change();
    store.commit(vec![write], Vec::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_stores_contract() {
    const HISTORY: usize = 200;
    conformance::run_all(|| async {
        let (dir, store) = embedded(HISTORY);
        let serving = Serving::start(store, HISTORY);
        conformance::Subject {
            store: Arc::new(client(&[serving.address])),
            history: Some(HISTORY),
            guard: Box::new((dir, serving)),
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_can_not_be_reached_is_named() {
    let address = dead();
    let error = client(&[address]).snapshot().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn the_address_that_answers_is_used() {
    let (_dir, store) = embedded(100);
    put(&store, "a").await;
    let serving = Serving::start(store, 100);
    for addresses in [[dead(), serving.address], [serving.address, dead()]] {
        let contents = client(&addresses).snapshot().await.unwrap();
        assert_eq!(contents.entries.len(), 1);
    }
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_when_the_server_dies_and_another_is_there() {
    let (_dir, store) = embedded(100);
    let first = Serving::start(Arc::clone(&store), 100);
    let second = Serving::start(Arc::clone(&store), 100);
    let follower = client(&[first.address, second.address]);
    let mut watch = follower.watch(Revision(0));
    put(&store, "a").await;
    assert_eq!(next_batch(&mut watch).await.unwrap().revision, Revision(1));

    // Whichever it follows: both die in turn, and come back in between.
    let mut revision = 1;
    let mut serving = [first, second];
    for dying in [0, 1, 0, 1] {
        serving[dying] = Serving::on(reborn(&mut serving[dying]), Arc::clone(&store), 100);
        for _ in 0..3 {
            revision += 1;
            put(&store, "a").await;
            let batch = next_batch(&mut watch).await.unwrap();
            assert_eq!(batch.revision, Revision(revision));
        }
    }
}

/// Ends a server; its address, to be served again.
fn reborn(serving: &mut Serving) -> std::net::TcpListener {
    if let Some(runtime) = serving.runtime.take() {
        runtime.shutdown_background();
    }
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        match std::net::TcpListener::bind(serving.address) {
            Ok(listener) => return listener,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_watch_from_after_the_end_of_the_store_is_lost() {
    let (_dir, older) = embedded(100);
    put(&older, "x").await;
    let serving = Serving::start(older, 100);
    let mut watch = client(&[dead(), serving.address]).watch(Revision(2));
    assert_eq!(next_batch(&mut watch).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_finds_no_server_is_lost_in_the_end() {
    let mut watch = client(&[dead()]).watch(Revision(0));
    let begun = tokio::time::Instant::now();
    assert_eq!(watch.next().await, Some(WatchEvent::Lost));
    assert!(begun.elapsed() >= crate::limits::FEED_RESUME);
    assert_eq!(watch.next().await, None);
}

/// A store that is never heard again after one progress mark.
struct Silent;

impl Store for Silent {
    fn snapshot(&self) -> crate::store::BoxFuture<'_, Result<crate::store::Contents, StoreError>> {
        Box::pin(async { Ok(crate::store::Contents::default()) })
    }

    fn watch(&self, from: Revision) -> Watch {
        futures_util::stream::iter([WatchEvent::Progress(from)])
            .chain(futures_util::stream::pending())
            .boxed()
    }

    fn commit(
        &self,
        _: Vec<crate::store::Change>,
        _: Vec<crate::store::Expectation>,
    ) -> crate::store::BoxFuture<'_, Result<Revision, crate::store::CommitError>> {
        Box::pin(async { Ok(Revision(0)) })
    }
}

#[tokio::test]
async fn a_silent_store_is_heard_as_silence_by_followers() {
    let serving = Serving::start(Arc::new(Silent), 100);
    let mut watch = client(&[serving.address]).watch(Revision(0));
    let mut marks = 0;
    let silence = tokio::time::timeout(DEADLINE, async {
        // More than any that were under way; far more than two seconds of made-up ones.
        while let Ok(event) = tokio::time::timeout(Duration::from_secs(2), watch.next()).await {
            assert_eq!(event, Some(WatchEvent::Progress(Revision(0))));
            marks += 1;
        }
    });
    silence.await.unwrap();
    assert!(marks < 5, "{marks} marks of a store that gave one");
}

#[tokio::test]
async fn a_large_store_is_read_in_chunks() {
    let (_dir, store) = embedded(100);
    for round in 0..3 {
        let writes = (0..2_000)
            .map(|n| server(&format!("s{round}-{n}")).change())
            .collect();
        store.commit(writes, Vec::new()).await.unwrap();
    }
    let serving = Serving::start(Arc::clone(&store), 100);
    let read = client(&[serving.address]).snapshot().await.unwrap();
    assert_eq!(read, store.snapshot().await.unwrap());
}

/// Counts what a store is asked.
struct Counted {
    store: SharedStore,
    snapshots: AtomicUsize,
    watches: AtomicUsize,
}

impl Counted {
    fn over(store: SharedStore) -> Arc<Self> {
        Arc::new(Self {
            store,
            snapshots: AtomicUsize::new(0),
            watches: AtomicUsize::new(0),
        })
    }
}

impl Store for Counted {
    fn snapshot(&self) -> crate::store::BoxFuture<'_, Result<crate::store::Contents, StoreError>> {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            // As long as a store takes that is somewhere else.
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.store.snapshot().await
        })
    }

    fn watch(&self, from: Revision) -> Watch {
        self.watches.fetch_add(1, Ordering::Relaxed);
        self.store.watch(from)
    }

    fn commit(
        &self,
        writes: Vec<crate::store::Change>,
        expectations: Vec<crate::store::Expectation>,
    ) -> crate::store::BoxFuture<'_, Result<Revision, crate::store::CommitError>> {
        self.store.commit(writes, expectations)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_followers_are_in_step_soon_after_a_start_and_a_restart_for_a_few_reads() {
    const FOLLOWERS: usize = 500;
    let (_dir, store) = embedded(10_000);
    for n in 0..100 {
        put(&store, &format!("s{n}")).await;
    }
    let counted = Counted::over(Arc::clone(&store));
    let mut serving = Serving::start(Arc::clone(&counted) as SharedStore, 10_000);
    let (target, _) = tokio::sync::watch::channel(Revision(0));
    let (in_step, mut steps) = tokio::sync::mpsc::channel(FOLLOWERS);
    let mut following = tokio::task::JoinSet::new();
    for _ in 0..FOLLOWERS {
        let store = Arc::new(client(&[serving.address]));
        let (mut target, in_step) = (target.subscribe(), in_step.clone());
        let (publisher, mut view) = crate::View::new();
        following.spawn(crate::Follower::new(store, publisher).run());
        following.spawn(async move {
            while target.changed().await.is_ok() {
                let revision = *target.borrow_and_update();
                view.reached(revision).await.unwrap();
                in_step.send(()).await.unwrap();
            }
        });
    }
    for phase in ["start", "restart"] {
        if phase == "restart" {
            let listener = reborn(&mut serving);
            serving = Serving::on(listener, Arc::clone(&counted) as SharedStore, 10_000);
        }
        let begun = std::time::Instant::now();
        target.send_replace(put(&store, phase).await);
        let all = async {
            for _ in 0..FOLLOWERS {
                steps.recv().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all)
            .await
            .expect("in step within 10 s");
        let reads = counted.snapshots.load(Ordering::Relaxed);
        println!(
            "{phase}: {FOLLOWERS} in step in {:?}, {reads} reads",
            begun.elapsed()
        );
        assert!(reads <= FOLLOWERS / 10, "{reads} reads of the store");
    }
}

#[tokio::test]
async fn a_feed_knows_who_watches_and_what_each_was_told() {
    let (_dir, store) = embedded(100);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let followers = Arc::<server::Followers>::default();
    let service = server::service_noting(Arc::clone(&store), Arc::clone(&followers));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    let mut watch = client(&[address]).watch(Revision(0));
    let revision = put(&store, "a").await;
    next_batch(&mut watch).await.unwrap();
    let report = followers.report();
    assert_eq!(report.len(), 1);
    assert_eq!((&*report[0].name, report[0].told), ("test", revision));
    drop(watch);
    let gone = async {
        while !followers.report().is_empty() {
            put(&store, "a").await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.unwrap();
}
