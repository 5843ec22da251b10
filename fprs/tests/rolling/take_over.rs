//! Relieving a proxy, step by step: whatever goes wrong with the new process, the old one serves on.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use fprs_testkit::client::{ClientError, H1};
use fprs_testkit::{Cli, Role, eventually, until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixDatagram, UnixStream};

use crate::world::{WEB, World, activated, command, metric};
use crate::{FPRS, SOON};

const QUICK: [&str; 4] = ["--drain-delay", "50ms", "--drain-timeout", "1s"];

async fn first(world: &World) -> Role {
    let args = [&["--listen", "127.0.0.1:0"][..], &QUICK].concat();
    world.proxy("proxy", &args).await
}

/// Runs `fprs proxy` with those arguments to its end, which must be a refusal; its line.
async fn refused(world: &World, args: &[&str]) -> String {
    let args = world.proxy_args("proxy", args);
    let all = [vec!["proxy".to_owned()], args].concat();
    let ran = Cli::new(FPRS).env("FPRS_ADMIN_TOKEN", "0123456789abcdef");
    ran.run(&all).await.refused(1).stderr
}

async fn answers(address: SocketAddr) {
    let mut client = H1::connect(address).await.unwrap();
    let answer = client.get(WEB, "/").await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
}

#[tokio::test]
async fn a_second_proxy_on_the_same_data_is_told_how_to_relieve_the_first() {
    let world = World::start().await;
    let proxy = first(&world).await;
    let line = refused(&world, &["--listen", "127.0.0.1:0"]).await;
    assert!(line.contains("--take-over"), "{line}");
    answers(proxy.address("listen")).await;
}

#[tokio::test]
async fn a_take_over_where_nobody_runs_is_a_start() {
    let world = World::start().await;
    let args = ["--listen", "127.0.0.1:0", "--take-over"];
    let mut proxy = world.proxy("proxy", &[&args[..], &QUICK].concat()).await;
    answers(proxy.address("listen")).await;
    proxy.process().kill9();
    // What a killed one left is in nobody's way.
    let proxy = world.proxy("proxy", &[&args[..], &QUICK].concat()).await;
    answers(proxy.address("listen")).await;
}

#[tokio::test]
async fn a_take_over_changes_no_address() {
    let world = World::start().await;
    let proxy = first(&world).await;
    let listen = proxy.ready()["listen"].as_str().unwrap();
    let admin = proxy.ready()["admin"].as_str().unwrap();
    for (args, held) in [
        (["--take-over", "--listen", "127.0.0.1:1"], listen),
        (["--take-over", "--listen", "0.0.0.0:0"], listen),
    ] {
        let line = refused(&world, &args).await;
        assert!(line.contains(held) && line.contains("--listen"), "{line}");
    }
    let args = ["--take-over", "--listen", listen, "--admin", "127.0.0.1:1"];
    let line = refused(&world, &args).await;
    assert!(line.contains(admin) && line.contains("--admin"), "{line}");
    answers(proxy.address("listen")).await;
}

#[tokio::test]
async fn another_version_of_the_protocol_is_refused_in_words_it_understands() {
    let world = World::start().await;
    let mut proxy = first(&world).await;
    let socket = world.path("proxy").join("proxy.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = BufReader::new(UnixStream::connect(&socket).await.unwrap());
    let hello = b"{\"protocol\":99,\"pid\":1}\n";
    stream.write_all(hello).await.unwrap();
    let mut answer = String::new();
    stream.read_line(&mut answer).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let why = answer["refused"].as_str().unwrap();
    assert!(
        why.contains("version 99") && why.contains("version 1"),
        "{why}"
    );
    answers(proxy.address("listen")).await;
    // And it can still be relieved by one that speaks as it does.
    let next = relieve(&world, &proxy).await;
    assert_eq!(proxy.process().exited(SOON).await.code(), Some(0));
    answers(next.address("listen")).await;
}

#[tokio::test]
async fn a_newcomer_that_never_serves_changes_nothing_and_only_one_may_try() {
    let world = World::start().await;
    let mut proxy = first(&world).await;
    let listen = proxy.ready()["listen"].as_str().unwrap().to_owned();
    // A control that accepts and says nothing, and no last good snapshot to start from.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let mut args = world.proxy_args("proxy", &["--take-over", "--listen", &listen]);
    args[1] = silent;
    std::fs::remove_file(world.path("proxy").join("proxy-last-good")).ok();
    let mut newcomer = command(&args, &world.path("newcomer-log"));
    let prepares = || proxy.process().log().contains("prepares to take over");
    eventually("it prepares", SOON, prepares).await;

    let line = refused(&world, &["--take-over", "--listen", &listen]).await;
    let pid = newcomer.pid().to_string();
    assert!(line.contains("under way") && line.contains(&pid), "{line}");

    newcomer.kill9();
    let noticed = || proxy.process().log().contains("came to nothing");
    eventually("it goes on alone", SOON, noticed).await;
    answers(proxy.address("listen")).await;
    assert!(metric(proxy.address("admin"), "fprs_proxy_connections").await >= 0);

    let next = relieve(&world, &proxy).await;
    assert_eq!(proxy.process().exited(SOON).await.code(), Some(0));
    answers(next.address("listen")).await;
}

#[tokio::test]
async fn a_proxy_serves_on_sockets_of_the_service_manager_and_a_restart_refuses_nothing() {
    let world = World::start().await;
    let manager = Manager::new(&world);
    let mut first = manager.start(&world, "first").await;
    let address = manager.listen.local_addr().unwrap();
    answers(address).await;
    let admin = manager.admin.local_addr().unwrap();
    assert!(metric(admin, "fprs_proxy_connections").await >= 0);
    first.terminate();
    manager.hears("STOPPING=1").await;
    assert_eq!(first.exited(SOON).await.code(), Some(0));
    // Nobody serves, and nobody is refused.
    let waits = tokio::spawn(answers(address));
    let _second = manager.start(&world, "second").await;
    waits.await.unwrap();
}

/// A service manager: holds listeners open, and is told how far its service is.
struct Manager {
    listen: std::net::TcpListener,
    admin: std::net::TcpListener,
    told: UnixDatagram,
    notify: PathBuf,
}

impl Manager {
    fn new(world: &World) -> Self {
        let open = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let notify = world.path("notify");
        Self {
            listen: open(),
            admin: open(),
            told: UnixDatagram::bind(&notify).unwrap(),
            notify,
        }
    }

    /// Starts a proxy and waits until it serves.
    async fn start(&self, world: &World, name: &str) -> fprs_testkit::Process {
        let args = world.proxy_args("proxy", &QUICK);
        let listeners = [&self.listen, &self.admin];
        let process = activated(&args, listeners, &self.notify, &world.path(name));
        self.hears("READY=1").await;
        process
    }

    async fn hears(&self, state: &str) {
        let mut bytes = [0; 64];
        let length = tokio::time::timeout(SOON, self.told.recv(&mut bytes)).await;
        assert_eq!(bytes[..length.unwrap().unwrap()], *state.as_bytes());
    }
}

#[tokio::test]
async fn an_old_proxy_that_dies_leaves_its_listeners_to_the_newcomer() {
    let world = World::start().await;
    let mut proxy = first(&world).await;
    let address = proxy.address("listen");
    let next = relieve(&world, &proxy).await;
    proxy.process().kill9();
    answers(address).await;
    let mut next = next;
    next.process().terminate();
    assert_eq!(next.process().exited(SOON).await.code(), Some(0));
    assert_eq!(H1::connect(address).await.err(), Some(ClientError::Refused));
}

#[tokio::test]
async fn a_relieved_proxy_ends_its_connections_and_the_autoscaler_hears_the_new_one_alone() {
    let world = World::start().await;
    let mut proxy = first(&world).await;
    let address = proxy.address("listen");
    let mut kept = H1::connect(address).await.unwrap();
    assert_eq!(kept.get(WEB, "/").await.unwrap().header("connection"), None);
    let mut idle = H1::connect(address).await.unwrap();
    let _next = relieve(&world, &proxy).await;
    // It serves what it has, readiness too: that is the address's, where it goes on.
    let answer = kept.get("fprs.internal", "/readyz").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    idle.reader.closed().await.unwrap();
    assert_eq!(proxy.process().exited(SOON).await.code(), Some(0));
    until("one proxy reports", SOON, async || {
        (world.heard().await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn readiness_fails_first_and_all_is_served_until_edges_have_noticed() {
    let world = World::start().await;
    let args = ["--listen", "127.0.0.1:0", "--drain-delay", "2s"];
    let mut proxy = world.proxy("proxy", &args).await;
    let address = proxy.address("listen");
    let h2 = fprs_testkit::client::H2::connect(address).await.unwrap();
    h2.get(WEB, "/").await.unwrap();
    proxy.process().terminate();
    until("readiness fails", SOON, async || {
        let answer = h2.get("fprs.internal", "/readyz").await.unwrap();
        (answer.status == 503).then_some(())
    })
    .await;
    // The same connection, and one that comes only now, over both versions.
    assert_eq!(h2.get(WEB, "/").await.unwrap().status, 200);
    let late = fprs_testkit::client::H2::connect(address).await.unwrap();
    assert_eq!(late.get(WEB, "/").await.unwrap().status, 200);
    let mut late = H1::connect(address).await.unwrap();
    let answer = late.get(WEB, "/").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(h2.is_open());
    assert_eq!(h2.closed().await, Ok(()));
    let status = proxy.process().exited(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_connection_that_was_busy_when_the_drain_began_gets_one_more_answer() {
    let world = World::start().await;
    let args = ["--listen", "127.0.0.1:0", "--drain-delay", "0s"];
    let mut proxy = world.proxy("proxy", &args).await;
    let address = proxy.address("listen");
    let mut kept = H1::connect(address).await.unwrap();
    let events = format!("GET /sse?n=20&ms=50 HTTP/1.1\r\nhost: {WEB}\r\n\r\n");
    kept.writer.send(events).await.unwrap();
    let head = kept.reader.head().await.unwrap();
    assert_eq!(head.header("connection"), None);
    proxy.process().terminate();
    until("the listener is closed", SOON, async || {
        (H1::connect(address).await.err() == Some(ClientError::Refused)).then_some(())
    })
    .await;
    while kept.reader.piece().await.unwrap().is_some() {}
    let answer = kept.get(WEB, "/").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(proxy.process().exited(SOON).await.code(), Some(0));
}

async fn relieve(world: &World, proxy: &Role) -> Role {
    let listen = proxy.ready()["listen"].as_str().unwrap();
    let args = ["--listen", listen, "--take-over"];
    world.proxy("proxy", &[&args[..], &QUICK].concat()).await
}
