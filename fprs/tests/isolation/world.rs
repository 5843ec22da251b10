//! A plane with servers that are up, the neighbour whose time is taken, and the count of what is in
//! flight.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fprs_testkit::client::H2;
use fprs_testkit::{Pattern, Plane, program, until};

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What a neighbour's request may take beside anything; alone it takes about a millisecond.
const UNNOTICED: Duration = Duration::from_millis(250);

/// Below this a multiple of the quiet time says more about the machine than about us.
const NOISE: Duration = Duration::from_millis(25);

const MIB: u64 = 1 << 20;

/// A plane.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plane: Plane,
    servers: Vec<String>,
}

impl World {
    /// One replica of one server whose program speaks HTTP/1.1.
    pub(crate) async fn start() -> Self {
        let mut world = Self::empty().await;
        world.deploy("one", "").await;
        world
    }

    /// One replica of one server whose program speaks HTTP/2.
    pub(crate) async fn start_h2() -> Self {
        let mut world = Self::empty().await;
        world.deploy("one", "h2 = true").await;
        world
    }

    async fn empty() -> Self {
        Self {
            plane: Plane::start(env!("CARGO_BIN_EXE_fprs")).await,
            servers: Vec::new(),
        }
    }

    /// Deploys a server of exactly one replica and waits until it answers.
    pub(crate) async fn deploy(&mut self, name: &str, more: &str) {
        let more = format!("min_replicas = 1\nmax_replicas = 1\n{more}");
        self.plane
            .deploy(&program::manifest(name, &more, &[]))
            .await;
        let client = self.plane.h2().await;
        let host = self.plane.host(name);
        until("the server answers", DEADLINE, async || {
            let response = client.get(&host, "/").await.ok()?;
            (response.status == 200).then_some(())
        })
        .await;
        self.servers.push(name.to_owned());
    }

    /// The host name of the server that [`World::start`] deploys.
    pub(crate) fn host(&self) -> String {
        self.plane.host("one")
    }

    /// Waits until so many exchanges are seen to be in flight: what is tested is really going on.
    pub(crate) async fn busy(&self, exchanges: u64) {
        until("exchanges in flight", DEADLINE, async || {
            (self.in_flight().await >= exchanges).then_some(())
        })
        .await;
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn settled(self) {
        until("nothing in flight", DEADLINE, async || {
            (self.in_flight().await == 0).then_some(())
        })
        .await;
    }

    async fn in_flight(&self) -> u64 {
        let mut sum = 0;
        for server in &self.servers {
            for replica in self.plane.replicas(server).await {
                sum += replica["in_flight"].as_u64().unwrap();
            }
        }
        sum
    }

    /// Memory of the plane above `before`, in MiB.
    pub(crate) fn grown_mib(&self, before: u64) -> u64 {
        self.plane.memory().saturating_sub(before) / MIB
    }
}

/// The median time of a POST of 10 KB that is answered once it has arrived whole.
pub(crate) async fn pace(client: &H2, host: &str) -> Duration {
    let body = Pattern::bytes(10_240);
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        post(client, host, body.clone()).await;
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

async fn post(client: &H2, host: &str, body: Bytes) {
    let response = client.post(host, "/count", body).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.text(), r#"{"bytes":10240,"matches":true}"#);
}

/// Fails when a neighbour noticed.
#[track_caller]
pub(crate) fn unnoticed(what: &str, quiet: Duration, beside: Duration) {
    println!("{what}: alone {quiet:?}, beside it {beside:?}");
    assert!(beside < UNNOTICED, "{what}: {beside:?}");
    assert!(
        beside < NOISE.max(quiet * 10),
        "{what}: {quiet:?} became {beside:?}"
    );
}
