//! What is done about a server's replicas in each situation.

use std::net::SocketAddr;
use std::time::Duration;

use fprs_config::{Scaling, Version, samples};

use fprs_config::Revision;

use super::*;
use ReplicaState::{Draining, Failed, Ready, Requested, Starting, Stopping};

const NOW: Millis = 1_000_000_000;

pub(crate) fn replica(id: &str, generation: u64, state: ReplicaState) -> Replica {
    Replica {
        id: id.into(),
        server: "s".into(),
        generation,
        state,
        worker: Some("w".into()),
        address: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
        since_unix_ms: NOW - 1_000,
        reason: String::new(),
        startup_ms: 0,
        weight: 1,
        egress: "".into(),
    }
}

fn version(generation: u64) -> Arc<Version> {
    Arc::new(samples::version(generation))
}

pub(crate) fn server(target: u64, proven: bool, fallback: Option<u64>) -> Arc<Server> {
    Arc::new(Server {
        target: version(target),
        proven,
        fallback: fallback.map(version),
        scaling: Scaling {
            target_concurrency: Some(4.0),
            max_replicas: 8,
            scaledown_window: Duration::from_secs(10),
            ..samples::scaling()
        },
        ..samples::server("s")
    })
}

/// The server in generation 1, proven.
pub(crate) fn view(replicas: Vec<Replica>) -> ServerView {
    view_of(Some(server(1, true, None)), replicas)
}

fn view_of(server: Option<Arc<Server>>, replicas: Vec<Replica>) -> ServerView {
    let mut view = ServerView {
        server,
        ..ServerView::default()
    };
    for replica in replicas {
        view.put(Arc::new(replica), Revision(1));
    }
    view
}

fn actions(view: &ServerView, wanted: u32) -> Vec<Action> {
    actions_with(view, wanted, &[], false)
}

fn actions_with(
    view: &ServerView,
    wanted: u32,
    in_flight: &[(&str, u64)],
    acknowledged: bool,
) -> Vec<Action> {
    actions_leaving(view, wanted, in_flight, acknowledged, &[])
}

/// With replicas on a worker that drains.
fn actions_leaving(
    view: &ServerView,
    wanted: u32,
    in_flight: &[(&str, u64)],
    acknowledged: bool,
    leaving: &[&str],
) -> Vec<Action> {
    let in_flight = in_flight.iter().map(|&(id, n)| (id.into(), n)).collect();
    let situation = Situation {
        view,
        wanted,
        in_flight: &in_flight,
        leaving: &|replica| leaving.contains(&&*replica.id),
        acknowledged: &|_| acknowledged,
        now_unix_ms: NOW,
    };
    plan(&situation, &mut Backoff::default())
}

fn request(generation: u64, count: usize) -> Action {
    Action::Request { generation, count }
}

fn drain(ids: &[&str]) -> Action {
    Action::Drain(ids.iter().map(|&id| id.into()).collect())
}

fn delete(ids: &[&str]) -> Action {
    Action::Delete(ids.iter().map(|&id| id.into()).collect())
}

#[test]
fn missing_replicas_are_requested_and_those_on_their_way_count() {
    let view = view(vec![
        replica("a", 1, Requested),
        replica("b", 1, Starting),
        replica("c", 1, Ready),
        replica("d", 1, Draining),
        replica("e", 1, Stopping),
    ]);
    assert_eq!(current(&view), 3);
    assert_eq!(actions(&view, 3), []);
    assert_eq!(actions(&view, 5), [request(1, 2)]);
}

#[test]
fn what_does_not_serve_yet_is_given_up_before_the_least_loaded() {
    let view = view(vec![
        replica("a", 1, Ready),
        replica("b", 1, Ready),
        replica("c", 1, Ready),
        replica("d", 1, Starting),
        replica("e", 1, Requested),
    ]);
    let load = [("a", 3), ("b", 1), ("c", 2)];
    let wanting = |wanted| actions_with(&view, wanted, &load, false);
    assert_eq!(wanting(4), [delete(&["e"])]);
    assert_eq!(wanting(3), [drain(&["d"]), delete(&["e"])]);
    assert_eq!(wanting(2), [drain(&["d", "b"]), delete(&["e"])]);
    assert_eq!(wanting(1), [drain(&["d", "b", "c"]), delete(&["e"])]);
}

#[test]
fn a_draining_replica_is_stopped_once_every_live_proxy_acknowledged_it() {
    let view = view(vec![replica("a", 1, Draining)]);
    assert_eq!(actions_with(&view, 0, &[], false), []);
    assert_eq!(
        actions_with(&view, 0, &[], true),
        [Action::Stop(vec!["a".into()])]
    );
}

#[test]
fn a_proxy_that_hangs_holds_a_draining_replica_up_only_so_long() {
    let mut old = replica("a", 1, Draining);
    old.since_unix_ms = NOW - ACKNOWLEDGE_LIMIT_MS;
    assert_eq!(
        actions(&view(vec![old]), 0),
        [Action::Stop(vec!["a".into()])]
    );
}

#[test]
fn a_deploy_requests_the_new_generation_beside_the_old() {
    let view = view_of(
        Some(server(2, false, Some(1))),
        vec![replica("a", 1, Ready), replica("b", 1, Ready)],
    );
    assert_eq!(current(&view), 2);
    assert_eq!(actions(&view, 2), [request(2, 2)]);
}

#[test]
fn an_old_replica_drains_for_each_new_one_that_is_ready() {
    let replicas = |states: [ReplicaState; 2]| {
        vec![
            replica("a", 1, Ready),
            replica("b", 1, Ready),
            replica("c", 2, states[0]),
            replica("d", 2, states[1]),
        ]
    };
    let plan = |states| {
        let view = view_of(Some(server(2, true, Some(1))), replicas(states));
        actions_with(&view, 2, &[("a", 5)], false)
    };
    assert_eq!(plan([Starting, Starting]), []);
    assert_eq!(plan([Ready, Starting]), [drain(&["b"])]);
    assert_eq!(plan([Ready, Ready]), [drain(&["b", "a"])]);
}

#[test]
fn a_target_that_fails_leaves_the_fallback_serving_and_scaled() {
    let view = view_of(
        Some(server(2, false, Some(1))),
        vec![replica("a", 1, Ready), replica("f", 2, Failed)],
    );
    // Failed a second ago: tried again, once.
    assert_eq!(actions(&view, 3), [request(2, 1), request(1, 2)]);
}

#[test]
fn a_fallback_starts_again_from_zero_once_the_target_failed() {
    let deployed = || Some(server(2, false, Some(1)));
    let untried = view_of(deployed(), Vec::new());
    assert_eq!(actions(&untried, 1), [request(2, 1)]);
    let mut failure = replica("f", 2, Failed);
    failure.since_unix_ms = NOW;
    let failed = view_of(deployed(), vec![failure]);
    assert_eq!(actions(&failed, 1), [request(1, 1)]);
}

#[test]
fn a_generation_nobody_wants_is_not_started_but_serves_until_it_is_replaced() {
    let view = view_of(
        Some(server(3, false, Some(1))),
        vec![
            replica("a", 2, Ready),
            replica("b", 2, Starting),
            replica("c", 2, Requested),
            replica("d", 3, Starting),
        ],
    );
    assert_eq!(actions(&view, 1), [drain(&["b"]), delete(&["c"])]);
}

#[test]
fn only_the_newest_failed_records_are_kept() {
    let mut failed: Vec<_> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|id| replica(id, 1, Failed))
        .collect();
    failed[1].since_unix_ms -= 50;
    failed[3].since_unix_ms -= 70;
    assert_eq!(actions(&view(failed), 0), [delete(&["b", "d"])]);
}

#[test]
fn a_deleted_server_gives_up_everything() {
    let view = view_of(
        None,
        vec![
            replica("a", 1, Requested),
            replica("b", 1, Starting),
            replica("c", 1, Ready),
            replica("d", 1, Failed),
            replica("e", 1, Stopping),
        ],
    );
    assert_eq!(actions(&view, 0), [drain(&["b", "c"]), delete(&["d", "a"])]);
}

#[test]
fn an_old_replica_makes_room_when_new_ones_found_no_place() {
    let deploy = |second: ReplicaState, waited_ms: Millis| {
        let mut new = replica("n", 2, Requested);
        new.since_unix_ms = NOW - waited_ms;
        let old = vec![replica("a", 1, Ready), replica("b", 1, second), new];
        view_of(Some(server(2, false, Some(1))), old)
    };
    let wanting = |view: &ServerView| {
        let mut actions = actions(view, 2);
        actions.retain(|action| matches!(action, Action::Drain(_)));
        actions
    };
    assert_eq!(wanting(&deploy(Ready, SURGE_PATIENCE_MS - 1)), []);
    assert_eq!(wanting(&deploy(Ready, SURGE_PATIENCE_MS)), [drain(&["a"])]);
    assert_eq!(
        wanting(&deploy(Draining, SURGE_PATIENCE_MS)),
        [],
        "one at a time, and never the last"
    );
}

#[test]
fn a_version_with_an_image_has_the_time_to_get_its_pods() {
    let deploy = |waited_ms: Millis| {
        let mut new = replica("n", 2, Requested);
        new.since_unix_ms = NOW - waited_ms;
        let mut server = Server::clone(&server(2, false, Some(1)));
        server.target = Arc::new(Version {
            image: "shop/s:2".to_owned(),
            ..samples::version(2)
        });
        let replicas = vec![replica("a", 1, Ready), replica("b", 1, Ready), new];
        let view = view_of(Some(Arc::new(server)), replicas);
        actions(&view, 2).contains(&drain(&["a"]))
    };
    assert!(!deploy(SURGE_PATIENCE_MS));
    assert!(deploy(POD_PATIENCE_MS));
}

#[test]
fn what_is_on_a_worker_that_drains_serves_until_others_do() {
    let mut replicas = vec![
        replica("a", 1, Ready),
        replica("b", 1, Ready),
        replica("c", 1, Ready),
        replica("d", 1, Starting),
    ];
    let leaving = ["a", "b", "d"];
    let moves = |replicas: &[Replica]| {
        actions_leaving(&view(replicas.to_vec()), 3, &[("a", 9)], false, &leaving)
    };
    // What does not serve yet is given up at once.
    assert_eq!(moves(&replicas), [request(1, 2), drain(&["d"])]);
    replicas[3] = replica("e", 1, Ready);
    replicas.push(replica("f", 1, Starting));
    // The least loaded goes for each that is ready elsewhere.
    assert_eq!(moves(&replicas), [drain(&["b"])]);
    replicas[4].state = Ready;
    assert_eq!(moves(&replicas), [drain(&["b", "a"])]);
}

#[test]
fn where_nothing_else_has_room_a_worker_that_drains_serves_on() {
    let mut waits = replica("c", 1, Requested);
    waits.since_unix_ms = NOW - SURGE_PATIENCE_MS;
    let replicas = vec![replica("a", 1, Ready), replica("b", 1, Ready), waits];
    let view = view(replicas);
    assert_eq!(
        actions_leaving(&view, 2, &[], false, &["a", "b"]),
        [request(1, 1)]
    );
}
