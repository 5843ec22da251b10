//! Promise: a change whose applying panics is counted, and the alert about that fires. Nothing that is known
//! makes a process panic so: an observer of changes does it here, in a follower like every process's.

use std::net::TcpListener;
use std::sync::Arc;

use fprs::process::Parts;
use fprs::roles::{self, Admin, Following};
use fprs_config::feed::FeedClient;
use fprs_config::{Applied, Change, Key, Kind, Record, SharedStore, samples};
use fprs_testkit::{TempDir, until};
use tonic::service::Routes;

use crate::firing::{PANIC, TOKEN, control};
use crate::prometheus::Prometheus;
use crate::{SOON, has_promtool};

/// A server that the observer can't stand.
const POISON: &str = "poison";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_panics_is_counted_and_told_of() {
    if !has_promtool() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let control = control(&dir).await;
    let addresses = [control.address("admin").to_string()];
    let store: SharedStore = Arc::new(FeedClient::new(&addresses, TOKEN, "panics").unwrap());
    let registry = roles::registry().unwrap();
    let mut parts = Parts::default();
    let following =
        Following::new(Arc::clone(&store), None).observe(Box::new(|applied: &Applied| {
            assert!(applied.snapshot.server(POISON).is_none(), "it is here");
        }));
    let (mut view, config) = (following.view(), following.status());
    following.start(&registry, &mut parts).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let admin = listener.local_addr().unwrap();
    let routes = Admin {
        registry,
        token: TOKEN.to_owned(),
        ready: Arc::new(|| Ok(())),
        config,
        grpc: Routes::default(),
        api: axum::Router::new(),
    };
    let routes = routes.into_control_admin().router();
    roles::serve(listener, routes, &mut parts, std::future::pending()).unwrap();
    view.changed().await.unwrap();
    let prometheus = Prometheus::start(vec![admin, control.address("admin")]).await;
    assert!(prometheus.firing().await.is_empty(), "nothing happened");

    let poison = Record::Server(samples::server(POISON)).change();
    store.commit(vec![poison], Vec::new()).await.unwrap();
    prometheus.fire([PANIC.to_owned()].into()).await;
    until("the count of it", SOON, async || {
        let above = prometheus.above_zero().await;
        above.contains("fprs_config_panics_total").then_some(())
    })
    .await;
    let harmless = Record::Server(samples::server("harmless")).change();
    let poison = Change {
        key: Key::new(Kind::Server, POISON),
        value: None,
    };
    store
        .commit(vec![poison, harmless], Vec::new())
        .await
        .unwrap();
    until("what comes after it", SOON, async || {
        view.load().server("harmless").map(|_| ())
    })
    .await;
}
