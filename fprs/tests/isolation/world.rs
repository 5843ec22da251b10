//! A plane with servers that are up, the neighbour whose time is taken, and the count of what is in
//! flight.

use std::any::Any;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fprs_testkit::client::{H1, H2};
use fprs_testkit::plane::Settings;
use fprs_testkit::{Pattern, Plane, program, until};

use crate::frames::Frames;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What a neighbour's p99 may be beside anything, in parts of what it is alone.
const UNNOTICED: f64 = 1.2;

/// Requests of one round, of each of the two that are compared.
const REQUESTS: usize = 150;

/// Rounds of one measurement, at least and at most: a p99 of few requests is mostly chance, so more
/// are taken until the two are alike.
const ROUNDS: (usize, usize) = (2, 6);

/// The machine has other work: everything is measured anew so many times. What a hazard does to its
/// neighbours doesn't go away.
const MEASUREMENTS: usize = 5;

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

    /// Like [`World::start`], with arguments for `fprs up`.
    pub(crate) async fn start_with(args: &[&str]) -> Self {
        let settings = Settings::new(env!("CARGO_BIN_EXE_fprs"));
        let settings = args
            .iter()
            .fold(settings, |settings, arg| settings.arg(arg));
        let mut world = Self {
            plane: settings.start().await,
            servers: Vec::new(),
        };
        world.deploy("one", "").await;
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
        let record = self.record(name);
        let env = [("RECORD", record.to_str().unwrap())];
        self.plane
            .deploy(&program::manifest(name, &more, &env))
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
            (self.metric("fprs_relay_exchanges_in_flight").await >= exchanges).then_some(())
        })
        .await;
    }

    /// Waits until exchanges hold bytes and nothing more comes to them: what had to fill up is full.
    pub(crate) async fn stalled(&self) {
        let mut before = 0;
        until("exchanges that stall", DEADLINE, async || {
            // Longer than between two looks of the account.
            tokio::time::sleep(Duration::from_millis(150)).await;
            let held = self.metric("fprs_buffered_bytes").await;
            (held > 0 && held == std::mem::replace(&mut before, held)).then_some(())
        })
        .await;
    }

    /// Waits until nothing is in flight, by everybody's count: the proxy's, the relay's, control's and
    /// what the programs themselves saw begin and end.
    pub(crate) async fn settled(self) {
        let mut counts = Vec::new();
        let nothing = async {
            loop {
                counts = self.counts().await;
                if counts.iter().all(|(_, count)| *count == 0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let settled = tokio::time::timeout(DEADLINE, nothing).await;
        assert!(settled.is_ok(), "still in flight: {counts:?}");
    }

    /// Exchanges in flight as each counts them.
    async fn counts(&self) -> Vec<(String, i64)> {
        let mut counts = Vec::new();
        for metric in [
            "fprs_proxy_exchanges_in_flight",
            "fprs_relay_exchanges_in_flight",
            "fprs_buffered_bytes",
        ] {
            let count = i64::try_from(self.metric(metric).await).unwrap();
            counts.push((metric.to_owned(), count));
        }
        for server in &self.servers {
            for replica in self.plane.replicas(server).await {
                let count = replica["in_flight"].as_i64().unwrap();
                counts.push((format!("`fprs replicas {server}`"), count));
            }
            let events = program::events(&self.record(server));
            let began = events.iter().filter(|event| event["event"] == "begin");
            let (began, events) = (began.count(), events.len());
            let open = i64::try_from(2 * began).unwrap() - i64::try_from(events).unwrap();
            counts.push((format!("the program of {server}"), open));
        }
        counts
    }

    /// A metric of the plane, over all its labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let mut client = H1::connect(self.plane.admin()).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: admin\r\n\r\n";
        client.writer.send(request).await.unwrap();
        let metrics = client.reader.response().await.unwrap().text();
        let values: Vec<f64> = metrics
            .lines()
            .filter(|line| line.starts_with(name))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(!values.is_empty(), "no metric {name} in {metrics}");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts"
        )]
        (values.iter().sum::<f64>() as u64)
    }

    /// Where a server's program writes what it saw.
    pub(crate) fn record(&self, server: &str) -> PathBuf {
        self.plane.dir().join(format!("{server}.record"))
    }

    /// Memory of the plane above `before`, in MiB.
    pub(crate) fn grown_mib(&self, before: u64) -> u64 {
        self.plane.memory().saturating_sub(before) / MIB
    }
}

/// A plane in which nothing happens, to compare with.
pub(crate) struct Quiet {
    host: String,
    posts: H2,
    gets: Frames,
    _kept: Box<dyn Any>,
}

impl Quiet {
    pub(crate) async fn beside(world: World) -> Self {
        Self::at(world.plane.listen(), world.host(), world).await
    }

    /// What is `kept` serves the address.
    pub(crate) async fn at(address: SocketAddr, host: String, kept: impl Any) -> Self {
        Self {
            host,
            posts: H2::connect(address).await.unwrap(),
            gets: Frames::connect(address).await,
            _kept: Box::new(kept),
        }
    }

    fn same(&self, neighbour: Neighbour<'_>) -> Neighbour<'_> {
        match neighbour {
            Neighbour::Posts(..) => Neighbour::Posts(&self.posts, &self.host),
            Neighbour::Gets(..) => Neighbour::Gets(&self.gets, &self.host),
        }
    }
}

/// A neighbour: on the connection that something happens on, or on one of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Neighbour<'a> {
    /// POSTs 10 KB, answered once they have arrived whole.
    Posts(&'a H2, &'a str),
    /// Gets 10 KB.
    Gets(&'a Frames, &'a str),
}

impl Neighbour<'_> {
    /// How long one request takes.
    async fn time(self) -> Duration {
        let begun = Instant::now();
        match self {
            Self::Posts(client, host) => post(client, host).await,
            Self::Gets(frames, host) => frames.expect_bytes(host, 10_240).await,
        }
        begun.elapsed()
    }
}

async fn post(client: &H2, host: &str) {
    let body = Pattern::bytes(10_240);
    let response = client.post(host, "/count", body).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.text(), r#"{"bytes":10240,"matches":true}"#);
}

/// Fails when neighbours notice what happens meanwhile: when their p99 is not within [`UNNOTICED`] of
/// the p99 of the same requests, each made right after, to a plane where nothing happens.
pub(crate) async fn unnoticed(what: &str, quiet: &Quiet, neighbours: &[Neighbour<'_>]) {
    for neighbour in neighbours {
        let mut ratios = Vec::new();
        while ratios.last().is_none_or(|ratio| *ratio > UNNOTICED) {
            assert!(ratios.len() < MEASUREMENTS, "{what}: {ratios:.2?}");
            ratios.push(measure(what, quiet, *neighbour).await);
        }
    }
}

/// A neighbour's p99 by the same alone.
async fn measure(what: &str, quiet: &Quiet, neighbour: Neighbour<'_>) -> f64 {
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for round in 1.. {
        for _ in 0..REQUESTS {
            beside.push(neighbour.time().await);
            alone.push(quiet.same(neighbour).time().await);
        }
        let (beside, alone) = (p99(&mut beside), p99(&mut alone));
        let ratio = beside.as_secs_f64() / alone.as_secs_f64();
        if round >= ROUNDS.0 && ratio <= UNNOTICED || round == ROUNDS.1 {
            println!("{what}: p99 {beside:?} beside, {alone:?} alone: {ratio:.2}");
            return ratio;
        }
    }
    unreachable!("the last round returns")
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() - 1 - times.len() / 100]
}

/// The size of a test: the first one, or the second with `FPRS_SOAK=1`.
pub(crate) fn size(small: usize, soak: usize) -> usize {
    if std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1") {
        soak
    } else {
        small
    }
}
