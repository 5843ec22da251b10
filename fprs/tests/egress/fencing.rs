//! A gateway that lives but can't be reached: it stops answering for a static IP before another one gets
//! it; and while nobody leads, nobody gives anything up.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::failover::{Live, settled};
use crate::world::{GATEWAYS, STATIC, World, wait, world};

/// The reconciler.
const REC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 30);
/// Longest time for which a gateway that nobody reaches may go on: 0.6 s since it was last renewed, 0.05 s
/// to look, and what the test takes.
const BOUND: Duration = Duration::from_millis(650 + 350);
/// Longest wait for a change.
const LATE: Duration = Duration::from_secs(10);
/// How long nothing has to happen to be taken for never.
const NEVER: Duration = Duration::from_secs(7);

/// Cuts a gateway off from these.
fn cut_off(world: &World, gateway: usize, from: &[Ipv4Addr]) {
    let all: Vec<String> = from.iter().map(ToString::to_string).collect();
    let all = all.join(", ");
    let text = format!(
        "table ip cut {{\n chain in {{\n type filter hook input priority -300;\n ip saddr {{ {all} }} drop\n \
         }}\n chain out {{\n type filter hook output priority -300;\n ip daddr {{ {all} }} drop\n }}\n}}\n"
    );
    world.nft(&format!("g{}", gateway + 1), &text);
}

/// Looks until the other gateway has the static IP, and as long as that says: for how long both had it,
/// and when each change was seen.
fn watch(world: &World, owner: usize, end: Duration) -> (Duration, Duration, Duration) {
    let began = Instant::now();
    let (mut both, mut lost, mut taken) = (Duration::ZERO, None, None);
    let mut last = began;
    while began.elapsed() < end {
        let (old, new) = (
            world.holds(owner, STATIC[0]),
            world.holds(1 - owner, STATIC[0]),
        );
        let now = Instant::now();
        if old && new {
            both += now - last;
        }
        if !old && lost.is_none() {
            lost = Some(began.elapsed());
        }
        if new && taken.is_none() {
            taken = Some(began.elapsed());
        }
        last = now;
        if lost.is_some() && taken.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    (both, lost.expect("given up"), taken.expect("taken"))
}

#[test]
fn a_gateway_that_the_reconciler_can_not_reach_lets_go_before_another_takes() {
    let Some(mut world) = world() else { return };
    world.start_all();
    world.bind(0, "one");
    let owner = settled(&world);
    let live = Live::start(&world);
    cut_off(&world, owner, &[REC]);
    let (both, lost, taken) = watch(&world, owner, LATE);
    eprintln!("unreachable: given up after {lost:?}, taken after {taken:?}, both for {both:?}");
    assert_eq!(both, Duration::ZERO);
    assert_eq!(settled(&world), 1 - owner);
    let (asked, pushed) = live.stop();
    eprintln!("unreachable: requests paused {asked:?}, pushes {pushed:?}");
    // It is told by nobody that it owns it, and does not come back by itself.
    assert!(!world.holds(owner, STATIC[0]));
}

#[test]
fn a_gateway_that_nobody_reaches_gives_up_before_another_takes() {
    let Some(mut world) = world() else { return };
    world.start_all();
    world.bind(0, "one");
    let owner = settled(&world);
    cut_off(&world, owner, &[REC, GATEWAYS[1 - owner]]);
    let (both, lost, taken) = watch(&world, owner, LATE);
    eprintln!("cut off: given up after {lost:?}, taken after {taken:?}, both for {both:?}");
    assert!(lost < BOUND, "{lost:?}");
    assert_eq!(both, Duration::ZERO);
}

#[test]
fn with_a_fence_of_time_no_two_gateways_ever_have_an_address() {
    let Some(mut world) = world() else { return };
    let path = world.path("rec.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("fence = \"lease\"\n{text}")).unwrap();
    world.start_all();
    world.bind(0, "one");
    let owner = settled(&world);
    cut_off(&world, owner, &[REC, GATEWAYS[1 - owner]]);
    let (both, lost, taken) = watch(&world, owner, LATE);
    eprintln!("cut off, lease: given up after {lost:?}, taken after {taken:?}, both for {both:?}");
    assert_eq!(both, Duration::ZERO);
    assert!(lost < taken);
}

#[test]
fn without_any_reconciler_gateways_keep_what_they_have() {
    let Some(mut world) = world() else { return };
    world.start_all();
    world.bind(0, "one");
    let owner = settled(&world);
    world.kill("rec");
    let began = Instant::now();
    while began.elapsed() < NEVER {
        assert!(world.holds(owner, STATIC[0]), "after {:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    // One whose process is gone can be told nothing, as its machine says.
    let other = format!("g{}", 2 - owner);
    world.kill(&other);
    let began = Instant::now();
    while began.elapsed() < NEVER {
        assert!(world.holds(owner, STATIC[0]), "after {:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Until nobody says anything: it can't know who else was told what.
    world.ip(&other, "link set eth0 down");
    wait("it to give up", || !world.holds(owner, STATIC[0]));
    world.start("rec", "reconciler");
    wait("it to own again", || world.holds(owner, STATIC[0]));
}
