//! A plane with two servers, one whose program speaks HTTP/1.1 and one whose program speaks h2c, both
//! with a replica that is ready. Ends only when nothing is in flight any more.

use std::path::PathBuf;
use std::time::Duration;

use fprs_testkit::client::Response;
use fprs_testkit::{Plane, program, until};
use serde_json::Value;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::call::{Call, Speaks, Upload};

/// The server whose program speaks HTTP/1.1.
pub(crate) const ONE: &str = "one";
/// The server whose program speaks h2c.
pub(crate) const TWO: &str = "two";
/// Every pair of what a client and a program can speak.
pub(crate) const PAIRS: [(Speaks, &str); 4] = [
    (Speaks::H1, ONE),
    (Speaks::H1, TWO),
    (Speaks::H2, ONE),
    (Speaks::H2, TWO),
];

/// For everything that should take a moment.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) plane: Plane,
    servers: Vec<&'static str>,
    _floor: Floor,
}

/// Tests run beside each other, those that measure alone. Where each test is a process of its own,
/// `.config/nextest.toml` sees to that.
static FLOOR: RwLock<()> = RwLock::const_new(());

#[expect(dead_code, reason = "held for their drop")]
pub(crate) enum Floor {
    Alone(RwLockWriteGuard<'static, ()>),
    Shared(RwLockReadGuard<'static, ()>),
}

/// Until this is dropped, no other test of this binary runs.
pub(crate) async fn alone() -> Floor {
    Floor::Alone(FLOOR.write().await)
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Floor::Shared(FLOOR.read().await)).await
    }

    /// No other test of this binary runs meanwhile: something is measured.
    pub(crate) async fn alone() -> Self {
        Self::with(alone().await).await
    }

    async fn with(floor: Floor) -> Self {
        let mut world = Self {
            plane: Plane::start(env!("CARGO_BIN_EXE_fprs")).await,
            servers: Vec::new(),
            _floor: floor,
        };
        for (server, h2) in [(ONE, false), (TWO, true)] {
            let record = world.record(server);
            let more = format!("min_replicas = 1\nmax_replicas = 1\nhold = \"10s\"\nh2 = {h2}");
            let env = [("RECORD", record.to_str().unwrap())];
            world
                .deploy(server, &program::manifest(server, &more, &env))
                .await;
        }
        for (speaks, server) in PAIRS {
            let answer = world.get(speaks, server, "/").await;
            assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
        }
        world
    }

    /// Deploys one more server, whose exchanges [`World::end`] will look at too.
    pub(crate) async fn deploy(&mut self, server: &'static str, manifest: &str) {
        self.plane.deploy(manifest).await;
        self.servers.push(server);
    }

    /// Begins an exchange on a connection of its own.
    pub(crate) async fn call(
        &self,
        speaks: Speaks,
        server: &str,
        path: &str,
        upload: Upload,
    ) -> Call {
        let host = self.plane.host(server);
        Call::open(self.plane.listen(), speaks, &host, path, upload).await
    }

    /// A GET on a connection of its own, whole.
    pub(crate) async fn get(&self, speaks: Speaks, server: &str, path: &str) -> Response {
        let mut call = self.call(speaks, server, path, Upload::None).await;
        call.answer.response().await.unwrap()
    }

    /// Bytes as they are, on a connection of its own, and what comes back until it ends.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> fprs_testkit::client::RawHttp {
        fprs_testkit::client::RawHttp::exchange(self.plane.listen(), bytes, SOON)
            .await
            .unwrap()
    }

    /// What a server's program noted about one target, once it noted that `event`.
    pub(crate) async fn noted(&self, server: &str, target: &str, event: &str) -> Value {
        let record = self.record(server);
        let what = format!("{event} of {target} at the program");
        until(&what, SOON, async || {
            program::events(&record)
                .into_iter()
                .find(|noted| noted["target"] == target && noted["event"] == event)
        })
        .await
    }

    /// How often a server's program noted that event about a target.
    pub(crate) fn count(&self, server: &str, target: &str, event: &str) -> usize {
        program::events(&self.record(server))
            .iter()
            .filter(|noted| noted["target"] == target && noted["event"] == event)
            .count()
    }

    /// What `fprs replicas` says is in flight.
    pub(crate) async fn in_flight(&self, server: &str) -> u64 {
        let replicas = self.plane.replicas(server).await;
        replicas
            .iter()
            .map(|replica| replica["in_flight"].as_u64().unwrap_or_default())
            .sum()
    }

    /// Waits until `fprs replicas` says that so many are in flight.
    pub(crate) async fn until_in_flight(&self, server: &str, count: u64) {
        let what = format!("{count} in flight on {server}");
        until(&what, SOON, async || {
            (self.in_flight(server).await == count).then_some(())
        })
        .await;
    }

    /// Every exchange has ended, also for those who count.
    pub(crate) async fn end(self) {
        for server in &self.servers {
            self.until_in_flight(server, 0).await;
        }
    }

    fn record(&self, server: &str) -> PathBuf {
        self.plane.dir().join(format!("{server}.record"))
    }
}
