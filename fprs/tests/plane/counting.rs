//! What the autoscaler counts is what programs have in flight, while proxies are killed, hang and
//! come back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fprs_testkit::client::{H2, H2Stream, get};
use fprs_testkit::{program, until};

use crate::fleet::{Fleet, metric};
use crate::{SOON, sized};

const HOST: &str = "web.region.localhost";
const PROXIES: usize = 3;
/// Reports are 200 ms apart; a machine that others use makes it a few of them.
const REPORTED: Duration = Duration::from_millis(1_500);
/// A killed proxy keeps its counts for a lease.
const LEASE: Duration = Duration::from_secs(2);
/// A proxy hangs longer than its lease and its relays' counts are old.
const HANGS: Duration = Duration::from_millis(3_600);

/// A fleet and the requests it holds, by the proxy they go through.
struct World {
    fleet: Fleet,
    clients: Vec<H2>,
    held: Vec<Vec<H2Stream>>,
    record: PathBuf,
    rng: fastrand::Rng,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_that_die_and_hang_leave_no_ghost_load_and_hide_none() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut world = World::start(seed).await;
    let (begun, goes_on) = (Instant::now(), Duration::from_secs(sized(6, 600)));
    let (mut kills, mut hangs) = (0, 0);
    while kills == 0 || hangs == 0 || begun.elapsed() < goes_on {
        world.opens_and_closes().await;
        world.counted_within(REPORTED).await;
        match world.rng.u8(..2) {
            0 if kills <= hangs => {
                world.kills().await;
                kills += 1;
            }
            1 if hangs <= kills => {
                world.hangs().await;
                hangs += 1;
            }
            _ => {}
        }
    }
    world.held.iter_mut().for_each(Vec::clear);
    world.counted_within(REPORTED).await;
    assert_eq!(world.counted("fprs_autoscaler_in_flight").await, 0);
    assert_eq!(world.counted("fprs_autoscaler_unheard_in_flight").await, 0);
    println!("{kills} kills, {hangs} hangs, 0 miscounted");
}

impl World {
    async fn start(seed: u64) -> Self {
        let fleet = Fleet::start(PROXIES, 2).await;
        let record = fleet.path("record");
        let env = [("RECORD", record.to_str().unwrap())];
        let more = "min_replicas = 3\nmax_replicas = 6\ntarget_concurrency = 20";
        fleet.deploy(&program::manifest("web", more, &env)).await;
        until("three replicas are ready", SOON, async || {
            (fleet.replicas_in("web", "ready").await.len() == 3).then_some(())
        })
        .await;
        fleet.answers(HOST).await;
        let mut clients = Vec::new();
        for proxy in 0..PROXIES {
            clients.push(fleet.h2(proxy).await);
        }
        Self {
            fleet,
            clients,
            held: (0..PROXIES).map(|_| Vec::new()).collect(),
            record,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Some requests end and some begin, at every proxy.
    async fn opens_and_closes(&mut self) {
        for (client, held) in self.clients.iter().zip(&mut self.held) {
            held.truncate(self.rng.usize(..=held.len()));
            for _ in 0..self.rng.usize(1..8) {
                let mut stream = client.open(get(HOST, "/hang"), true).await.unwrap();
                assert_eq!(stream.receiver.head().await.unwrap().status, 200);
                held.push(stream);
            }
        }
    }

    /// A proxy dies with its requests and is started again.
    async fn kills(&mut self) {
        let proxy = self.rng.usize(..PROXIES);
        self.held[proxy].clear();
        self.fleet.replace_proxy(proxy).await;
        self.counted_within(LEASE + REPORTED).await;
        self.clients[proxy] = self.fleet.h2(proxy).await;
        until("it serves again", SOON, async || {
            let answer = self.clients[proxy].get(HOST, "/").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// A proxy hangs with its requests, which programs still have, and goes on.
    async fn hangs(&mut self) {
        let proxy = self.rng.usize(..PROXIES);
        let in_flight = self.held();
        let process = self.fleet.proxies[proxy].process();
        process.freeze();
        let (begun, mut wrong) = (Instant::now(), Vec::new());
        while begun.elapsed() < HANGS {
            let counted = self.counted("fprs_autoscaler_in_flight").await;
            if counted != in_flight {
                wrong.push((begun.elapsed(), counted));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let unheard = self.counted("fprs_autoscaler_unheard_in_flight").await;
        let process = self.fleet.proxies[proxy].process();
        process.thaw();
        assert!(wrong.is_empty(), "{in_flight} in flight, seen: {wrong:?}");
        let held = i64::try_from(self.held[proxy].len()).unwrap();
        assert_eq!(unheard, held, "only its relay speaks for a hung proxy");
        until("it reports again", SOON, async || {
            let unheard = self.counted("fprs_autoscaler_unheard_in_flight").await;
            (unheard == 0).then_some(())
        })
        .await;
        self.counted_within(REPORTED).await;
    }

    /// Waits until the autoscaler counts what programs have in flight.
    async fn counted_within(&self, deadline: Duration) {
        until(
            "the autoscaler counts what programs do",
            deadline,
            async || {
                let counted = self.counted("fprs_autoscaler_in_flight").await;
                (counted == self.in_flight()).then_some(())
            },
        )
        .await;
    }

    async fn counted(&self, name: &str) -> i64 {
        metric(&self.fleet.autoscaler, name).await
    }

    /// As clients hold it.
    fn held(&self) -> i64 {
        let held = self.held.iter().map(Vec::len);
        i64::try_from(held.sum::<usize>()).unwrap()
    }

    /// As programs see it.
    fn in_flight(&self) -> i64 {
        let events = program::events(&self.record);
        let changes = events.iter().map(|event| match event["event"].as_str() {
            Some("begin") => 1,
            _ => -1,
        });
        changes.sum()
    }
}
