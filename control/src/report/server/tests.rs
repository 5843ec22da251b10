use fprs_config::Revision;

use super::*;
use crate::testing::{replica, server, version};

/// Soon after every failure here.
const NOW: u64 = 50;

fn view(replicas: &[Replica]) -> ServerView {
    let mut view = ServerView::default();
    for replica in replicas {
        view.put(Arc::new(replica.clone()), Revision(1));
    }
    view
}

fn failed(id: &str, generation: u64, since_unix_ms: u64, reason: &str) -> Replica {
    Replica {
        generation,
        since_unix_ms,
        reason: reason.to_owned(),
        ..replica(id, "hello", ReplicaState::Failed)
    }
}

#[test]
fn a_version_that_does_not_become_ready_says_why_how_often_and_what_serves() {
    let mut deployed = server("hello", 3);
    deployed.fallback = Some(Arc::new(version(2)));
    let exited = "exited with status 1 before listening on $PORT";
    let failures = [
        failed("r1", 3, 10, "an older reason"),
        failed("r2", 3, 30, &format!("{exited}\nTraceback …")),
        failed("r3", 3, 20, "an older reason"),
        failed("r4", 2, 40, "of another version"),
    ];
    assert_eq!(
        problem(&deployed, &view(&failures), None, NOW).unwrap(),
        format!("version 3 is not becoming ready: {exited} (3 attempts); version 2 keeps serving")
    );
    deployed.fallback = None;
    assert_eq!(
        problem(&deployed, &view(&failures[..1]), None, NOW).unwrap(),
        "version 3 is not becoming ready: an older reason (1 attempt); nothing serves yet"
    );
}

#[test]
fn a_proven_version_is_a_problem_only_while_none_of_it_serves() {
    let mut deployed = server("hello", 1);
    deployed.proven = true;
    let crashed = failed("r1", 1, 10, "killed by signal 9");
    assert_eq!(
        problem(&deployed, &view(std::slice::from_ref(&crashed)), None, NOW).unwrap(),
        "version 1 ran before and fails now: killed by signal 9 (1 attempt)"
    );
    let later = NOW + LATELY_MS;
    let crashed_view = view(std::slice::from_ref(&crashed));
    assert_eq!(
        problem(&deployed, &crashed_view, None, later),
        None,
        "old news"
    );
    let serving = replica("r2", "hello", ReplicaState::Ready);
    assert_eq!(
        problem(&deployed, &view(&[crashed, serving]), None, NOW),
        None
    );
}

#[test]
fn a_replica_without_a_place_is_a_problem() {
    let waiting = NoRoom::Full {
        region: "local".to_owned(),
    };
    let line = problem(&server("hello", 1), &view(&[]), Some(&waiting), NOW).unwrap();
    assert!(
        line.contains("no worker in region `local` has room"),
        "{line}"
    );
}

#[test]
fn a_server_that_only_starts_has_no_problem() {
    let starting = replica("r1", "hello", ReplicaState::Starting);
    assert_eq!(
        problem(&server("hello", 1), &view(&[starting]), None, NOW),
        None
    );
}

#[test]
fn replicas_are_counted_by_the_states_users_see() {
    use ReplicaState::{Draining, Failed, Ready, Requested, Starting, Stopping};
    let states = [Requested, Starting, Ready, Draining, Stopping, Failed];
    let replicas: Vec<_> = states
        .into_iter()
        .enumerate()
        .map(|(n, state)| replica(&format!("r{n}"), "hello", state))
        .collect();
    let expected = Counts {
        starting: 2,
        ready: 1,
        draining: 2,
        failed: 1,
    };
    assert_eq!(Counts::of(&view(&replicas)), expected);
}
