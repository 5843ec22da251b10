//! Promise: bodies of any size pass byte for byte, and memory doesn't grow with them.

use std::net::SocketAddr;
use std::time::Instant;

use fprs_testkit::plane::{Role, ZONE};
use fprs_testkit::{Cli, TempDir, program, until};
use serde_json::{Value, json};

use crate::call::{Call, Speaks, Upload};
use crate::world::{self, ONE, PAIRS, SOON, TWO, World};

/// What a proxy or a relay may grow by, each.
const GROWTH: u64 = 32 << 20;

fn size() -> u64 {
    if std::env::var_os("FPRS_SOAK").is_some() {
        2 << 30
    } else {
        64 << 20
    }
}

#[tokio::test]
async fn large_uploads_and_downloads_pass_unchanged_and_a_plane_keeps_its_memory() {
    let mut world = World::alone().await;
    let before = world.plane.memory();
    for (speaks, server) in PAIRS {
        both_ways(world.plane.listen(), speaks, &world.plane.host(server)).await;
    }
    let grown = world.plane.process().memory_peak().saturating_sub(before);
    println!("proxy and relay in one process: {} KiB more", grown >> 10);
    // Twice, for both are in it.
    assert!(grown < 2 * GROWTH, "{grown} bytes");
    world.end().await;
}

#[tokio::test]
async fn large_bodies_leave_the_memory_of_a_proxy_and_of_a_relay_alone() {
    let _alone = world::alone().await;
    let mut fleet = Fleet::start().await;
    for (server, h2) in [(ONE, false), (TWO, true)] {
        fleet.deploy(server, h2).await;
    }
    let before = [
        fleet.proxy.process().memory(),
        fleet.relay.process().memory(),
    ];
    for (speaks, server) in [(Speaks::H1, ONE), (Speaks::H2, TWO)] {
        both_ways(fleet.proxy.address("listen"), speaks, &host(server)).await;
    }
    let roles = [
        ("proxy", fleet.proxy.process()),
        ("relay", fleet.relay.process()),
    ];
    for ((role, process), before) in roles.into_iter().zip(before) {
        let grown = process.memory_peak().saturating_sub(before);
        println!("{role}: {} KiB more", grown >> 10);
        assert!(grown < GROWTH, "{role}: {grown} bytes");
    }
}

/// Checks an upload and a download of that size.
async fn both_ways(address: SocketAddr, speaks: Speaks, host: &str) {
    let size = size();
    let began = Instant::now();
    let upload = Upload::Length(size);
    let Call {
        mut sender,
        mut answer,
    } = Call::open(address, speaks, host, "/count", upload).await;
    sender.send_pattern(size).await.unwrap();
    sender.finish().await.unwrap();
    let counted: Value = serde_json::from_slice(&answer.response().await.unwrap().body).unwrap();
    assert_eq!(counted, json!({"bytes": size, "matches": true}), "{host}");
    let sent = began.elapsed();
    let path = format!("/bytes/{size}");
    let mut call = Call::open(address, speaks, host, &path, Upload::None).await;
    assert_eq!(call.answer.head().await.unwrap().status, 200);
    assert_eq!(call.answer.check_pattern().await, Ok(size), "{host}");
    println!(
        "{speaks:?} to {host}: up {sent:?}, down {:?}",
        began.elapsed() - sent
    );
}

fn host(server: &str) -> String {
    format!("{server}.{ZONE}")
}

/// The same plane as single roles, a process each.
struct Fleet {
    proxy: Role,
    relay: Role,
    cli: Cli,
    _autoscaler: Role,
    _control: Role,
    dirs: TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let dirs = TempDir::new().unwrap();
        let role = async |role: &str, control: Option<SocketAddr>| {
            let dir = dirs.path().join(role);
            let mut args = vec!["--data-dir".to_owned(), dir.to_str().unwrap().to_owned()];
            let addresses = ["--admin", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
            args.extend(addresses.map(str::to_owned));
            args.extend(["--zone", ZONE].map(str::to_owned));
            if let Some(control) = control {
                args.extend(["--control".to_owned(), control.to_string()]);
            }
            Role::start(env!("CARGO_BIN_EXE_fprs"), role, args, &[TOKEN]).await
        };
        let control = role("control", None).await;
        let admin = control.address("admin");
        Self {
            relay: role("relay", Some(admin)).await,
            proxy: role("proxy", Some(admin)).await,
            _autoscaler: role("autoscaler", Some(admin)).await,
            cli: Cli::new(env!("CARGO_BIN_EXE_fprs"))
                .arg("--admin", admin.to_string())
                .env(TOKEN.0, TOKEN.1),
            _control: control,
            dirs,
        }
    }

    async fn deploy(&self, server: &str, h2: bool) {
        let more = format!("min_replicas = 1\nhold = \"10s\"\nh2 = {h2}");
        let path = self.dirs.path().join(format!("{server}.toml"));
        std::fs::write(&path, program::manifest(server, &more, &[])).unwrap();
        let _deployed = self
            .cli
            .run(&["deploy", path.to_str().unwrap()])
            .await
            .succeeded();
        // The proxy hears of a new server a moment later.
        until("the server to answer", SOON, async || {
            let address = self.proxy.address("listen");
            let mut call = Call::open(address, Speaks::H1, &host(server), "/", Upload::None).await;
            let answer = call.answer.response().await.unwrap();
            (answer.status == 200).then_some(())
        })
        .await;
    }
}

const TOKEN: (&str, &str) = ("FPRS_ADMIN_TOKEN", "the-token-of-this-test");
