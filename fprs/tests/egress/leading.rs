//! Several reconcilers with their pools and their lease in the store: one leads, another one follows it,
//! and what a deposed one says does not take effect.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::control::ask;
use crate::failover::{Live, settled};
use crate::world::{STATIC, World, wait, world};

const CANDIDATES: [&str; 2] = ["ra", "rb"];

/// Gateways, an agent, control, and two reconcilers.
fn start(world: &mut World) {
    world.start_control();
    world.add_pools();
    world.start("g1", "gateway");
    world.start("g2", "gateway");
    for (name, netns) in CANDIDATES.iter().zip(["rec", "srv"]) {
        world.start_candidate(name, netns, "");
    }
    world.start("w", "agent");
    world.settle();
    world.bind(0, "one");
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
    let owner = settled(&world);
    let live = Live::start(&world);
    world.kill(&format!("g{}", owner + 1));
    // It has not had three looks yet, or has told nobody.
    world.kill(leader(&world));
    wait("the address to move", || world.holds(1 - owner, STATIC[0]));
    assert_eq!(settled(&world), 1 - owner);
    let (asked, pushed) = live.stop();
    eprintln!("leader killed in a move: requests paused {asked:?}, pushes {pushed:?}");
    wait("the other address", || world.holds(1 - owner, STATIC[1]));
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
