//! The proxy's own way to replicas on a worker elsewhere: by the egress pool that their record names, on
//! connections of that pool's own, and by nothing else.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::world::{POOLS, SERVER, STATIC, STORE, WORKER, World, wait, world};

/// Where the relay of the worker elsewhere is.
const RELAY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(SERVER), 7000);
/// Where the proxy beside the agent listens.
const PROXY: &str = "127.0.0.1:8080";
/// How long nothing has to happen to be taken for never.
const NEVER: Duration = Duration::from_secs(3);

/// Gateways, reconciler and agent; a plane in the reconciler's namespace, a proxy beside the agent, and a
/// relay where the internet is.
fn start(world: &mut World) {
    world.start_all();
    let (data, proxy, relay) = (
        world.path("plane"),
        world.path("proxy"),
        world.path("relay"),
    );
    let (admin, state) = (STORE.to_string(), world.state_dir());
    let relay_at = RELAY.to_string();
    world.start_in(
        "plane",
        "rec",
        &[
            "up",
            "--data-dir",
            data.to_str().unwrap(),
            "--admin",
            &admin,
            "--compute-region",
            "home",
        ],
    );
    world.add_pools();
    world.start_in(
        "relay",
        "srv",
        &[
            "relay",
            "--data-dir",
            relay.to_str().unwrap(),
            "--control",
            &admin,
            "--listen",
            &relay_at,
            "--compute-region",
            "away",
        ],
    );
    world.start_in(
        "proxy",
        "w",
        &[
            "proxy",
            "--data-dir",
            proxy.to_str().unwrap(),
            "--control",
            &admin,
            "--listen",
            PROXY,
            "--egress-state-dir",
            state.to_str().unwrap(),
            "--drain-delay",
            "0s",
        ],
    );
}

/// Deploys a server of one replica elsewhere, reached by that pool.
fn deploy(world: &World, name: &str, egress: &str) {
    let path = world.path(&format!("{name}.toml"));
    let text = format!(
        "name = \"{name}\"\ncommand = [\"python3\", \"-m\", \"http.server\", \"$PORT\"]\nauth = \"public\"\n\
         min_replicas = 1\nmax_replicas = 1\ncompute_region = \"away\"\negress = \"{egress}\"\n\
         request_timeout = \"2s\"\n"
    );
    std::fs::write(&path, text).unwrap();
    world.fprs(&["deploy", path.to_str().unwrap()]);
}

/// The status of one request to that server, through the proxy.
fn status(world: &World, name: &str) -> Option<u16> {
    let text = world.inside("w", || {
        let mut stream = TcpStream::connect(PROXY).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(4))).ok()?;
        let request =
            format!("GET / HTTP/1.1\r\nhost: {name}.region.localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok();
        Some(text)
    })?;
    text.split(' ').nth(1)?.parse().ok()
}

/// From where the relay has connections now.
fn seen(world: &World) -> Vec<Ipv4Addr> {
    let port = format!(":{}", RELAY.port());
    let text = world.output(
        "srv",
        "ss",
        &["-Htn", "state", "established", "sport", "=", &port],
    );
    let mut all: Vec<Ipv4Addr> = text
        .lines()
        .filter_map(|line| {
            line.split_whitespace()
                .nth(3)?
                .rsplit_once(':')?
                .0
                .parse()
                .ok()
        })
        .collect();
    // The plane's own proxy has its connections, too.
    all.retain(|from| *from != STORE.ip());
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn replicas_are_reached_by_the_pool_that_they_name_and_by_no_other() {
    let Some(mut world) = world() else { return };
    start(&mut world);
    deploy(&world, "plain", "");
    wait("the plain one", || status(&world, "plain") == Some(200));
    assert_eq!(seen(&world), [WORKER], "as the proxy's machine is");
    for (name, pool) in [("first", POOLS[0]), ("second", POOLS[1])] {
        deploy(&world, name, pool);
        wait(name, || status(&world, name) == Some(200));
    }
    // One relay, one address, three ways: each has connections of its own.
    assert_eq!(seen(&world), [WORKER, STATIC[0], STATIC[1]]);
    let used = world.fprs(&["egress", "pool", "list"]);
    assert!(used.contains("first") && used.contains("second"), "{used}");
    for _ in 0..20 {
        for name in ["plain", "first", "second"] {
            assert_eq!(status(&world, name), Some(200), "{name}");
        }
    }
    assert_eq!(seen(&world), [WORKER, STATIC[0], STATIC[1]]);

    // Moved to another pool, it is reached by that alone.
    deploy(&world, "first", POOLS[1]);
    wait("the old way to close", || {
        seen(&world) == [WORKER, STATIC[1]]
    });
    assert_eq!(status(&world, "first"), Some(200));

    // Without an agent it is not reached at all, least of all by the machine's own address.
    world.fprs(&["delete", "plain"]);
    wait("the plain one's connection to close", || {
        seen(&world) == [STATIC[1]]
    });
    world.kill("w");
    wait("it to fail", || status(&world, "first") != Some(200));
    let until = Instant::now() + NEVER;
    while Instant::now() < until {
        assert_ne!(status(&world, "first"), Some(200));
        assert!(!seen(&world).contains(&WORKER));
    }
    world.start("w", "agent");
    wait("it to be reached again", || {
        status(&world, "first") == Some(200)
    });
    assert_eq!(status(&world, "second"), Some(200));
    assert!(!seen(&world).contains(&WORKER));
}
