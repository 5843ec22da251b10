//! The snapshot as requests and commits meet it: a lookup, and one changed replica, among a
//! hundred servers and among a hundred thousand. Both may grow only as a deep tree and cold caches
//! make them; a whole load is proportional to the records.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failure ends the benchmark"
)]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use fprs_benches::records::{contents, host, name, replica};
use fprs_config::{
    Batch, Revision, Snapshot,
    apply::{apply, load},
};

/// The binary's own allocator: it pays for the nodes that a change copies.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 2] = [100, 100_000];
/// Names asked for in turn, so that no lookup has the last one's cache lines.
const ASKED: usize = 64;
/// Replicas of a server that change in one commit.
const COMMIT: usize = 16;

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
            let batch = Batch::new(Revision(2), changes);
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
