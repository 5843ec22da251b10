//! Gateways and an agent whose static IPs, rates and credentials are the plane's: what is changed there is
//! in force soon, without a restart, and without a word to what has not changed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::control::ask;
use crate::failover::{Live, settled};
use crate::world::{
    CONTROL, GATEWAYS, POOLS, SERVER, STATIC, STORE, World, container, wait, world,
};

/// Longest time from a change to its being in force at a gateway.
const SOON: Duration = Duration::from_secs(2);
/// A static IP that comes later.
const LATER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 103);

/// A token of the plane with that role.
fn token(world: &World, role: &str) -> String {
    let made = world.fprs(&["token", "create", "--role", role, "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let part = |key: &str| made[key].as_str().unwrap().to_owned();
    format!("{}.{}", part("id"), part("secret"))
}

/// Takes away from the settings what the plane says.
fn settings(world: &World, worker: &str) {
    for name in ["g1", "g2"] {
        let path = world.path(&format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, _) = text.split_once("[[static_ips]]").unwrap();
        std::fs::write(path, head).unwrap();
    }
    let (id, _) = worker.split_once('.').unwrap();
    std::fs::write(world.path("secret"), worker).unwrap();
    let text = format!(
        "identity = \"{id}\"\nsecret_file = \"secret\"\nauthority = \"ca.pem\"\nstate_dir = \"agent\"\n\
         direct = [\"10.0.0.0/8\"]\n"
    );
    std::fs::write(world.path("w.toml"), text).unwrap();
}

fn start(world: &mut World, name: &str, role: &str, more: &[&str]) {
    let (settings, token) = (world.path(&format!("{name}.toml")), world.path("token"));
    let viewer = world.path("viewer");
    let token = if role == "agent" { viewer } else { token };
    let store = STORE.to_string();
    let args = [
        "egress",
        role,
        settings.to_str().unwrap(),
        "--control",
        &store,
        "--token-file",
        token.to_str().unwrap(),
    ];
    world.start_in(name, name, &[&args[..], more].concat());
}

/// The static IPs that a gateway says it serves.
fn served(world: &World) -> Vec<String> {
    let status = status(world);
    let all = status["static_ips"].as_array().unwrap().iter();
    all.map(|ip| ip["static_ip"].as_str().unwrap().to_owned())
        .collect()
}

fn status(world: &World) -> Value {
    let (_, status) = ask(world, "admin-secret", "/v1/status", "");
    serde_json::from_str(&status).unwrap()
}

/// Puts a pool, and says how long it takes until that holds.
#[track_caller]
fn changed(world: &World, pool: &str, ip: Ipv4Addr, more: &[&str], holds: impl Fn() -> bool) {
    let [g1, g2] = GATEWAYS.map(|node| format!("{node}:{CONTROL}"));
    let (g1, g2, ip) = (format!("g1={g1}"), format!("g2={g2}"), ip.to_string());
    let args = [
        "egress",
        "pool",
        "add",
        pool,
        "--ip",
        &ip,
        "--gateway",
        &g1,
        "--gateway",
        &g2,
    ];
    world.fprs(&[&args[..], more].concat());
    let began = Instant::now();
    wait("a change to be in force", holds);
    let took = began.elapsed();
    eprintln!("{pool} {ip} {more:?}: in force after {took:?}");
    assert!(took < SOON, "{took:?}");
}

#[test]
fn what_changes_in_the_plane_is_soon_in_force_and_disturbs_nothing_else() {
    let Some(mut world) = world() else { return };
    world.start_control();
    let worker = token(&world, "worker");
    std::fs::write(world.path("viewer"), token(&world, "viewer")).unwrap();
    settings(&world, &worker);
    world.add_pools();
    start(&mut world, "g1", "gateway", &[]);
    start(&mut world, "g2", "gateway", &[]);
    world.start_candidate("ra", "rec", "");
    start(
        &mut world,
        "w",
        "agent",
        &["--pool", POOLS[0], "--pool", POOLS[1]],
    );
    world.settle();
    world.bind(0, POOLS[0]);
    world.bind(1, POOLS[1]);
    let owner = settled(&world);
    let whoami = world.whoami("srv", SERVER);
    let seen = |n: usize| world.seen_as(&container(n), whoami);
    wait("the other", || seen(1) == Some(STATIC[1].to_string()));
    let live = Live::start(&world);

    // Another address for the second pool.
    let (gone, later) = (STATIC[1].to_string(), LATER.to_string());
    changed(&world, POOLS[1], LATER, &[], || {
        let served = served(&world);
        served.contains(&later) && !served.contains(&gone)
    });
    let began = Instant::now();
    wait("its container to leave by it", || {
        seen(1) == Some(later.clone())
    });
    eprintln!("its container leaves by it {:?} later", began.elapsed());
    assert!(!world.holds(0, STATIC[1]) && !world.holds(1, STATIC[1]));

    // A rate for the first, and another, and none.
    let device = format!("fpg{:08x}", STATIC[0].to_bits());
    let rate = |rate: &str| {
        let name = format!("g{}", owner + 1);
        let classes = world.output(&name, "tc", &["class", "show", "dev", &device]);
        classes.contains(rate)
    };
    changed(&world, POOLS[0], STATIC[0], &["--megabits", "20"], || {
        rate("rate 20Mbit")
    });
    changed(&world, POOLS[0], STATIC[0], &["--megabits", "30"], || {
        rate("rate 30Mbit")
    });
    changed(&world, POOLS[0], STATIC[0], &[], || rate("rate 100Gbit"));
    let (asked, pushed) = live.stop();
    eprintln!("meanwhile: requests paused {asked:?}, pushes {pushed:?}");
    assert!(
        asked.max(pushed) < SOON,
        "the first pool's connections went on"
    );
    assert_eq!(seen(0), Some(STATIC[0].to_string()));

    // Its worker is revoked.
    let (id, _) = worker.split_once('.').unwrap();
    world.fprs(&["token", "revoke", id]);
    let began = Instant::now();
    wait("its places to be taken from it", || {
        let status = status(&world);
        let all = status["static_ips"].as_array().unwrap().iter();
        all.clone().count() == 2
            && all
                .clone()
                .all(|ip| ip["peers"] == Value::Array(Vec::new()))
    });
    let took = began.elapsed();
    eprintln!("revoked: without a place after {took:?}");
    assert!(took < SOON, "{took:?}");
    wait("its container to reach nothing", || seen(0).is_none());
}

#[test]
fn a_gateway_that_starts_without_the_plane_serves_what_it_knew() {
    let Some(mut world) = world() else { return };
    world.start_control();
    let worker = token(&world, "worker");
    settings(&world, &worker);
    world.add_pools();
    start(&mut world, "g1", "gateway", &["--pool", POOLS[0]]);
    let own = [STATIC[0].to_string()];
    assert_eq!(served(&world), own, "the pool it was told of");
    // What it knew is kept once it has served for a while, and at the end.
    world.end("g1");
    world.kill("control");
    start(&mut world, "g1", "gateway", &["--pool", POOLS[0]]);
    assert_eq!(served(&world), own);
}
