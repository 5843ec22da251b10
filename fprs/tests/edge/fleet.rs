//! Promise: of three proxies behind one edge any may end or die under load of every kind, and clients
//! notice nothing but the death of what was on a killed one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_testkit::{Role, eventually, until};

use crate::SOON;
use crate::client::soak;
use crate::edge::Edge;
use crate::envoy::envoy;
use crate::front::Front;
use crate::load::{CLIENTS, Load};
use crate::world::World;

const PROXIES: usize = 3;

/// How long proxies come and go at full size.
const SOAK: Duration = Duration::from_secs(300);

/// Control, autoscaler and relay, proxies before them, and an edge that watches a file for where those
/// are.
struct Fleet {
    world: World,
    proxies: Vec<Role>,
    front: Front,
    edge: Arc<Edge>,
}

impl Fleet {
    /// `None`: skip.
    async fn start() -> Option<Self> {
        envoy()?;
        let world = World::start().await;
        let mut proxies = Vec::new();
        for number in 0..PROXIES {
            proxies.push(proxy(&world, number, "127.0.0.1:0").await);
        }
        let addresses: Vec<_> = proxies.iter().map(|it| it.address("listen")).collect();
        let front = Front::start(world.path("edge"), &addresses).await?;
        let edge = Edge::at(front.address());
        Some(Self {
            world,
            proxies,
            front,
            edge,
        })
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.proxies.iter().map(|proxy| proxy.address("listen"));
        addresses.collect()
    }

    /// A proxy again where one was, after some load without it.
    async fn restart(&mut self, number: usize, load: &Load) {
        go_on(load).await;
        let listen = self.addresses()[number].to_string();
        self.proxies[number] = proxy(&self.world, number, &listen).await;
        // It is used again as soon as the edge has seen it ready.
        let admin = self.proxies[number].address("admin");
        until("the edge uses it again", SOON, async || {
            let exchanges = crate::world::metric(admin, "fprs_proxy_exchanges_in_flight").await;
            (exchanges > 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_ends_behind_the_edge_is_missed_by_nobody() {
    let Some(mut fleet) = Fleet::start().await else {
        return;
    };
    let load = Load::start(&fleet.edge);
    for number in rounds() {
        go_on(&load).await;
        let ending = fleet.proxies[number].process();
        ending.terminate();
        assert_eq!(ending.exited(SOON).await.code(), Some(0));
        fleet.restart(number, &load).await;
    }
    load.end().await;
    fleet.world.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_killed_takes_nothing_along_but_what_it_was_doing() {
    let Some(mut fleet) = Fleet::start().await else {
        return;
    };
    let load = Load::start(&fleet.edge);
    let mut killed = 0;
    for number in rounds() {
        go_on(&load).await;
        fleet.proxies[number].process().kill9();
        killed += 1;
        fleet.restart(number, &load).await;
    }
    let (_, failures) = load.stop().await;
    // A client does one thing at a time, and what it repeats goes to a proxy that lives.
    let mut by_kind = BTreeMap::<&str, usize>::new();
    for failure in &failures {
        let kind = failure.split(' ').nth(1).unwrap();
        *by_kind.entry(kind).or_default() += 1;
    }
    println!("{killed} killed, {by_kind:?} failed");
    let most = by_kind.values().max().copied().unwrap_or_default();
    assert!(most <= CLIENTS * killed, "{failures:#?}");
    fleet.world.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_taken_off_the_list_gets_nothing_new_and_ends_what_it_has() {
    let Some(mut fleet) = Fleet::start().await else {
        return;
    };
    let load = Load::start(&fleet.edge);
    go_on(&load).await;
    fleet.front.announce(&fleet.addresses()[1..]);
    let admin = fleet.proxies[0].address("admin");
    until("WebSockets alone are left on it", SOON, async || {
        let exchanges = crate::world::metric(admin, "fprs_proxy_exchanges_in_flight").await;
        // Those of both kinds, which last as long as the load.
        (exchanges <= 2 * i64::try_from(CLIENTS).unwrap()).then_some(())
    })
    .await;
    go_on(&load).await;
    fleet.front.announce(&fleet.addresses());
    go_on(&load).await;
    load.end().await;
    assert!(fleet.proxies[0].process().is_running());
    fleet.world.settled().await;
}

/// Which proxy is next: each once, or again and again for the time of a soak.
fn rounds() -> impl Iterator<Item = usize> {
    let began = Instant::now();
    let rounds = if soak() { usize::MAX } else { 1 };
    (0..rounds)
        .take_while(move |_| !soak() || began.elapsed() < SOAK)
        .map(|round| round % PROXIES)
}

async fn go_on(load: &Load) {
    let more = load.least() + 3;
    eventually("all kinds of load go on", SOON, || load.least() >= more).await;
}

/// With the drain that edges need by default.
async fn proxy(world: &World, number: usize, listen: &str) -> Role {
    let args = [
        "--listen",
        listen,
        "--drain-timeout",
        "2s",
        "--trusted-edges",
        "127.0.0.1",
    ];
    world.proxy(&format!("proxy-{number}"), &args).await
}
