use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_config::{Change, Key, Kind, Record, ReplicaState, samples};
use fprs_forward::upstream::h2::Peer;

use super::{Found, Replica};
use crate::proxy::peers::Peers;
use crate::proxy::testing::{World, domain, replica, server};

fn deleted(kind: Kind, name: &str) -> Change {
    Change::delete(Key::new(kind, name))
}

/// What an authority leads to: a server's name, or a word for what else.
fn found(world: &World, authority: &str) -> String {
    let table = world.tables.load();
    match world.tables.find(&table, authority) {
        Found::Route(route) => route.server.to_string(),
        Found::NoServer(_) => "(no server)".to_owned(),
        Found::Internal => "(internal)".to_owned(),
        Found::OtherZone(_) => "(other zone)".to_owned(),
        Found::Nobodys => "(nobody's)".to_owned(),
    }
}

fn ready(world: &World, server: &str) -> Vec<Arc<Replica>> {
    let table = world.tables.load();
    table
        .route(server)
        .map(|route| route.ready.to_vec())
        .unwrap_or_default()
}

#[test]
fn host_names_lead_to_their_servers() {
    let mut world = World::new();
    assert!(!world.tables.load().is_loaded());
    world.commit(vec![server("hello"), domain("www.example.com", "hello")]);
    for (authority, expected) in [
        ("hello.region.localhost", "hello"),
        ("HELLO.Region.Localhost:8080", "hello"),
        ("www.example.com:443", "hello"),
        ("other.region.localhost", "(no server)"),
        ("www.example.org", "(other zone)"),
        ("10.0.0.1:8080", "(nobody's)"),
        ("fprs.internal", "(internal)"),
    ] {
        assert_eq!(found(&world, authority), expected, "{authority}");
    }
    assert!(world.tables.load().is_loaded());
}

#[test]
fn a_domain_that_moves_or_goes_is_followed() {
    let mut world = World::new();
    world.commit(vec![server("a"), server("b"), domain("x.example", "a")]);
    world.commit(vec![domain("x.example", "b")]);
    assert_eq!(found(&world, "x.example"), "b");
    world.commit(vec![deleted(Kind::Domain, "x.example")]);
    assert_eq!(found(&world, "x.example"), "(other zone)");
    world.commit(vec![deleted(Kind::Server, "b")]);
    assert_eq!(found(&world, "b.region.localhost"), "(no server)");
}

#[test]
fn only_ready_replicas_take_requests_and_those_on_their_way_are_known() {
    let mut world = World::new();
    world.commit(vec![
        server("s"),
        replica("starting", "s", ReplicaState::Starting),
        replica("draining", "s", ReplicaState::Draining),
    ]);
    assert!(ready(&world, "s").is_empty());
    assert!(world.tables.load().route("s").unwrap().starting);
    let edit = world.commit(vec![replica("starting", "s", ReplicaState::Ready)]);
    assert_eq!(ready(&world, "s").len(), 1);
    assert!(!world.tables.load().route("s").unwrap().starting);
    assert_eq!((edit.added.len(), edit.removed.len()), (1, 0));
}

#[test]
fn a_replica_is_the_same_through_every_edit_around_it_until_it_goes() {
    let mut world = World::new();
    world.commit(vec![server("s"), replica("r1", "s", ReplicaState::Ready)]);
    let before = ready(&world, "s");
    let in_flight = before[0].begin_at(0);
    world.commit(vec![
        server("s"),
        domain("x.example", "s"),
        replica("r2", "s", ReplicaState::Ready),
    ]);
    let after = ready(&world, "s");
    let same = after
        .iter()
        .find(|replica| &**replica.id() == "r1")
        .unwrap();
    assert!(Arc::ptr_eq(same, &before[0]) && same.in_flight() == 1);
    let edit = world.commit(vec![replica("r1", "s", ReplicaState::Draining)]);
    assert_eq!(edit.removed, vec![Arc::from("r1")]);
    assert!(before[0].is_gone());
    assert_eq!(ready(&world, "s").len(), 1);
    drop(in_flight);
}

#[tokio::test]
async fn who_waits_for_a_replica_is_woken_by_its_coming() {
    let mut world = World::new();
    world.commit(vec![server("s")]);
    let edited = Arc::clone(&world.tables.load().route("s").unwrap().edited);
    let woken = edited.notified();
    world.commit(vec![replica("r", "s", ReplicaState::Ready)]);
    tokio::time::timeout(Duration::from_secs(5), woken)
        .await
        .expect("woken");
}

#[test]
fn a_report_counts_for_a_second_and_an_ejection_passes() {
    let mut world = World::new();
    world.commit(vec![server("s"), replica("r", "s", ReplicaState::Ready)]);
    let replica = &ready(&world, "s")[0];
    replica.report(7, 10_000);
    assert_eq!(replica.load(10_500), 7_000);
    assert_eq!(replica.load(11_001), 0);
    replica.eject(20_000);
    assert!(replica.is_ejected(20_999) && !replica.is_ejected(21_000));
}

#[test]
fn our_own_exchanges_are_not_counted_again_where_the_relay_reports_them() {
    let mut world = World::new();
    world.commit(vec![server("a"), replica("r1", "a", ReplicaState::Ready)]);
    let replica = &ready(&world, "a")[0];
    let ours: Vec<_> = (0..3).map(|_| replica.begin_at(0)).collect();
    replica.report(5, 10_000);
    assert_eq!(replica.load(10_000), 5_000);
    drop(ours);
    assert_eq!(replica.load(10_000), 2_000);
    replica.report(0, 10_000);
    assert_eq!(replica.load(10_000), 0);
}

/// The fastest of many changes to a few replicas: what a change costs when nothing disturbs it and
/// what it touches is in the caches.
fn fastest_change(servers: usize) -> Duration {
    let mut world = World::new();
    for first in (0..servers).step_by(1_000) {
        let batch = (first..servers.min(first + 1_000)).flat_map(|place| {
            let name = format!("server-{place}");
            let id = format!("r-{place}");
            [server(&name), replica(&id, &name, ReplicaState::Ready)]
        });
        world.commit(batch.collect());
    }
    let changes = (0..800).map(|turn: usize| {
        let place = turn % 8 * (servers / 8);
        let (id, name) = (format!("r-{place}"), format!("server-{place}"));
        let state = if (turn / 8).is_multiple_of(2) {
            ReplicaState::Draining
        } else {
            ReplicaState::Ready
        };
        let change = replica(&id, &name, state);
        let begun = Instant::now();
        world.commit(vec![change]);
        begun.elapsed()
    });
    changes.min().unwrap_or_default()
}

#[test]
fn one_change_costs_the_same_among_a_hundred_servers_and_twenty_thousand() {
    let few = fastest_change(100);
    let many = fastest_change(20_000);
    // A cost that grew with the table would be two hundred times higher; unoptimised code and a
    // shared machine blur the rest. The benchmark `table` has exact figures, up to 100,000.
    assert!(many < few * 4, "{few:?} among 100, {many:?} among 20,000");
}

#[test]
fn a_replica_whose_pool_changes_is_dialled_anew_and_shares_no_connection_with_what_it_was() {
    let mut world = World::new();
    let record = |egress: &str| {
        Record::Replica(fprs_config::Replica {
            egress: egress.into(),
            ..samples::replica("r", "s", ReplicaState::Ready)
        })
        .change()
    };
    let peers = Peers::default();
    let mut seen: Vec<Rc<Peer>> = Vec::new();
    for egress in ["", "one", "two", "two", ""] {
        world.commit(vec![server("s"), record(egress)]);
        let replica = ready(&world, "s").remove(0);
        assert_eq!(replica.pool(), egress);
        seen.push(peers.get(&replica));
    }
    let shared: Vec<(usize, usize)> = (0..seen.len())
        .flat_map(|a| (0..a).map(move |b| (b, a)))
        .filter(|(b, a)| Rc::ptr_eq(&seen[*b], &seen[*a]))
        .collect();
    assert_eq!(shared, [(2, 3)], "the same pool, and nothing else");
}
