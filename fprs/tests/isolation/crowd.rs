//! A thousand replicas that appear and vanish each second, through store, follower and table into
//! connections that are warmed and closed: the neighbours of that server notice nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs::data_dir::DataDir;
use fprs::process::{Parts, bind, bound};
use fprs::roles::{Following, Proxying, open_store};
use fprs::settings::{Given, Role, Settings};
use fprs_config::{Change, Record, Replica, ReplicaState, SharedStore, samples};
use fprs_forward::{Budget, limits};
use fprs_testkit::client::H2;
use fprs_testkit::plane::ZONE;
use fprs_testkit::{Origin, TempDir, eventually};
use prometheus::Registry;
use tokio::task::JoinHandle;

use crate::frames::Frames;
use crate::world::{DEADLINE, Neighbour, Quiet, size, unnoticed};

/// Between two commits, each of which takes one crowd away and brings the next.
const EVERY: Duration = Duration::from_millis(100);

/// Files that the process may open beside; a connection that is left behind is one of hundreds.
const OTHERS: usize = 8;

/// Replicas that appear with one commit; a second has ten. Few without a soak: in a build for tests,
/// beside other tests, their work alone would show.
fn crowd() -> usize {
    size(5, 100)
}

/// A proxy that follows a store, and one replica of the server `one`, played by an origin.
struct Scene {
    store: SharedStore,
    listen: SocketAddr,
    _proxy: Proxying,
    _parts: Parts,
    _origin: Origin,
    _dir: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let data_dir = DataDir::open(dir.path()).unwrap();
        let store = open_store(None, &data_dir).await.unwrap();
        let given = Given {
            control: vec!["127.0.0.1:1".to_owned()],
            data_dir: Some(dir.path().to_owned()),
            zone: Some(ZONE.to_owned()),
            cores: Some(1),
            ..Given::default()
        };
        let settings = Settings::resolve(given, Role::Proxy).unwrap();
        let (registry, mut parts) = (Registry::new(), Parts::default());
        let budget = Budget::new(limits::BUFFERED_BYTES);
        let mut proxy = Proxying::start(&settings, &budget, &registry).unwrap();
        let following = Following::new(Arc::clone(&store), None).observe(proxy.observer());
        let view = following.view();
        following.start(&registry, &mut parts).unwrap();
        let listener = bind("listen", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listen = bound(&listener).unwrap();
        proxy.serve(listener, view, "token", &mut parts).unwrap();
        let origin = Origin::by_path();
        let records = vec![
            Record::Server(samples::server("one")).change(),
            replica("one-1", "one", origin.address()),
        ];
        store.commit(records, Vec::new()).await.unwrap();
        let client = H2::connect(listen).await.unwrap();
        fprs_testkit::until("the server answers", DEADLINE, async || {
            let response = client.get(&host(), "/").await.ok()?;
            (response.status == 200).then_some(())
        })
        .await;
        Self {
            store,
            listen,
            _proxy: proxy,
            _parts: parts,
            _origin: origin,
            _dir: dir,
        }
    }
}

fn host() -> String {
    format!("one.{ZONE}")
}

fn replica(id: &str, server: &str, address: SocketAddr) -> Change {
    Record::Replica(Replica {
        address: Some(address),
        ..samples::replica(id, server, ReplicaState::Ready)
    })
    .change()
}

#[tokio::test]
async fn replicas_that_appear_and_vanish_by_the_thousand_leave_other_servers_alone() {
    let scene = Scene::start().await;
    let quiet = Scene::start().await;
    let quiet = Quiet::at(quiet.listen, host(), quiet).await;
    let client = H2::connect(scene.listen).await.unwrap();
    let raw = Frames::connect(scene.listen).await;
    let crowds = Origin::by_path();
    let before = open_files();
    let begun = Instant::now();
    let churn = churn(&scene, crowds.address());
    let neighbours = [
        Neighbour::Posts(&client, &host()),
        Neighbour::Gets(&raw, &host()),
    ];
    let what = "replicas by the thousand";
    unnoticed(what, &quiet, &neighbours).await;
    churn.stop.send(()).ok();
    let commits = churn.ended.await.unwrap();
    let appeared = commits * crowd();
    let warmed = crowds.record().connections();
    println!(
        "{appeared} replicas appeared and vanished in {:?}, {warmed} connections",
        begun.elapsed()
    );
    assert!(usize::try_from(warmed).unwrap() > appeared / 2, "{warmed}");
    assert!(client.is_open());
    raw.expect_open(what);
    eventually("their connections are closed", DEADLINE, || {
        open_files() <= before + OTHERS
    })
    .await;
    assert_eq!(client.get(&host(), "/").await.unwrap().status, 200);
}

/// What goes on until it is stopped; it ends with the number of crowds that came and went.
struct Churn {
    stop: tokio::sync::oneshot::Sender<()>,
    ended: JoinHandle<usize>,
}

fn churn(scene: &Scene, address: SocketAddr) -> Churn {
    let store = Arc::clone(&scene.store);
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let ended = tokio::spawn(async move {
        let server = Record::Server(samples::server("crowd")).change();
        store.commit(vec![server], Vec::new()).await.unwrap();
        let mut ticks = tokio::time::interval(EVERY);
        let mut there: Vec<Change> = Vec::new();
        let mut commits = 0;
        while stopped.try_recv().is_err() {
            ticks.tick().await;
            let vanish = there.drain(..).map(gone);
            let appear = (0..crowd()).map(|number| {
                let id = format!("crowd-{commits}-{number}");
                replica(&id, "crowd", address)
            });
            let appear: Vec<Change> = appear.collect();
            let changes = vanish.chain(appear.clone()).collect();
            store.commit(changes, Vec::new()).await.unwrap();
            there = appear;
            commits += 1;
        }
        let vanish = there.drain(..).map(gone).collect();
        store.commit(vanish, Vec::new()).await.unwrap();
        commits
    });
    Churn { stop, ended }
}

fn gone(change: Change) -> Change {
    Change {
        value: None,
        ..change
    }
}

/// Files and sockets of this process, which has both ends of every connection.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
