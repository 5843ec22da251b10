//! One proxy relieves the other at one address, again and again.

use fprs_testkit::{Role, eventually, until};

use crate::edge::Edge;
use crate::load::Load;
use crate::world::{Done, World, metric};
use crate::{SOON, rounds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_overs_refuse_reset_and_cut_nothing() {
    let mut world = World::start().await;
    let mut proxy = start(&world, "127.0.0.1:0", "127.0.0.1:0", &[]).await;
    let (listen, admin) = (proxy.address("listen"), proxy.address("admin"));
    let edge = Edge::start(&[listen]);
    let load = Load::start(&edge);
    let mut done = Done::default();
    for _ in 0..rounds() {
        let more = load.least() + 3;
        eventually("all kinds of load go on", SOON, || load.least() >= more).await;
        let (listen, admin) = (listen.to_string(), admin.to_string());
        let next = start(&world, &listen, &admin, &["--take-over"]).await;
        assert_eq!(next.ready()["listen"], proxy.ready()["listen"]);
        assert_eq!(next.ready()["admin"], proxy.ready()["admin"]);
        let mut old = std::mem::replace(&mut proxy, next);
        let status = old.process().exited(SOON).await;
        assert_eq!(status.code(), Some(0));
        done += Done::read(&old.process().log());
    }
    assert_eq!(edge.refusals(), 0, "the address was ready all the time");
    let seen = load.end().await;
    drop(edge);
    world.settled().await;
    until("nothing is in flight at the proxy", SOON, async || {
        (metric(admin, "fprs_proxy_in_flight").await == 0).then_some(())
    })
    .await;
    proxy.process().terminate();
    assert_eq!(proxy.process().exited(SOON).await.code(), Some(0));
    done += Done::read(&proxy.process().log());
    let (begun, ended) = world.seen();
    assert_eq!((done.cut, done.answers), (0, 0), "{done:?}");
    assert_eq!(
        (done.exchanges, begun, ended),
        (seen.begun, seen.begun, seen.begun),
        "proxies, programs and clients count the same"
    );
    world.assert_unhurt();
}

async fn start(world: &World, listen: &str, admin: &str, more: &[&str]) -> Role {
    let args = ["--listen", listen, "--admin", admin];
    let drain = ["--drain-delay", "300ms", "--drain-timeout", "1s"];
    world.proxy("proxy", &[&args, &drain, more].concat()).await
}
