//! Several reconcilers with their pools and their lease in the store: one leads, another one follows it,
//! and what a deposed one says does not take effect.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::control::ask;
use crate::failover::{Live, settled};
use crate::world::{STATIC, World, wait, world};

const CANDIDATES: [&str; 2] = ["ra", "rb"];
/// The median of the longest pauses that connections may see.
const MEDIAN: Duration = Duration::from_secs(1);
/// How often the median is measured at most: a machine with other work is measured again.
const AGAIN: usize = 3;

/// How often the leader is killed in the middle of a move.
fn runs() -> u32 {
    if std::env::var_os("FPRS_SOAK").is_some() {
        20
    } else {
        3
    }
}

/// Gateways, an agent, control, and two reconcilers.
fn start(world: &mut World) {
    world.start_control();
    world.add_pools();
    world.start("g1", "gateway");
    world.start("g2", "gateway");
    for name in CANDIDATES {
        world.start_candidate(name, netns(name), "");
    }
    world.start("w", "agent");
    world.settle();
    world.bind(0, "one");
}

/// Where a reconciler is.
fn netns(name: &str) -> &'static str {
    if name == CANDIDATES[0] { "rec" } else { "srv" }
}

/// Who leads: took the lease last.
fn leader(world: &World) -> &'static str {
    let term = |name: &str| {
        let log = world.log(name);
        let led = log.rsplit_once("this reconciler leads term=")?.1;
        led.split_whitespace().next()?.parse::<u64>().ok()
    };
    CANDIDATES
        .into_iter()
        .max_by_key(|name| term(name))
        .unwrap()
}

fn other(name: &str) -> &'static str {
    CANDIDATES.into_iter().find(|other| *other != name).unwrap()
}

/// The term that the first gateway knows.
fn term(world: &World) -> u64 {
    let (_, status) = ask(world, "admin-secret", "/v1/status", "");
    let status: Value = serde_json::from_str(&status).unwrap();
    status["term"].as_u64().unwrap()
}

#[test]
fn a_leader_that_is_killed_in_the_middle_of_a_move_is_followed_by_another() {
    let Some(mut world) = world() else { return };
    start(&mut world);
    let mut connected = 4;
    for again in 0..AGAIN {
        let mut outages: Vec<Duration> = (0..runs())
            .map(|run| killed_in_a_move(&mut world, MOVE * run / runs(), &mut connected))
            .collect();
        outages.sort_unstable();
        let (median, longest) = (outages[outages.len() / 2], outages[outages.len() - 1]);
        eprintln!("{} runs: median {median:?}, longest {longest:?}", runs());
        if median < MEDIAN {
            return;
        }
        assert!(again + 1 < AGAIN, "median {median:?}");
    }
}

/// How long a gateway is dead before the leader moves its addresses: three looks, and one that was begun.
const MOVE: Duration = Duration::from_millis(500);

/// How long a reconciler runs before the leader is killed.
const WARM: Duration = Duration::from_millis(1_500);

/// Kills the gateway that owns the address, and so much later the leader. The longest pause of a
/// connection, once everything is as it was.
fn killed_in_a_move(world: &mut World, after: Duration, connected: &mut usize) -> Duration {
    let owner = settled(world);
    let dead = format!("g{}", owner + 1);
    let leads = leader(world);
    let live = Live::start(world);
    let killed = Instant::now();
    world.kill(&dead);
    // Not a wait for anything: how far the leader gets is what is varied.
    std::thread::sleep(after);
    world.kill(leads);
    wait("the address to move", || world.holds(1 - owner, STATIC[0]));
    let moved = killed.elapsed();
    assert_eq!(settled(world), 1 - owner);
    let (asked, pushed) = live.stop();
    eprintln!(
        "leader killed {after:?} after the gateway: moved after {moved:?}, requests paused {asked:?}, \
         pushes {pushed:?}"
    );
    wait("the other address", || world.holds(1 - owner, STATIC[1]));
    world.start(&dead, "gateway");
    let netns = netns(leads);
    world.start_candidate(leads, netns, "");
    let started = Instant::now();
    *connected += 2;
    wait("the dead one's tunnels", || {
        world.log("w").matches("INFO connected").count() >= *connected
    });
    // No reconciler relieves a leader that it has not known for a second.
    wait("the other one to be warm", || started.elapsed() > WARM);
    asked.max(pushed)
}

#[test]
fn of_two_leaders_gateways_listen_to_the_newer_alone() {
    let Some(mut world) = world() else { return };
    start(&mut world);
    let owner = settled(&world);
    let first = leader(&world);
    let before = term(&world);
    world.signal(first, Signal::SIGSTOP);
    wait("another one to lead", || leader(&world) == other(first));
    wait("gateways to hear of it", || term(&world) > before);
    // What the first one still has to say comes late.
    let words = |term: u64| {
        let ownership = json!({ "static_ip": STATIC[0], "epoch": null, "others": [] });
        json!({ "term": term, "static_ips": [ownership] }).to_string()
    };
    let (status, body) = ask(&world, "admin-secret", "/v1/ownership", &words(before));
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("relieved"), "{body}");
    assert!(world.holds(owner, STATIC[0]), "nothing moved");
    world.signal(first, Signal::SIGCONT);
    wait("the first one to see it", || {
        world.log(first).contains("leads no longer")
    });
    // It moves nothing: the gateway that dies now is the new leader's business.
    world.kill(&format!("g{}", owner + 1));
    wait("the address to move", || world.holds(1 - owner, STATIC[0]));
    let moves = |name: &str| world.log(name).matches(" moves ").count();
    assert!(moves(other(first)) > 0);
}

#[test]
fn a_gateway_is_drained_in_the_store() {
    let Some(mut world) = world() else { return };
    start(&mut world);
    let owner = settled(&world);
    let live = Live::start(&world);
    let gateway = format!("g{}", owner + 1);
    world.fprs(&["egress", "pool", "drain", "one", &gateway]);
    wait("the address to move", || world.holds(1 - owner, STATIC[0]));
    assert!(!world.holds(owner, STATIC[0]));
    assert_eq!(settled(&world), 1 - owner);
    let (asked, pushed) = live.stop();
    eprintln!("drained in the store: requests paused {asked:?}, pushes {pushed:?}");
    let listed = world.fprs(&["egress", "pool", "list"]);
    assert!(listed.contains(&format!("{gateway}(draining)")), "{listed}");
    world.fprs(&["egress", "pool", "resume", "one", &gateway]);
    let json: Value =
        serde_json::from_str(&world.fprs(&["egress", "pool", "list", "--json"])).unwrap();
    assert_eq!(json[0]["gateways"][owner]["draining"], false, "{json}");
}
