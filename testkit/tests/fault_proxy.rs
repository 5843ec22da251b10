//! The fault proxy spoils a path the way it says, and passes everything on when it says nothing.

use std::time::{Duration, Instant};

use fprs_testkit::client::{ClientError, H1};
use fprs_testkit::fault::Fault;
use fprs_testkit::{FaultProxy, Origin};

const HOST: &str = "origin.test";

#[tokio::test]
async fn without_a_fault_everything_passes() {
    let origin = Origin::by_path();
    let proxy = FaultProxy::start(origin.address()).await;
    let mut client = H1::connect(proxy.address()).await.unwrap();
    let request = format!("GET /bytes/3000000 HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    client.writer.send(request).await.unwrap();
    client.reader.head().await.unwrap();
    assert_eq!(client.reader.check_pattern().await.unwrap(), 3_000_000);
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_what_comes() {
    let origin = Origin::by_path();
    let proxy = FaultProxy::start(origin.address()).await;
    let mut client = H1::connect(proxy.address()).await.unwrap();
    client.get(HOST, "/").await.unwrap();
    proxy.set(Fault::Cut);
    assert_eq!(client.reader.closed().await, Err(ClientError::Reset));
    let mut later = H1::connect(proxy.address()).await.unwrap();
    assert_eq!(later.reader.closed().await, Err(ClientError::Reset));
}

#[tokio::test]
async fn a_black_hole_holds_bytes_until_it_ends() {
    let origin = Origin::by_path();
    let proxy = FaultProxy::start(origin.address()).await;
    let client = H1::connect(proxy.address()).await.unwrap();
    let mut client = client.deadline(Duration::from_millis(100));
    proxy.set(Fault::BlackHole);
    let held = client.get(HOST, "/").await;
    assert_eq!(held.unwrap_err(), ClientError::TimedOut("a response head"));
    proxy.set(Fault::None);
    assert_eq!(client.reader.response().await.unwrap().status, 200);
}

#[tokio::test]
async fn delay_and_throttle_take_their_time() {
    let origin = Origin::by_path();
    let proxy = FaultProxy::start(origin.address()).await;
    let mut client = H1::connect(proxy.address()).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(30)));
    let started = Instant::now();
    client.get(HOST, "/").await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(60));
    proxy.set(Fault::Throttle(1_000_000));
    let started = Instant::now();
    client.get(HOST, "/bytes/100000").await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(100));
}
