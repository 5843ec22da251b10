//! The planner from event to event: what is told to relays and what is written.

mod random;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::{Kind, MadeFor, Record, Replica, ReplicaState, Version, Worker, limits};
use fprs_proto::worker as wire;

use super::*;
use crate::testing::{replica, server, version, worker};
use crate::workers::Workers;
use world::{LEASE, Relay, World};

#[test]
fn a_worker_is_welcomed_once_its_record_is_in_force() {
    let mut world = World::new(&[]);
    world.attach("w1", 1);
    world.turn();
    assert!(!world.relays["w1"].welcomed);
    world.turn();
    assert!(world.relays["w1"].welcomed);
    assert_eq!(
        **world.store.snapshot.worker("w1").unwrap(),
        worker("w1", 1)
    );
}

#[test]
fn a_replica_goes_from_requested_to_ready_and_proves_its_version() {
    let mut world = World::ready();
    world.request("r1");
    world.turn();
    assert_eq!(world.relays["w1"].starts, ["r1"], "told in the same turn");
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Starting));
    assert_eq!(
        world.store.replica("r1").unwrap().worker.as_deref(),
        Some("w1")
    );
    world.update("w1", "r1", wire::Phase::Ready, "");
    let before = world.store.snapshot.revision();
    world.settle();
    let replica = world.store.replica("r1").unwrap();
    assert_eq!(
        (replica.state, replica.startup_ms),
        (ReplicaState::Ready, 5)
    );
    assert!(world.store.server("hello").proven);
    assert_eq!(
        world.store.snapshot.revision().0,
        before.0 + 1,
        "in one commit"
    );
}

#[test]
fn a_replica_is_reached_as_its_worker_is_unless_its_server_says_how() {
    let mut world = World::new(&[Record::Server(server("hello", 1))]);
    let offer = Worker {
        egress: "away".into(),
        ..worker("w1", 1)
    };
    assert!(world.attach_as(offer));
    world.settle();
    let own = Replica {
        egress: "own".into(),
        ..replica("r2", "hello", ReplicaState::Requested)
    };
    world.request("r1");
    world.put(own);
    world.settle();
    let egress = |id: &str| world.store.replica(id).map(|replica| &*replica.egress);
    assert_eq!((egress("r1"), egress("r2")), (Some("away"), Some("own")));
}

#[test]
fn a_replica_ready_before_its_placement_is_written_is_written_as_ready() {
    let mut world = World::ready();
    world.request("r1");
    world.commits = false;
    world.turn();
    world.update("w1", "r1", wire::Phase::Ready, "");
    world.commits = true;
    world.settle();
    assert_eq!(world.relays["w1"].starts, ["r1"]);
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Ready));
}

#[test]
fn a_replica_whose_relay_dropped_out_while_it_was_told_is_not_started_twice() {
    let mut world = World::ready();
    world.attach("w2", 1);
    world.settle();
    world.request("r1");
    world.commits = false;
    world.turn();
    world.hang_up("w1");
    world.commits = true;
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Requested));
    world.attach("w1", 1);
    world.settle();
    let replica = world.store.replica("r1").unwrap();
    assert_eq!(replica.state, ReplicaState::Starting);
    assert_eq!(replica.worker.as_deref(), Some("w1"));
    assert!(world.relays["w2"].starts.is_empty());
}

#[test]
fn the_end_of_a_replica_is_final_whatever_its_relay_says_later() {
    let mut world = World::ready();
    world.request("r1");
    world.settle();
    world.update("w1", "r1", wire::Phase::Failed, "why");
    world.update("w1", "r1", wire::Phase::Ready, "");
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Failed));
}

#[test]
fn a_replica_that_fails_says_why_and_is_not_started_again() {
    let mut world = World::ready();
    world.request("r1");
    world.settle();
    let long = "é".repeat(5000);
    world.update("w1", "r1", wire::Phase::Failed, &long);
    world.settle();
    let replica = world.store.replica("r1").unwrap();
    assert_eq!(replica.state, ReplicaState::Failed);
    assert_eq!(replica.reason.len(), limits::REASON_BYTES);
    assert!(!world.store.server("hello").proven);
    assert_eq!(world.relays["w1"].starts, ["r1"]);
}

#[test]
fn a_stopping_replica_is_stopped_once_and_its_record_goes_when_it_ended() {
    let mut world = World::ready();
    world.run("r1");
    world.set("r1", ReplicaState::Draining);
    world.settle();
    assert_eq!(world.relays["w1"].stops, [""; 0]);
    world.set("r1", ReplicaState::Stopping);
    world.settle();
    assert_eq!(world.relays["w1"].stops, ["r1"]);
    world.update("w1", "r1", wire::Phase::Stopped, "");
    world.settle();
    assert_eq!(world.store.state("r1"), None);
}

#[test]
fn a_wish_taken_back_while_its_start_was_on_the_way_is_stopped() {
    let mut world = World::ready();
    world.request("r1");
    world.commits = false;
    world.turn();
    world.commits = true;
    world.store.delete(Kind::Replica, "r1");
    world.settle();
    assert_eq!(world.relays["w1"].stops, ["r1"]);
}

#[test]
fn a_silent_worker_goes_with_all_its_replicas_in_one_commit() {
    let mut world = World::ready();
    world.run("r1");
    world.run("r2");
    world.pass(LEASE / 2);
    world.beat("w1");
    world.pass(LEASE - Duration::from_millis(1));
    world.settle();
    assert_eq!(
        world.store.state("r1"),
        Some(ReplicaState::Ready),
        "within its lease"
    );
    world.pass(Duration::from_millis(1));
    let before = world.store.snapshot.revision();
    world.settle();
    assert_eq!(
        (world.store.state("r1"), world.store.state("r2")),
        (None, None)
    );
    assert!(world.store.snapshot.worker("w1").is_none());
    assert_eq!(world.store.snapshot.revision().0, before.0 + 1);
    assert!(
        world.relays["w1"].session.is_none(),
        "it is told by the closed channel"
    );
}

#[test]
fn a_relay_that_comes_back_within_its_lease_keeps_its_replicas() {
    let mut world = World::ready();
    world.run("r1");
    world.hang_up("w1");
    world.pass(LEASE / 2);
    world.settle();
    world.attach("w1", 1);
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Ready));
    assert!(world.relays["w1"].stops.is_empty());
    assert!(world.relays["w1"].welcomed);
}

#[test]
fn a_relay_that_comes_back_after_its_lease_is_told_to_stop_what_it_still_runs() {
    let mut world = World::ready();
    world.run("r1");
    world.hang_up("w1");
    world.pass(LEASE);
    world.settle();
    assert_eq!(world.store.state("r1"), None);
    world.attach("w1", 1);
    world.settle();
    assert_eq!(world.relays["w1"].stops, ["r1"]);
}

#[test]
fn replicas_of_an_earlier_process_of_a_relay_are_gone_with_it() {
    let mut world = World::ready();
    world.run("r1");
    world.hang_up("w1");
    world.attach("w1", 2);
    world.settle();
    assert_eq!(world.store.state("r1"), None);
    assert_eq!(world.store.snapshot.worker("w1").unwrap().epoch, 2);
}

#[test]
fn a_worker_that_drains_takes_nothing_until_it_is_told_to_or_begins_anew() {
    let mut world = World::ready();
    world.run("r1");
    let mut draining = Worker::clone(world.store.snapshot.worker("w1").unwrap());
    draining.draining = true;
    world.store.put(&Record::Worker(draining));
    world.request("r2");
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Ready));
    assert_eq!(world.store.state("r2"), Some(ReplicaState::Requested));
    // A connection that broke changes nothing; another process of the relay is another worker.
    world.hang_up("w1");
    world.attach("w1", 1);
    world.settle();
    assert!(world.store.snapshot.worker("w1").unwrap().draining);
    assert_eq!(world.store.state("r2"), Some(ReplicaState::Requested));
    world.hang_up("w1");
    world.attach("w1", 2);
    world.settle();
    assert!(!world.store.snapshot.worker("w1").unwrap().draining);
    assert_eq!(world.store.state("r2"), Some(ReplicaState::Starting));
}

#[test]
fn a_second_process_under_an_attached_name_is_refused_until_the_lease_ends() {
    let mut world = World::ready();
    assert!(!world.attach("w1", 2));
    world.pass(LEASE);
    assert!(world.attach("w1", 2));
}

#[test]
fn a_replica_that_its_relay_came_back_without_has_failed() {
    let mut world = World::ready();
    world.run("r1");
    world.hang_up("w1");
    world.relays.get_mut("w1").unwrap().running.clear();
    world.attach("w1", 1);
    world.settle();
    let replica = world.store.replica("r1").unwrap();
    assert_eq!(replica.state, ReplicaState::Failed);
    assert_eq!(replica.reason, step::LOST);
}

#[test]
fn a_replica_that_its_relay_stopped_by_itself_leaves_without_having_failed() {
    let mut world = World::ready();
    world.run("r1");
    world.update("w1", "r1", wire::Phase::Stopped, "");
    world.settle();
    assert_eq!(world.store.state("r1"), None);
}

#[test]
fn a_burst_of_orders_is_spread_over_turns_and_all_of_it_arrives() {
    let mut world = World::ready();
    let count = crate::workers::MAX_ORDERS + 100;
    let mut large = worker("large", 1);
    large.capacity = 5000;
    world.attach_as(large);
    world.settle();
    for n in 0..count {
        world.request(&format!("r{n:04}"));
    }
    world.settle();
    let told: usize = world.relays.values().map(|relay| relay.starts.len()).sum();
    assert_eq!(told, count);
    assert!(world.relays.values().all(|relay| relay.session.is_some()));
}

#[test]
fn a_worker_that_does_not_take_its_orders_is_disconnected() {
    let mut world = World::ready();
    let before = world.relays.get_mut("w1").unwrap().session.take();
    let strays = (0..2000).map(|n| (format!("r{n}"), true)).collect();
    world.relays.get_mut("w1").unwrap().running = strays;
    drop(before);
    world.attach("w1", 1);
    let stuck = world.relays.get_mut("w1").unwrap().session.take().unwrap();
    for _ in 0..2000 / MAX_ORDERS_AT_ONCE + 1 {
        world.turn();
    }
    let (session, mut orders) = stuck;
    let waiting = std::iter::from_fn(|| orders.try_recv().ok()).count();
    assert_eq!(waiting, crate::workers::MAX_ORDERS);
    assert!(orders.is_closed());
    let now = world.now().instant;
    assert!(!world.workers.attachment("w1", now).unwrap().attached);
    world.workers.detach(&"w1".into(), session);
}

#[test]
fn the_last_word_of_a_relay_that_ends_counts_though_it_is_gone() {
    let mut world = World::ready();
    world.run("r1");
    world.run("r2");
    world.run("r3");
    world.update("w1", "r1", wire::Phase::Stopped, "");
    world.update("w1", "r2", wire::Phase::Failed, "why");
    // Before anything was planned on it.
    world.hang_up("w1");
    world.settle();
    assert_eq!(world.store.state("r1"), None);
    assert_eq!(world.store.state("r2"), Some(ReplicaState::Failed));
    assert_eq!(world.store.state("r3"), Some(ReplicaState::Ready));
}

#[test]
fn two_controls_with_one_worker_each_do_not_both_place_a_replica() {
    let mut world = World::ready();
    let other = Workers::new(LEASE);
    let offer = worker("w2", 1);
    let attached = other.attach(offer.clone(), BTreeMap::new(), world.now().instant);
    let (_, mut orders) = attached.unwrap();
    world.store.put(&Record::Worker(offer));
    other.act(&world.store.snapshot, world.now()); // welcomes w2
    world.request("r1");
    let theirs = other.act(&world.store.snapshot, world.now());
    world.turn();
    assert!(theirs.groups.iter().all(|group| !world.store.commit(group)));
    assert_eq!(
        world.store.replica("r1").unwrap().worker.as_deref(),
        Some("w1")
    );
    // The other sees that it lost and stops its own.
    other.act(&world.store.snapshot, world.now());
    let told: Vec<_> = std::iter::from_fn(|| orders.try_recv().ok())
        .filter_map(|order| order.message)
        .collect();
    use wire::to_worker::Message::{Start, Stop, Welcome};
    assert!(
        matches!(&told[..], [Welcome(_), Start(_), Stop(_)]),
        "{told:?}"
    );
}

#[test]
fn after_a_restart_of_control_everything_goes_on() {
    let mut world = World::ready();
    world.run("r1");
    world.request("r2");
    world.commits = false;
    world.turn();
    world.commits = true;
    world.workers = Workers::new(LEASE);
    world.settle();
    world.pass(LEASE / 2);
    world.attach("w1", 1);
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Ready));
    assert_eq!(
        world.store.state("r2"),
        Some(ReplicaState::Starting),
        "adopted"
    );
    let relay = &world.relays["w1"];
    assert!(relay.starts.is_empty() && relay.stops.is_empty());
}

#[test]
fn after_a_restart_of_control_a_worker_that_never_comes_back_loses_its_replicas() {
    let mut world = World::ready();
    world.run("r1");
    world.workers = Workers::new(LEASE);
    world.settle();
    world.pass(LEASE);
    world.settle();
    assert_eq!(world.store.state("r1"), None);
}

#[test]
fn the_version_before_is_let_go_with_its_last_replica() {
    let mut world = World::ready();
    world.run("old");
    let mut deployed = world.store.server("hello").clone();
    deployed.fallback = Some(Arc::clone(&deployed.target));
    deployed.target = Arc::new(version(2));
    deployed.proven = false;
    world.store.put(&Record::Server(deployed));
    let mut new = replica("new", "hello", ReplicaState::Requested);
    new.generation = 2;
    world.put(new);
    world.settle();
    assert!(!world.store.server("hello").proven);
    world.update("w1", "new", wire::Phase::Ready, "");
    world.settle();
    assert!(world.store.server("hello").proven);
    assert!(
        world.store.server("hello").fallback.is_some(),
        "still serves"
    );
    world.set("old", ReplicaState::Stopping);
    world.settle();
    world.update("w1", "old", wire::Phase::Stopped, "");
    world.settle();
    assert_eq!(world.store.state("old"), None);
    assert!(world.store.server("hello").fallback.is_none());
}

#[test]
fn a_replica_without_a_place_waits_visibly_and_starts_when_a_worker_comes() {
    let mut world = World::new(&[Record::Server(server("hello", 1))]);
    world.request("r1");
    world.settle();
    let waiting = world.workers.waiting("hello").unwrap().to_string();
    assert!(
        waiting.starts_with("no worker in region `local` takes replicas"),
        "{waiting}"
    );
    world.attach("w1", 1);
    world.settle();
    assert_eq!(world.workers.waiting("hello"), None);
    assert_eq!(world.relays["w1"].starts, ["r1"]);
}

#[test]
fn two_hundred_replicas_are_placed_evenly() {
    let mut world = World::new(&[Record::Server(server("hello", 1))]);
    for n in 0..4 {
        world.attach(&format!("w{n}"), 1);
    }
    world.settle();
    for n in 0..200 {
        world.request(&format!("r{n:03}"));
    }
    world.settle();
    for relay in world.relays.values() {
        assert_eq!(relay.starts.len(), 50);
    }
}

#[test]
fn a_pod_runs_one_replica_of_its_version_in_its_life_and_then_drains() {
    let of = |generation| MadeFor {
        server: "hello".into(),
        generation,
    };
    let pod = |id: &str, generation| Worker {
        capacity: 1,
        made_for: Some(of(generation)),
        ..worker(id, 1)
    };
    let mut deployed = server("hello", 1);
    deployed.target = Arc::new(Version {
        command: Vec::new(),
        image: "shop/hello:1".to_owned(),
        ..version(1)
    });
    let mut world = World::new(&[Record::Server(deployed)]);
    world.attach("machine", 1);
    world.attach_as(pod("other", 2));
    world.request("r1");
    world.request("r2");
    world.settle();
    let waiting = world.workers.waiting("hello").unwrap().to_string();
    assert!(waiting.starts_with("no pod in region `local`"), "{waiting}");
    world.attach_as(pod("pod", 1));
    world.settle();
    assert_eq!(world.relays["pod"].starts, ["r1"]);
    assert!(world.relays["machine"].starts.is_empty() && world.relays["other"].starts.is_empty());
    world.update("pod", "r1", wire::Phase::Ready, "");
    world.settle();
    world.update("pod", "r1", wire::Phase::Failed, "gone");
    world.settle();
    assert!(world.store.snapshot.worker("pod").unwrap().draining);
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Failed));
    assert_eq!(world.store.state("r2"), Some(ReplicaState::Requested));
    // One that was stopped is spent too.
    world.attach_as(pod("second", 1));
    world.settle();
    world.set("r2", ReplicaState::Stopping);
    world.update("second", "r2", wire::Phase::Stopped, "");
    world.settle();
    assert_eq!(world.store.state("r2"), None);
    assert!(world.store.snapshot.worker("second").unwrap().draining);
}
