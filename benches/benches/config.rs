//! The snapshot as requests and commits meet it: a lookup, and one changed replica, among a
//! hundred servers and among a hundred thousand. Both may grow only as a deep tree and cold caches
//! make them; a whole load is proportional to the records.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failure ends the benchmark"
)]

use std::{collections::BTreeMap, hint::black_box, net::SocketAddr, sync::Arc, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use fprs_config::{
    Auth, Batch, Change, Contents, Domain, Entry, Record, Replica, ReplicaState, Revision, Scaling,
    Server, Snapshot, Version,
    apply::{apply, load},
};

const SIZES: [usize; 2] = [100, 100_000];
/// Names asked for in turn, so that no lookup has the last one's cache lines.
const ASKED: usize = 64;
/// Replicas of a server that change in one commit.
const COMMIT: usize = 16;

fn server(place: usize) -> Record {
    Record::Server(Server {
        name: name(place).into(),
        tenant: String::new(),
        target: Arc::new(Version {
            generation: 1,
            command: vec!["serve".into(), "$PORT".into()],
            image: String::new(),
            h2: true,
            env: BTreeMap::new(),
            startup_timeout: Duration::from_secs(30),
            exit_grace: Duration::from_secs(10),
            working_dir: "/srv".into(),
        }),
        proven: true,
        fallback: None,
        scaling: Scaling {
            target_concurrency: Some(8.0),
            min_replicas: 0,
            max_replicas: 4,
            buffer_replicas: 0,
            scaleup_window: Duration::ZERO,
            scaledown_window: Duration::from_secs(60),
        },
        auth: Auth::Public,
        hold: Duration::ZERO,
        request_timeout: None,
        routing_region: "local".into(),
        compute_region: "local".into(),
        egress: String::new(),
        deployed_unix_ms: 1,
    })
}

fn replica(place: usize, since_unix_ms: u64) -> Record {
    Record::Replica(Replica {
        id: format!("r-{place}").into(),
        server: name(place).into(),
        generation: 1,
        state: ReplicaState::Ready,
        worker: Some("w1".into()),
        address: Some(SocketAddr::from(([127, 0, 0, 1], 9000))),
        since_unix_ms,
        reason: String::new(),
        startup_ms: 5,
        weight: 1,
    })
}

fn domain(place: usize) -> Record {
    Record::Domain(Domain {
        host: host(place).into(),
        server: name(place).into(),
    })
}

fn name(place: usize) -> String {
    format!("server-{place}")
}

fn host(place: usize) -> String {
    format!("www.customer-{place}.example")
}

/// Each server with one replica and one custom domain.
fn contents(servers: usize) -> Contents {
    let records = (0..servers).flat_map(|place| [server(place), replica(place, 1), domain(place)]);
    let entries = records.map(|record| {
        let Change { key, value } = record.change();
        Entry {
            key,
            value: value.expect("a put"),
            revision: Revision(1),
        }
    });
    Contents {
        revision: Revision(1),
        entries: entries.collect(),
    }
}

fn snapshot(servers: usize) -> Arc<Snapshot> {
    let applied = load(&contents(servers));
    assert!(applied.refused.is_empty(), "{:?}", applied.refused.first());
    applied.snapshot
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for servers in SIZES {
        let snapshot = snapshot(servers);
        let names: Vec<String> = (0..ASKED).map(|n| name(n * servers / ASKED)).collect();
        let hosts: Vec<String> = (0..ASKED).map(|n| host(n * servers / ASKED)).collect();
        let mut turn = (0..ASKED).cycle();
        group.bench_function(BenchmarkId::new("server", servers), |bench| {
            bench.iter(|| black_box(snapshot.server(&names[turn.next().unwrap_or(0)])).is_some());
        });
        group.bench_function(BenchmarkId::new("domain", servers), |bench| {
            bench.iter(|| black_box(snapshot.domain(&hosts[turn.next().unwrap_or(0)])).is_some());
        });
    }
    group.finish();
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for servers in SIZES {
        let snapshot = snapshot(servers);
        for changed in [1, COMMIT] {
            let changes = (0..changed)
                .map(|n| replica(n * servers / COMMIT, 2).change())
                .collect();
            let batch = Batch {
                revision: Revision(2),
                changes,
            };
            let id = BenchmarkId::new(format!("{changed}-replicas"), servers);
            group.bench_function(id, |bench| {
                bench.iter(|| apply(&snapshot, black_box(&batch)))
            });
        }
    }
    group.finish();
}

fn loads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    for servers in SIZES {
        let contents = contents(servers);
        group.bench_function(BenchmarkId::new("whole", servers), |bench| {
            bench.iter_batched_ref(|| (), |()| load(&contents), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, lookups, commits, loads);
criterion_main!(benches);
