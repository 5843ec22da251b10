//! Promise: while its store is dead, silent or answers garbage the plane goes on serving by what it knew
//! last, shows how old that is, and is up to date again once the store is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fprs_config::engines::Etcd;
use fprs_testkit::client::H1;
use fprs_testkit::fault::Fault;
use fprs_testkit::{FaultProxy, until};

use crate::SOON;
use crate::edge::Edge;
use crate::load::Load;
use crate::world::World;

/// How long each outage lasts.
fn lasts() -> Duration {
    let soak = std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1");
    Duration::from_secs(if soak { 600 } else { 4 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_silent_or_mad_costs_no_request_and_is_caught_up_with() {
    let Some(etcd) = Etcd::start() else {
        return;
    };
    let between = FaultProxy::start(etcd.address()).await;
    let store = format!("etcd://{}/plane", between.address());
    let mut world = World::start_with(&["--store", &store]).await;
    let listen = ["--listen", "127.0.0.1:0"];
    let proxies = [
        world.proxy("one", &listen).await,
        world.proxy("two", &listen).await,
    ];
    let edge = Edge::start(&proxies.each_ref().map(|proxy| proxy.address("listen")));
    let admins = [&proxies[0], &proxies[1], &world.control].map(|role| role.address("admin"));
    for (number, fault) in [Fault::Cut, Fault::BlackHole, Fault::Garbage]
        .into_iter()
        .enumerate()
    {
        let load = Load::start(&edge);
        let before = load.least();
        between.set(fault);
        let began = Instant::now();
        until(
            "everybody knows that what they know is old",
            lasts() + SOON,
            async || (began.elapsed() >= lasts() && youngest(&admins).await >= 2.0).then_some(()),
        )
        .await;
        let least = load.least();
        assert!(least > before + 3, "{fault:?}: all kinds of load go on");
        between.set(Fault::None);
        until("everybody is up to date", SOON, async || {
            (oldest(&admins).await < 2.0).then_some(())
        })
        .await;
        world.deploy(&format!("after-{number}"), "").await;
        load.end().await;
        println!("{fault:?} for {:?}: nobody noticed", began.elapsed());
    }
    world.assert_unhurt();
}

async fn youngest(admins: &[SocketAddr]) -> f64 {
    ages(admins).await.into_iter().fold(f64::MAX, f64::min)
}

async fn oldest(admins: &[SocketAddr]) -> f64 {
    ages(admins).await.into_iter().fold(0.0, f64::max)
}

/// How old what each of them knows is, in seconds.
async fn ages(admins: &[SocketAddr]) -> Vec<f64> {
    let mut ages = Vec::new();
    for admin in admins {
        let mut client = H1::connect(*admin).await.unwrap();
        let text = client.get("admin", "/metrics").await.unwrap().text();
        let age = text
            .lines()
            .find_map(|line| line.strip_prefix("fprs_config_age_seconds "));
        ages.push(age.unwrap().parse().unwrap());
    }
    ages
}
