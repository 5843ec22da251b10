//! A plane without programs: store, follower, autoscaler and a control that only writes records.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fprs_autoscaler::{Autoscaler, Observer, Settings};
use fprs_autoscaler_client::{Demand, Reporter, reporter};
use fprs_config::follow::Publisher;
use fprs_config::{
    Change, EmbeddedStore, Expectation, Follower, Key, Kind, Record, Replica, ReplicaState,
    Revision, Scaling, Server, SharedStore, Snapshot, View, samples,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;

/// Where every replica is.
pub(crate) const WORKER: &str = "worker-1";
const START_UP: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Plane {
    pub(crate) view: View,
    pub(crate) autoscaler: Autoscaler,
    store: SharedStore,
    hold_stopping: Arc<AtomicBool>,
    leader: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    begun: Instant,
    _dir: tempfile::TempDir,
}

pub(crate) struct Proxy {
    pub(crate) demand: Arc<Demand>,
    publisher: Option<Publisher>,
    task: JoinHandle<()>,
    cut: watch::Sender<bool>,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        let dir = directory();
        let store: SharedStore =
            Arc::new(EmbeddedStore::open(&dir.path().join("store")).expect("a store"));
        let (publisher, view) = View::new();
        let hold_stopping = Arc::new(AtomicBool::new(false));
        let control = control(Arc::clone(&store), view.clone(), Arc::clone(&hold_stopping));
        let (autoscaler, observer, leader) = autoscaler("a", &store, &view).await;
        let follower = Follower::new(Arc::clone(&store), publisher).observe(observer);
        let plane = Self {
            view,
            autoscaler,
            store,
            hold_stopping,
            leader,
            others: vec![tokio::spawn(follower.run()), tokio::spawn(control)],
            begun: Instant::now(),
            _dir: dir,
        };
        within("the autoscaler leads", || plane.autoscaler.leads()).await;
        plane
    }

    /// Another autoscaler, on the same store by a follower of its own.
    pub(crate) async fn standby(&mut self) -> Autoscaler {
        let (publisher, view) = View::new();
        let (standby, observer, tasks) = autoscaler("b", &self.store, &view).await;
        let follower = Follower::new(Arc::clone(&self.store), publisher).observe(observer);
        self.others.push(tokio::spawn(follower.run()));
        self.others.extend(tasks);
        standby
    }

    /// As `kill -9` of the leading process: nothing is said to anybody.
    pub(crate) fn kill(&mut self) {
        self.leader.drain(..).for_each(|task| task.abort());
    }

    pub(crate) async fn deploy(&self, name: &str, scaling: Scaling) {
        self.write(Record::Server(server(name, scaling))).await;
    }

    pub(crate) async fn scale(&self, name: &str, scaling: Scaling) {
        let snapshot = self.view.load();
        let view = snapshot.server(name).expect("deployed");
        let mut server = Server::clone(view.server.as_ref().expect("deployed"));
        server.scaling = scaling;
        self.write(Record::Server(server)).await;
    }

    pub(crate) async fn delete(&self, name: &str) {
        let change = Change::delete(Key::new(Kind::Server, name));
        self.commit(vec![change]).await;
    }

    /// From now on replicas that stop stay in the store.
    pub(crate) fn hold_stopping(&self) {
        self.hold_stopping.store(true, Ordering::Relaxed);
    }

    /// Where the leader takes reports.
    pub(crate) fn address(&self) -> SocketAddr {
        let snapshot = self.view.load();
        snapshot.lease("autoscaler").expect("held").address
    }

    /// Until a proxy reports, so that a test measures what comes after.
    pub(crate) async fn reported_to(&self) {
        within("reports arrive", || self.autoscaler.reporting() > 0).await;
    }

    /// Until the leader trusts that it has heard of every proxy.
    pub(crate) async fn settled(&self) {
        let begun = self.begun;
        within("the leader is settled", || {
            begun.elapsed() > Duration::from_millis(3_300)
        })
        .await;
    }

    pub(crate) fn replicas(&self, server: &str, state: ReplicaState) -> Vec<Arc<str>> {
        let snapshot = self.view.load();
        let view = snapshot.server(server).map(Arc::clone).unwrap_or_default();
        let replicas = view.replicas();
        replicas
            .filter(|replica| replica.state == state)
            .map(|replica| Arc::clone(&replica.id))
            .collect()
    }

    pub(crate) fn count(&self, server: &str, state: ReplicaState) -> usize {
        self.replicas(server, state).len()
    }

    /// Replicas in any state.
    pub(crate) fn all(&self, server: &str) -> usize {
        let snapshot = self.view.load();
        snapshot
            .server(server)
            .map_or(0, |view| view.replicas.len())
    }

    async fn write(&self, record: Record) {
        self.commit(vec![record.change()]).await;
    }

    async fn commit(&self, changes: Vec<Change>) {
        let revision = self
            .store
            .commit(changes, Vec::new())
            .await
            .expect("committed");
        self.view.clone().reached(revision).await.expect("followed");
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let tasks = self.leader.iter().chain(&self.others);
        tasks.for_each(JoinHandle::abort);
    }
}

impl Proxy {
    pub(crate) fn start(plane: &Plane, name: &str) -> Self {
        Self::with(plane.view.clone(), None, name)
    }

    /// A proxy that follows by that view.
    pub(crate) fn on(view: View, name: &str) -> Self {
        Self::with(view, None, name)
    }

    /// A proxy that routes by an old revision until it is told to catch up.
    pub(crate) fn start_lagging(plane: &Plane, name: &str) -> Self {
        let (publisher, view) = View::new();
        publisher.publish(plane.view.load());
        Self::with(view, Some(publisher), name)
    }

    /// The path of its reports is cut, or there again; it serves on, and knows nothing of it.
    pub(crate) fn path(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    pub(crate) fn catch_up(&self, plane: &Plane) {
        let publisher = self.publisher.as_ref().expect("a lagging proxy");
        publisher.publish(plane.view.load());
    }

    fn with(view: View, publisher: Option<Publisher>, name: &str) -> Self {
        let demand = Demand::new();
        let settings = reporter::Settings {
            proxy: name.into(),
            epoch: 1,
            token: "token".into(),
            interval: reporter::Settings::INTERVAL,
        };
        let reporter = Reporter::new(Arc::clone(&demand), view, settings).expect("a reporter");
        let cut = watch::Sender::new(false);
        Self {
            demand,
            publisher,
            task: tokio::spawn(reports(reporter, cut.subscribe())),
            cut,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reports while the path is there.
async fn reports(reporter: Reporter, mut cut: watch::Receiver<bool>) {
    let mut run = std::pin::pin!(reporter.run());
    loop {
        let is_cut = async { cut.wait_for(|cut| *cut).await.map(drop) };
        tokio::select! {
            biased;
            _ = is_cut => {}
            () = &mut run => return,
        }
        cut.wait_for(|cut| !*cut).await.map(drop).ok();
    }
}

/// In memory where there is such a place: what is measured here is not the disk.
pub(crate) fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).expect("a directory")
    } else {
        tempfile::tempdir().expect("a directory")
    }
}

/// Polls until it is so.
pub(crate) async fn within(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(
            begun.elapsed() < DEADLINE,
            "not within {DEADLINE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Four exchanges a replica, from zero to four replicas, quick to go.
pub(crate) fn scaling() -> Scaling {
    Scaling {
        target_concurrency: Some(4.0),
        min_replicas: 0,
        max_replicas: 8,
        buffer_replicas: 0,
        scaleup_window: Duration::ZERO,
        scaledown_window: Duration::from_secs(1),
        scaleup_rate_limit: None,
        scaledown_rate_limit: None,
        paused: false,
    }
}

/// An autoscaler that runs, what its follower has to call, and its tasks.
pub(crate) async fn autoscaler(
    holder: &str,
    store: &SharedStore,
    view: &View,
) -> (Autoscaler, Observer, Vec<JoinHandle<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let settings = Settings {
        holder: holder.into(),
        address: listener.local_addr().expect("bound"),
        tick: Settings::TICK,
    };
    let (autoscaler, observer) = Autoscaler::new(Arc::clone(store), view.clone(), settings);
    let served = tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .add_service(autoscaler.service())
        .serve_with_incoming(TcpListenerStream::new(listener));
    let tasks = vec![
        tokio::spawn(async move { served.await.expect("served") }),
        tokio::spawn(autoscaler.clone().run()),
    ];
    (autoscaler, observer, tasks)
}

/// Places replicas at once, makes them ready a little later, and deletes those that stop.
async fn control(store: SharedStore, mut view: View, hold_stopping: Arc<AtomicBool>) {
    let mut starting: BTreeMap<Arc<str>, Instant> = BTreeMap::new();
    loop {
        let snapshot = view.load();
        let mut revision = Revision::default();
        for replica in snapshot.replicas() {
            let change = match replica.state {
                ReplicaState::Requested => {
                    starting.insert(Arc::clone(&replica.id), Instant::now());
                    moved(replica, ReplicaState::Starting)
                }
                ReplicaState::Starting
                    if starting
                        .get(&replica.id)
                        .is_some_and(|at| at.elapsed() > START_UP) =>
                {
                    moved(replica, ReplicaState::Ready)
                }
                ReplicaState::Stopping if !hold_stopping.load(Ordering::Relaxed) => {
                    Change::delete(Key::new(Kind::Replica, &replica.id))
                }
                _ => continue,
            };
            revision = revision.max(write(&store, &snapshot, change).await);
        }
        view.reached(revision).await.expect("followed");
        tokio::time::timeout(START_UP / 5, view.changed())
            .await
            .ok();
    }
}

async fn write(store: &SharedStore, snapshot: &Snapshot, change: Change) -> Revision {
    let expectation = Expectation {
        key: change.key.clone(),
        revision: snapshot.written(&change.key),
    };
    let committed = store.commit(vec![change], vec![expectation]).await;
    committed.unwrap_or_default()
}

fn moved(replica: &Replica, state: ReplicaState) -> Change {
    let mut replica = replica.clone();
    replica.state = state;
    replica.worker = Some(WORKER.into());
    replica.address = Some(SocketAddr::from(([127, 0, 0, 1], 9)));
    Record::Replica(replica).change()
}

pub(crate) fn server(name: &str, scaling: Scaling) -> Server {
    Server {
        proven: true,
        scaling,
        ..samples::server(name)
    }
}
