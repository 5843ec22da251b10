use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::record::{Record, ReplicaState, Rollout};
use crate::store::{Change, Entry};
use crate::testing::{
    batch, broken, contents_after, domain, issuer, lease, mirror, replica, rollout, server,
    server_with, tenant, token, worker,
};

mod poison;

fn run(batches: &[Batch]) -> Applied {
    batches.iter().fold(Applied::default(), |applied, batch| {
        apply(&applied.snapshot, batch)
    })
}

fn names(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

/// A snapshot as plain text, since two equal ones may be laid out differently.
fn canonical(snapshot: &Snapshot) -> String {
    let views: BTreeMap<_, _> = snapshot.servers().collect();
    format!("{:?}\n{views:?}", snapshot.contents())
}

/// The same contents with what is staged for that cell in the records' places, and no rollouts.
fn as_in(cell: Option<&str>, stored: &Contents) -> Contents {
    let mut rows: BTreeMap<Key, Entry> = BTreeMap::new();
    let (rollouts, records): (Vec<_>, Vec<_>) = stored
        .entries
        .iter()
        .partition(|entry| *entry.key.kind == *Kind::Rollout.name());
    rows.extend(
        records
            .into_iter()
            .map(|entry| (entry.key.clone(), entry.clone())),
    );
    for entry in rollouts {
        let Ok(Record::Rollout(rollout)) = Record::decode(&entry.key, &entry.value) else {
            panic!("a rollout is one");
        };
        if !rollout.is_for(cell) {
            continue;
        }
        let Change { key, value } = rollout.promotion();
        rows.remove(&key);
        if let Some(value) = value {
            let revision = entry.revision;
            rows.insert(
                key.clone(),
                Entry {
                    key,
                    value,
                    revision,
                },
            );
        }
    }
    Contents {
        revision: stored.revision,
        entries: rows.into_values().collect(),
    }
}

/// What is in force, as plain text.
fn in_force(snapshot: &Snapshot) -> String {
    let views: BTreeMap<_, _> = snapshot.servers().collect();
    let domains: BTreeMap<_, _> = snapshot.domains().collect();
    let tenants: BTreeMap<_, _> = snapshot.tenants.iter().collect();
    format!("{views:?}\n{domains:?}\n{tenants:?}")
}

#[test]
fn a_batch_tells_which_servers_and_hosts_it_touched() {
    let applied = run(&[batch(
        1,
        vec![
            server("a").change(),
            server("b").change(),
            replica("r1", "a", ReplicaState::Ready).change(),
            domain("a.example.com", "a").change(),
            worker("w1").change(),
            lease("autoscaler").change(),
        ],
    )]);
    assert_eq!(names(&applied.servers), ["a", "b"]);
    assert_eq!(names(&applied.hosts), ["a.example.com"]);
    assert!(!applied.whole);
    assert_eq!(applied.refused, []);
    let snapshot = &applied.snapshot;
    assert_eq!(snapshot.revision(), Revision(1));
    assert_eq!(snapshot.len(), 6);
    assert!(snapshot.server("a").unwrap().replicas.contains_key("r1"));
    assert!(snapshot.worker("w1").is_some() && snapshot.lease("autoscaler").is_some());

    let next = apply(
        snapshot,
        &batch(2, vec![replica("r1", "a", ReplicaState::Draining).change()]),
    );
    assert_eq!(names(&next.servers), ["a"]);
    assert_eq!(names(&next.hosts), [""; 0]);
}

#[test]
fn a_batch_tells_whose_credentials_it_touched() {
    let first = run(&[batch(
        1,
        vec![
            tenant("acme").change(),
            token("t1").change(),
            token("t2").change(),
            issuer("idp").change(),
        ],
    )]);
    let callers = &first.callers;
    assert_eq!(names(&callers.tenants), ["acme"]);
    assert_eq!(names(&callers.tokens), ["t1", "t2"]);
    assert_eq!(names(&callers.issuers), ["idp"]);
    assert!(first.servers.is_empty() && first.hosts.is_empty());
    let revoked = batch(2, vec![Change::delete(token("t1").key())]);
    let next = apply(&first.snapshot, &revoked);
    assert_eq!(names(&next.callers.tokens), ["t1"]);
    assert!(next.snapshot.token("t1").is_none() && next.snapshot.token("t2").is_some());
    assert!(next.snapshot.tenant("acme").is_some() && next.snapshot.issuer("idp").is_some());
}

#[test]
fn a_mirror_is_found_with_its_server_wherever_it_moves() {
    let mirrors = |applied: &Applied, of: &str| -> Vec<String> {
        let view = applied.snapshot.server(of);
        view.map(|view| view.mirrors.keys().map(ToString::to_string).collect())
            .unwrap_or_default()
    };
    let first = run(&[batch(1, vec![mirror("m", "a").change()])]);
    assert_eq!(names(&first.servers), ["a"]);
    assert_eq!(mirrors(&first, "a"), ["m"]);
    let moved = apply(&first.snapshot, &batch(2, vec![mirror("m", "b").change()]));
    assert_eq!(names(&moved.servers), ["a", "b"]);
    assert!(moved.snapshot.server("a").is_none());
    assert_eq!(mirrors(&moved, "b"), ["m"]);
    let gone = batch(3, vec![Change::delete(mirror("m", "b").key())]);
    let gone = apply(&moved.snapshot, &gone);
    assert_eq!(names(&gone.servers), ["b"]);
    assert!(gone.snapshot.is_empty() && gone.snapshot.server("b").is_none());
}

#[test]
fn a_host_that_moves_leaves_its_old_server() {
    let applied = run(&[
        batch(1, vec![server("a").change(), server("b").change()]),
        batch(2, vec![domain("x.example.com", "a").change()]),
        batch(3, vec![domain("x.example.com", "b").change()]),
    ]);
    assert_eq!(names(&applied.servers), ["a", "b"]);
    let domains = |name| applied.snapshot.server(name).unwrap().domains.len();
    assert_eq!((domains("a"), domains("b")), (0, 1));
}

#[test]
fn a_deleted_server_stays_in_view_while_replicas_remain() {
    let first = run(&[
        batch(
            1,
            vec![
                server("a").change(),
                replica("r1", "a", ReplicaState::Ready).change(),
            ],
        ),
        batch(2, vec![Change::delete(server("a").key())]),
    ]);
    let view = first.snapshot.server("a").unwrap();
    assert!(view.server.is_none());
    assert_eq!(view.replicas.len(), 1);
    let last = apply(
        &first.snapshot,
        &batch(3, vec![Change::delete(Key::new(Kind::Replica, "r1"))]),
    );
    assert!(last.snapshot.server("a").is_none());
    assert!(last.snapshot.is_empty());
    assert_eq!(names(&last.servers), ["a"]);
}

#[test]
fn a_refused_record_keeps_its_last_good_version_and_its_siblings_apply() {
    let first = run(&[batch(1, vec![server_with("a", 7).change()])]);
    let applied = apply(
        &first.snapshot,
        &batch(
            2,
            vec![
                server("b").change(),
                broken(server("a").key()),
                server("c").change(),
                broken(Key {
                    kind: "toy".into(),
                    name: "t1".into(),
                }),
            ],
        ),
    );
    let view = applied.snapshot.server("a").unwrap();
    assert_eq!(view.server.as_ref().unwrap().scaling.max_replicas, 7);
    assert_eq!(
        applied.snapshot.written(&server("a").key()),
        Some(Revision(1))
    );
    assert!(applied.snapshot.server("b").is_some() && applied.snapshot.server("c").is_some());
    assert_eq!(names(&applied.servers), ["b", "c"]);
    let refused: Vec<_> = applied
        .refused
        .iter()
        .map(|refusal| (refusal.key.to_string(), refusal.revision))
        .collect();
    assert_eq!(
        refused,
        [
            ("server/a".to_owned(), Revision(2)),
            ("toy/t1".to_owned(), Revision(2))
        ]
    );
}

#[test]
fn a_batch_that_is_not_newer_changes_nothing() {
    let current = run(&[
        batch(1, vec![server("a").change()]),
        batch(5, vec![server_with("a", 9).change()]),
    ])
    .snapshot;
    for revision in [0, 1, 4, 5] {
        for changes in [
            vec![server_with("a", 1).change()],
            vec![Change::delete(server("a").key())],
        ] {
            let applied = apply(&current, &batch(revision, changes));
            assert_eq!(canonical(&applied.snapshot), canonical(&current));
            assert!(applied.servers.is_empty());
        }
    }
}

#[test]
fn rows_told_many_times_count_once_and_the_newest_wins() {
    let batches = [
        batch(1, vec![server_with("a", 1).change(), server("b").change()]),
        batch(2, vec![server_with("a", 2).change()]),
    ];
    let good = contents_after(&batches);
    let old = contents_after(&batches[..1]);
    for times in [2, 10, 100] {
        let mut doubled = good.clone();
        for _ in 1..times {
            doubled.entries.extend(old.entries.iter().cloned());
            doubled.entries.extend(good.entries.iter().cloned());
        }
        let applied = load(&doubled);
        assert_eq!(
            canonical(&applied.snapshot),
            canonical(&load(&good).snapshot)
        );
    }
}

#[test]
fn a_row_from_after_the_snapshot_is_refused() {
    let mut contents = contents_after(&[batch(3, vec![server("a").change()])]);
    contents.revision = Revision(2);
    let applied = load(&contents);
    assert!(applied.snapshot.is_empty());
    assert_eq!(applied.refused.len(), 1);
}

#[test]
fn a_reload_keeps_the_last_good_version_of_what_it_refuses() {
    let previous = run(&[batch(
        1,
        vec![server_with("a", 7).change(), server("b").change()],
    )]);
    let mut contents = contents_after(&[batch(4, vec![server("c").change()])]);
    contents.entries.push(Entry {
        key: server("a").key(),
        value: Bytes::from_static(b"\xff"),
        revision: Revision(3),
    });
    let applied = reload(&previous.snapshot, &contents);
    assert!(applied.whole);
    let a = applied.snapshot.server("a").unwrap();
    assert_eq!(a.server.as_ref().unwrap().scaling.max_replicas, 7);
    assert!(applied.snapshot.server("b").is_none(), "deleted meanwhile");
    assert!(applied.snapshot.server("c").is_some());
    assert_eq!(applied.refused.len(), 1);
}

#[test]
fn a_full_snapshot_refuses_new_records_and_still_changes_the_old() {
    let current = run(&[batch(1, vec![server("a").change(), server("b").change()])]).snapshot;
    let changes = vec![
        server("c").change(),
        server_with("a", 9).change(),
        Change::delete(server("b").key()),
        server("d").change(),
        server("e").change(),
    ];
    let applied = apply_within(&current, &batch(2, changes), 2);
    let refused: Vec<_> = applied.refused.iter().map(|r| r.key.to_string()).collect();
    assert_eq!(refused, ["server/c", "server/e"]);
    assert_eq!(names(&applied.servers), ["a", "b", "d"]);
    let contents = contents_after(&[batch(
        1,
        vec![
            server("a").change(),
            server("b").change(),
            server("c").change(),
        ],
    )]);
    assert_eq!(
        reload_within(&Snapshot::default(), &contents, 2)
            .refused
            .len(),
        1
    );
}

#[test]
fn contents_of_a_snapshot_load_to_the_same_snapshot() {
    let snapshot = run(&[
        batch(1, vec![server("a").change(), worker("w1").change()]),
        batch(2, vec![replica("r", "gone", ReplicaState::Failed).change()]),
    ])
    .snapshot;
    let again = load(&snapshot.contents());
    assert_eq!(canonical(&again.snapshot), canonical(&snapshot));
    assert_eq!(again.refused, []);
}

/// A change among few enough names that batches meet each other.
fn any_change() -> impl Strategy<Value = Change> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let state = prop::sample::select(vec![
        ReplicaState::Requested,
        ReplicaState::Ready,
        ReplicaState::Draining,
    ]);
    prop_oneof![
        4 => (name.clone(), 1_u32..9).prop_map(|(name, max)| server_with(name, max).change()),
        4 => (name.clone(), name.clone(), state)
            .prop_map(|(id, of, state)| replica(id, of, state).change()),
        4 => (name.clone(), name.clone())
            .prop_map(|(host, of)| domain(&format!("{host}.example.com"), of).change()),
        1 => name.clone().prop_map(|name| worker(name).change()),
        1 => name.clone().prop_map(|name| lease(name).change()),
        1 => name.clone().prop_map(|name| tenant(name).change()),
        1 => name.clone().prop_map(|name| token(name).change()),
        1 => name.clone().prop_map(|name| issuer(name).change()),
        2 => (name.clone(), name.clone()).prop_map(|(name, of)| mirror(name, of).change()),
        2 => (name.clone(), any::<bool>(), any::<bool>()).prop_map(|(name, here, gone)| {
            let staged = rollout(&format!("server/{name}"), &[if here { "here" } else { "there" }]);
            let staged = Rollout {
                staged: staged.staged.filter(|_| !gone),
                ..staged
            };
            Record::Rollout(staged).change()
        }),
        6 => (name, prop::sample::select(Kind::ALL.to_vec())).prop_map(|(name, kind)| {
            let name = match kind {
                Kind::Domain => format!("{name}.example.com"),
                Kind::Rollout => format!("server/{name}"),
                _ => name.to_owned(),
            };
            Change::delete(Key::new(kind, &name))
        }),
    ]
}

/// Batches of distinct keys at growing revisions.
fn any_batches() -> impl Strategy<Value = Vec<Batch>> {
    let changes = prop::collection::vec(any_change(), 0..6).prop_map(|changes| {
        let by_key: BTreeMap<Key, Change> = changes
            .into_iter()
            .map(|change| (change.key.clone(), change))
            .collect();
        by_key.into_values().collect::<Vec<_>>()
    });
    prop::collection::vec((1_u64..4, changes), 0..12).prop_map(|steps| {
        let mut revision = 0;
        steps
            .into_iter()
            .map(|(step, changes)| {
                revision += step;
                batch(revision, changes)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn following_every_batch_comes_to_the_same_as_loading_the_end(batches in any_batches()) {
        let mut current = Arc::new(Snapshot::default());
        for batch in &batches {
            let before = current.revision();
            let applied = apply(&current, batch);
            prop_assert!(applied.refused.is_empty());
            prop_assert!(applied.snapshot.revision() > before);
            applied.snapshot.check_invariants();
            current = applied.snapshot;
        }
        let loaded = load(&contents_after(&batches));
        prop_assert_eq!(canonical(&current), canonical(&loaded.snapshot));
    }

    /// What is in force in a cell is what would be if the staged versions were the records.
    #[test]
    fn a_cell_runs_what_is_staged_for_it_and_others_what_is_promoted(batches in any_batches()) {
        for cell in [None, Some("here"), Some("elsewhere")] {
            let start = Snapshot::in_cell(cell.map(Arc::from));
            let mut current = Arc::new(start.clone());
            let mut so_far = Vec::new();
            for batch in &batches {
                let applied = apply(&current, batch);
                prop_assert!(applied.refused.is_empty());
                applied.snapshot.check_invariants();
                current = applied.snapshot;
                so_far.push(batch.clone());
                let stored = contents_after(&so_far);
                prop_assert_eq!(&current.contents(), &stored);
                let plain = load(&as_in(cell, &stored)).snapshot;
                prop_assert_eq!(in_force(&current), in_force(&plain));
            }
            let loaded = reload(&start, &contents_after(&batches));
            prop_assert_eq!(in_force(&current), in_force(&loaded.snapshot));
            prop_assert_eq!(canonical(&current), canonical(&loaded.snapshot));
        }
    }

    #[test]
    fn duplicates_and_late_batches_change_nothing(
        batches in any_batches(),
        replays in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut noisy = Arc::new(Snapshot::default());
        for (place, batch) in batches.iter().enumerate() {
            noisy = apply(&noisy, batch).snapshot;
            if let Some(replay) = replays.get(place) {
                noisy = apply(&noisy, replay.get(&batches[..=place])).snapshot;
            }
        }
        prop_assert_eq!(canonical(&noisy), canonical(&run(&batches).snapshot));
    }

    #[test]
    fn bad_records_never_disturb_their_siblings(
        batches in any_batches(),
        spoiled in prop::collection::vec(any::<bool>(), 80),
    ) {
        // The same history twice: once with some values broken, once without those changes.
        let mut spoil = spoiled.into_iter().cycle();
        let (mut with_bad, mut without) = (Vec::new(), Vec::new());
        let mut bad = 0;
        for one in &batches {
            let (mut changes, mut kept) = (Vec::new(), Vec::new());
            for change in &one.changes {
                if change.value.is_some() && spoil.next() == Some(true) {
                    bad += 1;
                    changes.push(broken(change.key.clone()));
                } else {
                    changes.push(change.clone());
                    kept.push(change.clone());
                }
            }
            with_bad.push(Batch::new(one.revision, changes));
            without.push(Batch::new(one.revision, kept));
        }
        let mut current = Arc::new(Snapshot::default());
        let mut refused = 0;
        for batch in &with_bad {
            let applied = apply(&current, batch);
            applied.snapshot.check_invariants();
            refused += applied.refused.len();
            current = applied.snapshot;
        }
        prop_assert_eq!(refused, bad);
        prop_assert_eq!(canonical(&current), canonical(&run(&without).snapshot));

        let reloaded = reload(&current, &contents_after(&with_bad));
        for refusal in &reloaded.refused {
            prop_assert_eq!(
                reloaded.snapshot.record(&refusal.key),
                current.record(&refusal.key)
            );
        }
    }
}

/// The median time to apply one change of one server among `servers`.
fn median_of_one_change(servers: usize) -> Duration {
    const ROUNDS: usize = 401;
    const PER_ROUND: usize = 20;
    let changes = (0..servers)
        .map(|n| server(&format!("s{n}")).change())
        .collect();
    let start = load(&contents_after(&[batch(1, changes)])).snapshot;
    let change = batch(2, vec![server_with("s50", 9).change()]);
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..PER_ROUND {
                std::hint::black_box(apply(&start, &change));
            }
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

#[test]
fn one_change_costs_the_same_among_a_hundred_servers_and_a_hundred_thousand() {
    // Debug builds also check invariants and inline nothing.
    let limit = if cfg!(debug_assertions) { 4.0 } else { 2.0 };
    let mut ratio = f64::INFINITY;
    for _ in 0..3 {
        let few = median_of_one_change(100).as_secs_f64();
        ratio = ratio.min(median_of_one_change(100_000).as_secs_f64() / few);
        if ratio < limit {
            return;
        }
    }
    panic!("{ratio} times as long among a hundred thousand");
}
