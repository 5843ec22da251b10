//! SIGTERM, one proxy of three after the other, behind an edge that polls readiness.

use std::net::SocketAddr;

use fprs_testkit::{Role, eventually, until};

use crate::edge::Edge;
use crate::load::Load;
use crate::world::{Done, World, metric};
use crate::{SOON, rounds};

const PROXIES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_refuse_reset_and_cut_nothing() {
    let mut world = World::start().await;
    let mut proxies = Vec::new();
    for number in 0..PROXIES {
        proxies.push(start(&world, number, "127.0.0.1:0").await);
    }
    let addresses: Vec<SocketAddr> = proxies
        .iter()
        .map(|proxy| proxy.address("listen"))
        .collect();
    let edge = Edge::start(&addresses);
    let load = Load::start(&edge);
    let mut done = Done::default();
    for round in 0..rounds() {
        let more = load.least() + 3;
        eventually("all kinds of load go on", SOON, || load.least() >= more).await;
        let proxy = round % PROXIES;
        let address = addresses[proxy];
        done += end(&mut proxies[proxy]).await;
        let listen = address.to_string();
        proxies[proxy] = start(&world, proxy, &listen).await;
        eventually("the edge sees it", SOON, || edge.is_ready(address)).await;
    }
    assert!(edge.refusals() > 0, "readiness failed where nobody looked");
    let seen = load.end().await;
    drop(edge);
    world.settled().await;
    for proxy in &proxies {
        let admin = proxy.address("admin");
        until("nothing is in flight at a proxy", SOON, async || {
            (metric(admin, "fprs_proxy_in_flight").await == 0).then_some(())
        })
        .await;
    }
    for proxy in &mut proxies {
        done += end(proxy).await;
    }
    let (begun, ended) = world.seen();
    assert_eq!((done.cut, done.answers), (0, 0), "{done:?}");
    assert_eq!(
        (done.exchanges, begun, ended),
        (seen.begun, seen.begun, seen.begun),
        "proxies, programs and clients count the same"
    );
    world.assert_unhurt();
}

async fn start(world: &World, number: usize, listen: &str) -> Role {
    let args = [
        "--listen",
        listen,
        "--drain-delay",
        "2s",
        "--drain-timeout",
        "1s",
    ];
    world.proxy(&format!("proxy-{number}"), &args).await
}

async fn end(proxy: &mut Role) -> Done {
    proxy.process().terminate();
    let status = proxy.process().exited(SOON).await;
    assert_eq!(status.code(), Some(0));
    Done::read(&proxy.process().log())
}
