//! The CNI plugin as container runtimes call it: many at once, twice, in the wrong order, and killed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use crate::world::{POOLS, SERVER, STATIC, World, container, previous, result, wait, world};

/// Containers at once.
const MANY: u8 = 100;

#[test]
fn each_verb_does_what_the_specification_says() {
    let Some(mut world) = world() else { return };
    let (printed, done) = world.cni("VERSION", "c1", "", None);
    assert!(done);
    assert!(versions(&printed).contains(&"1.1.0".into()), "{printed}");
    assert_eq!(
        code(&world.cni("STATUS", "c1", "one", None)),
        11,
        "no agent"
    );
    assert_eq!(code(&world.cni("ADD", "c1", "one", Some(previous(0)))), 11);
    world.start("w", "agent");
    assert_eq!(
        code(&world.cni("STATUS", "c1", "one", None)),
        50,
        "no tunnel"
    );
    assert_eq!(code(&world.cni("ADD", "c1", "one", None)), 7, "not chained");
    assert_eq!(
        code(&world.cni("CHECK", "c1", "one", Some(previous(0)))),
        101,
        "not bound"
    );
    for _ in 0..2 {
        let (printed, done) = world.cni("ADD", "c1", "one", Some(previous(0)));
        assert!(done, "{printed}");
        assert_eq!(
            serde_json::from_str::<Value>(&printed).unwrap(),
            previous(0)
        );
        assert_eq!(bound(&world), ["10.88.0.2 51901"]);
    }
    assert!(world.cni("CHECK", "c1", "one", Some(previous(0))).1);
    // Its address is its own as long as it is bound.
    assert_eq!(code(&world.cni("ADD", "c2", "two", Some(previous(0)))), 5);
    for _ in 0..2 {
        let (printed, done) = world.cni("DEL", "c1", "one", None);
        assert!(done, "{printed}");
        assert_eq!(bound(&world), Vec::<String>::new());
    }
    assert_eq!(
        code(&world.cni("CHECK", "c1", "one", Some(previous(0)))),
        101
    );
    world.start("g1", "gateway");
    wait("a tunnel", || world.cni("STATUS", "c1", "one", None).1);
}

#[test]
fn a_hundred_adds_at_once_bind_a_hundred_containers() {
    let Some(mut world) = world() else { return };
    world.start("w", "agent");
    let started: Vec<_> = (0..MANY).map(|n| add(&world, n)).collect();
    for mut child in started {
        assert!(child.wait().unwrap().success());
    }
    let all: BTreeSet<String> = bound(&world).into_iter().collect();
    let expected = (0..MANY).map(|n| format!("{} 51901", address(n)));
    assert_eq!(all, expected.collect());
    let pairs = world.output(
        "w",
        "nft",
        &["list", "set", "inet", "fprs_egress_bound", "addresses"],
    );
    assert_eq!(
        pairs.matches("10.89.").count(),
        usize::from(MANY),
        "{pairs}"
    );
}

#[test]
fn calls_that_are_killed_at_any_point_leave_nothing_after_gc() {
    let Some(mut world) = world() else { return };
    world.start("w", "agent");
    for round in 0..20_u8 {
        let mut started: Vec<_> = (0..5).map(|n| add(&world, 5 * round + n)).collect();
        // Somewhere between its start and its end, which is about 50 ms on this machine.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 5));
        for child in &mut started {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    // What is in the kernel is in the file, whatever happened.
    let kept = std::fs::read_to_string(world.state_dir().join("bindings.json")).unwrap_or_default();
    for rule in bound(&world) {
        let address = rule.split(' ').next().unwrap();
        assert!(kept.contains(&format!("\"{address}\"")), "{rule}");
    }
    assert!(
        world.cni("ADD", "alive", "one", Some(previous(0))).1,
        "the lock is free"
    );
    let gc = world.cni_start("GC", "", "one", None, &["alive"]);
    let output = gc.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(bound(&world), ["10.88.0.2 51901"]);
    let left = world.output("w", "nft", &["list", "table", "inet", "fprs_egress_bound"]);
    assert!(!left.contains("10.89."), "{left}");
}

#[test]
fn many_containers_share_a_rule_and_are_told_apart_by_a_map() {
    let Some(mut world) = world() else { return };
    world.map_above(3);
    world.start_all();
    let whoami = world.whoami("srv", SERVER);
    let seen = |n: usize| world.seen_as(&container(n), whoami);
    for (n, pool) in POOLS.iter().enumerate() {
        world.bind(n, pool);
        wait("the static IP", || seen(n) == Some(STATIC[n].to_string()));
    }
    let each: BTreeSet<String> = bound(&world).into_iter().collect();
    let rules = ["10.88.0.2 51901", "10.88.0.3 51902"].map(str::to_owned);
    assert_eq!(each, rules.into());
    // What is beyond the border changes how all are told apart, and nothing else.
    for n in 0..3 {
        assert!(add(&world, n).wait().unwrap().success());
        for (n, ip) in STATIC.iter().enumerate() {
            assert_eq!(seen(n), Some(ip.to_string()), "with {n} more");
        }
    }
    assert_eq!(bound(&world), Vec::<String>::new());
    let marked = || {
        let rules = world.output("w", "ip", &["rule", "show"]);
        rules.matches("fwmark").count()
    };
    assert_eq!(marked(), 2, "one for each pool");
    assert!(world.cni("CHECK", "c1", "one", Some(previous(0))).1);
    for n in 0..3 {
        let (printed, done) = world.cni("DEL", &format!("many-{n}"), "one", None);
        assert!(done, "{printed}");
    }
    assert_eq!((marked(), bound(&world).len()), (2, 0), "not at the border");
    assert!(world.cni("DEL", "c2", "two", None).1);
    assert_eq!(
        (marked(), bound(&world)),
        (0, vec!["10.88.0.2 51901".to_owned()])
    );
    assert_eq!(seen(0), Some(STATIC[0].to_string()));
}

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 89, 0, n)
}

fn add(world: &World, n: u8) -> std::process::Child {
    // Which port a container has doesn't matter here; that it has an own address does.
    let previous = result("vc1", address(n));
    world.cni_start("ADD", &format!("many-{n}"), "one", Some(previous), &[])
}

/// Address and table of each rule that the plugin made.
fn bound(world: &World) -> Vec<String> {
    let rules = world.output("w", "ip", &["rule", "show"]);
    let rules = rules.lines().filter_map(|line| {
        let (_, rule) = line.split_once("from ")?;
        let (from, rest) = rule.split_once(" lookup ")?;
        let table = rest.split_whitespace().next()?;
        from.starts_with("10.").then(|| format!("{from} {table}"))
    });
    rules.collect()
}

fn versions(printed: &str) -> Vec<Value> {
    let printed: Value = serde_json::from_str(printed).unwrap();
    printed["supportedVersions"].as_array().unwrap().clone()
}

fn code((printed, done): &(String, bool)) -> u64 {
    assert!(!done, "{printed}");
    let printed: Value = serde_json::from_str(printed).unwrap();
    printed["code"].as_u64().unwrap()
}
