//! A pool that prefers what is available: while no gateway holds its static IP, new connections leave by
//! another one of the pool, and by its own again afterwards. Those of a strict pool wait.

use std::time::{Duration, Instant};

use crate::failover::settled;
use crate::world::{CONTROL, GATEWAYS, SERVER, STATIC, World, container, wait, world};

/// How long nothing has to happen to be taken for never.
const NEVER: Duration = Duration::from_secs(3);
/// Longest time without an address: 1 s until it counts as lost, and what a loaded machine adds.
const LONGEST: Duration = Duration::from_secs(3);

/// Settings of the agent with the first pool alone.
fn agent(world: &World, others: &str) {
    let [g1, g2] = GATEWAYS;
    let text = format!(
        "identity = \"w1\"\nsecret_file = \"secret\"\nauthority = \"ca.pem\"\nstate_dir = \"agent\"\n\
         [[pools]]\nname = \"one\"\nstatic_ip = \"{}\"\nothers = [{others}]\ntable = 51901\n\
         gateways = [\"{g1}:{CONTROL}\", \"{g2}:{CONTROL}\"]\n",
        STATIC[0]
    );
    std::fs::write(world.path("w.toml"), text).unwrap();
}

/// Starts everything, and takes the static IP of the bound container from it: its gateway is dead, and
/// there is nobody to move it. When that was.
fn without_its_address(world: &mut World) -> Instant {
    for (name, role) in [
        ("g1", "gateway"),
        ("g2", "gateway"),
        ("rec", "reconciler"),
        ("w", "agent"),
    ] {
        world.start(name, role);
    }
    wait("owners", || {
        STATIC.iter().all(|ip| world.owner(*ip).is_some())
    });
    let owner = world.owner(STATIC[0]).unwrap();
    assert_ne!(world.owner(STATIC[1]), Some(owner), "each has one");
    world.bind(0, "one");
    assert_eq!(settled(world), owner);
    world.kill("rec");
    let killed = Instant::now();
    let gateway = format!("g{}", owner + 1);
    world.kill(&gateway);
    wait("its tunnels to go", || world.no_devices(&gateway));
    killed
}

#[test]
fn a_pool_that_prefers_what_is_available_leaves_by_another_address_meanwhile() {
    let Some(mut world) = world() else { return };
    agent(&world, &format!("\"{}\"", STATIC[1]));
    let killed = without_its_address(&mut world);
    let whoami = world.whoami("srv", SERVER);
    let [own, other] = STATIC.map(|ip| ip.to_string());
    let seen = || world.seen_as(&container(0), whoami);
    wait("another address", || seen() == Some(other.clone()));
    let away = killed.elapsed();
    eprintln!("leaves by another address after {away:?}");
    assert!(away < LONGEST, "{away:?}");
    let began = Instant::now();
    while began.elapsed() < NEVER {
        assert_eq!(seen(), Some(other.clone()), "it stays");
        // Each connection takes one of the agent's ports for a while.
        std::thread::sleep(Duration::from_millis(50));
    }
    world.start("rec", "reconciler");
    let began = Instant::now();
    wait("its own", || {
        world.seen_as(&container(0), whoami) == Some(own.clone())
    });
    eprintln!("leaves by its own again after {:?}", began.elapsed());
}

#[test]
fn a_strict_pool_waits_for_its_address() {
    let Some(mut world) = world() else { return };
    agent(&world, "");
    let killed = without_its_address(&mut world);
    assert!(killed.elapsed() < LONGEST, "{:?}", killed.elapsed());
    let whoami = world.whoami("srv", SERVER);
    while killed.elapsed() < LONGEST + NEVER {
        assert_eq!(world.seen_as(&container(0), whoami), None);
    }
    world.start("rec", "reconciler");
    let own = STATIC[0].to_string();
    wait("its own", || {
        world.seen_as(&container(0), whoami) == Some(own.clone())
    });
}
