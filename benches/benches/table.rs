//! The routing table as requests and commits meet it: a host looked up, a replica chosen, and one
//! changed replica taken over, among a hundred servers and among a hundred thousand.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failure ends the benchmark"
)]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use fprs::proxy::{Tables, balance, table::Found};
use fprs_autoscaler_client::Demand;
use fprs_benches::records::{contents, host, name, replica};
use fprs_config::{
    Applied, Batch, Revision,
    apply::{apply, load},
};

/// The binary's own allocator: it pays for the nodes that a change copies.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 2] = [100, 100_000];
const ZONE: &str = "region.localhost";
/// Names asked for in turn, so that no lookup has the last one's cache lines.
const ASKED: usize = 64;

fn tables(servers: usize) -> (Arc<Tables>, Applied) {
    let applied = load(&contents(servers));
    let tables = Tables::new(ZONE, Demand::new());
    tables.apply(&applied);
    (tables, applied)
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table-lookup");
    for servers in SIZES {
        let (tables, _) = tables(servers);
        let places = || (0..ASKED).map(|n| n * servers / ASKED);
        let of_zone: Vec<String> = places()
            .map(|place| format!("{}.{ZONE}", name(place)))
            .collect();
        let custom: Vec<String> = places().map(host).collect();
        let mut turn = (0..ASKED).cycle();
        for (kind, hosts) in [("server", &of_zone), ("domain", &custom)] {
            group.bench_function(BenchmarkId::new(kind, servers), |bench| {
                bench.iter(|| {
                    let table = tables.load();
                    let host = &hosts[turn.next().unwrap_or(0)];
                    match tables.find(&table, black_box(host)) {
                        Found::Route(route) => route,
                        other => panic!("{other:?}"),
                    }
                });
            });
        }
    }
    group.finish();
}

fn choices(criterion: &mut Criterion) {
    let (tables, _) = tables(100);
    let table = tables.load();
    let route = table.route(&name(0)).expect("a route");
    let one = route.ready[0].clone();
    let mut group = criterion.benchmark_group("choose");
    for replicas in [1_usize, 4, 100] {
        let ready = vec![one.clone(); replicas];
        group.bench_function(BenchmarkId::from_parameter(replicas), |bench| {
            bench.iter(|| {
                balance::choose(black_box(&ready), &[], 0, fastrand::u64(..)).map(Arc::as_ptr)
            });
        });
    }
    group.bench_function("count", |bench| bench.iter(|| one.begin()));
    group.finish();
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table-apply");
    for servers in SIZES {
        let (tables, loaded) = tables(servers);
        let change =
            |since| Batch::new(Revision(since), vec![replica(servers / 2, since).change()]);
        let mut since = 1;
        group.bench_function(BenchmarkId::new("1-replica", servers), |bench| {
            bench.iter_batched(
                || {
                    since += 1;
                    apply(&loaded.snapshot, &change(since))
                },
                |applied| tables.apply(&applied),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, lookups, choices, commits);
criterion_main!(benches);
