//! What the autoscaler counts while proxies are cut off from it, die and come back, and relays go on
//! counting: what proxies have in flight, however the reports fare.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_autoscaler_client::Guard;
use fprs_config::{ReplicaState, Scaling};

use crate::cut_off::Relay;
use crate::plane::{Plane, Proxy, scaling, within};

const PROXIES: usize = 3;
/// Reports are 200 ms apart, and so are relays' counts; a machine that others use makes it more.
const REPORTED: Duration = Duration::from_millis(1_500);
/// Every proxy has reported by then: before, sums of old and new reports may come out right by chance.
const ALL_TOLD: Duration = Duration::from_millis(600);
/// A proxy that says nothing for so long is silent: from then on relays speak for it.
const LEASE: Duration = Duration::from_secs(2);

/// A plane, its proxies, and what each has in flight on the one replica.
struct World {
    plane: Plane,
    proxies: Vec<Proxy>,
    held: Vec<Vec<Guard>>,
    replica: Arc<str>,
    relay: Relay,
    deaths: u64,
    rng: fastrand::Rng,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_of_reports_hide_no_load_and_leave_none() {
    let soak = std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1");
    let goes_on = Duration::from_secs(if soak { 600 } else { 8 });
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut world = World::start(seed).await;
    let begun = Instant::now();
    let (mut partitions, mut deaths) = (0, 0);
    while partitions == 0 || deaths == 0 || begun.elapsed() < goes_on {
        world.opens_and_closes();
        world.counted(REPORTED).await;
        if world.rng.bool() && partitions <= deaths {
            world.is_cut_off().await;
            partitions += 1;
        } else if deaths < partitions {
            world.dies().await;
            deaths += 1;
        }
    }
    world.held.iter_mut().for_each(Vec::clear);
    world.counted(REPORTED).await;
    assert_eq!(world.plane.autoscaler.unheard(), 0);
    println!("{partitions} partitions, {deaths} deaths, 0 miscounted");
}

impl World {
    async fn start(seed: u64) -> Self {
        let plane = Plane::start().await;
        let one = Scaling {
            min_replicas: 1,
            max_replicas: 1,
            ..scaling()
        };
        plane.deploy("s", one).await;
        within("a replica is ready", || {
            plane.count("s", ReplicaState::Ready) == 1
        })
        .await;
        let replica = plane.replicas("s", ReplicaState::Ready).remove(0);
        let proxies = (0..PROXIES).map(|n| Proxy::start(&plane, &format!("proxy-{n}")));
        let proxies = proxies.collect();
        plane.settled().await;
        Self {
            relay: Relay::counts(plane.address(), &replica, 0),
            plane,
            proxies,
            held: (0..PROXIES).map(|_| Vec::new()).collect(),
            replica,
            deaths: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Some exchanges end and some begin, at every proxy; its relay sees them.
    fn opens_and_closes(&mut self) {
        for proxy in 0..PROXIES {
            let stay = self.rng.usize(..=self.held[proxy].len());
            self.held[proxy].truncate(stay);
            self.begins(proxy, 1..8);
        }
    }

    fn begins(&mut self, proxy: usize, many: std::ops::Range<usize>) {
        let gauge = self.proxies[proxy]
            .demand
            .replica(&"s".into(), &self.replica);
        for _ in 0..self.rng.usize(many) {
            self.held[proxy].push(gauge.begin());
        }
        self.relay.tell(self.in_flight());
    }

    fn in_flight(&self) -> u64 {
        self.held.iter().map(|held| held.len() as u64).sum()
    }

    /// The sum is what proxies have, within that time.
    async fn counted(&mut self, time: Duration) {
        let (in_flight, begun) = (self.in_flight(), Instant::now());
        self.relay.tell(in_flight);
        while self.plane.autoscaler.in_flight() != in_flight {
            let counted = self.plane.autoscaler.in_flight();
            let late = begun.elapsed() > time;
            assert!(!late, "{counted} counted of {in_flight}, after {time:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A proxy's reports no longer arrive while it serves on; then they do again.
    async fn is_cut_off(&mut self) {
        let proxy = self.rng.usize(..PROXIES);
        tokio::time::sleep(ALL_TOLD).await;
        self.counted(REPORTED).await;
        let (in_flight, begun) = (self.in_flight(), Instant::now());
        self.proxies[proxy].path(true);
        while begun.elapsed() < LEASE + REPORTED {
            let counted = self.plane.autoscaler.in_flight();
            let after = begun.elapsed();
            assert_eq!(counted, in_flight, "{after:?} after it was cut off");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            self.plane.autoscaler.unheard(),
            self.held[proxy].len() as u64,
            "its relay speaks for it"
        );
        self.proxies[proxy].path(false);
        within("it reports again", || self.plane.autoscaler.unheard() == 0).await;
        self.counted(REPORTED).await;
    }

    /// A proxy dies with what it has in flight, and another one comes in its place.
    async fn dies(&mut self) {
        let proxy = self.rng.usize(..PROXIES);
        self.deaths += 1;
        self.proxies[proxy] = Proxy::start(&self.plane, &format!("later-{}", self.deaths));
        self.held[proxy].clear();
        self.counted(LEASE + REPORTED).await;
    }
}
