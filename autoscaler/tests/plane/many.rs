//! A large plane at its normal load: what deciding about all of it costs, and whether it is on time.
//! `FPRS_SOAK=1` is 10,000 servers with 50,000 replicas; without it a tenth.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_autoscaler_client::Guard;
use fprs_config::{
    Change, EmbeddedStore, Follower, Record, Replica, ReplicaState, Scaling, SharedStore, View,
    samples,
};
use tokio::runtime::{Builder, Runtime};

use crate::plane::{Proxy, WORKER, autoscaler, directory, scaling, server, within};

const PROXIES: usize = 16;
const REPLICAS: usize = 5;
const IN_FLIGHT: usize = 2;
const MEASURED: Duration = Duration::from_secs(5);
/// Decisions come every 200 ms; an unoptimised build on a busy machine is this late at most.
const LATE: Duration = Duration::from_millis(1_500);
/// Writes in one commit.
const BATCH: usize = 500;
/// The threads whose time is measured.
const THREADS: &str = "autoscaler";

#[test]
fn a_large_plane_is_decided_about_on_time() {
    let soak = std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1");
    let servers = if soak { 10_000 } else { 1_000 };
    let dir = directory();
    let store: SharedStore =
        Arc::new(EmbeddedStore::open(&dir.path().join("store")).expect("a store"));
    let (own, others) = (runtime(THREADS), runtime("others"));
    others.block_on(fill(&store, servers));
    let (publisher, view) = View::new();
    let (decides, observer, _tasks) = own.block_on(autoscaler("a", &store, &view));
    let follower = Follower::new(Arc::clone(&store), publisher).observe(observer);
    own.spawn(follower.run());
    let (proxies, held) = others.block_on(async {
        within("the autoscaler leads", || decides.leads()).await;
        let idle = memory();
        let loaded = load(&view, servers);
        let expected = (servers * REPLICAS * IN_FLIGHT) as u64;
        within("all is reported", || decides.in_flight() == expected).await;
        println!(
            "{servers} servers, {} replicas, {PROXIES} proxies: their load takes {} MB of {} MB",
            servers * REPLICAS,
            (memory() - idle) >> 20,
            memory() >> 20
        );
        loaded
    });

    let (begun, cpu) = (Instant::now(), cpu_time());
    let worst = others.block_on(async {
        let last = || decides.explain("s7").last().map(|last| last.until_unix_ms);
        let (mut worst, mut seen, mut since) = (Duration::ZERO, last(), Instant::now());
        while begun.elapsed() < MEASURED {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if last() != seen {
                (seen, since) = (last(), Instant::now());
            }
            worst = worst.max(since.elapsed());
        }
        worst
    });
    let share = (cpu_time() - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("{share:.2} cores, decisions at most {worst:?} apart");
    assert!(worst < LATE, "{worst:?}");
    let snapshot = view.load();
    assert!(
        snapshot
            .replicas()
            .all(|replica| replica.state == ReplicaState::Ready)
    );
    drop((proxies, held));
    own.shutdown_background();
    others.shutdown_background();
}

fn runtime(threads: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(threads)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Servers with all the replicas they ask for.
async fn fill(store: &SharedStore, servers: usize) {
    let scaling = Scaling {
        min_replicas: u32::try_from(REPLICAS).expect("small"),
        ..scaling()
    };
    let mut changes: Vec<Change> = Vec::new();
    for number in 0..servers {
        let name = format!("s{number}");
        changes.push(Record::Server(server(&name, scaling)).change());
        for replica in 0..REPLICAS {
            let id = format!("{name}-1-{replica}");
            let replica = Replica {
                worker: Some(WORKER.into()),
                ..samples::replica(&id, &name, ReplicaState::Ready)
            };
            changes.push(Record::Replica(replica).change());
        }
    }
    for batch in changes.chunks(BATCH) {
        store
            .commit(batch.to_vec(), Vec::new())
            .await
            .expect("committed");
    }
}

/// Every replica has some requests, all through one proxy.
fn load(view: &View, servers: usize) -> (Vec<Proxy>, Vec<Guard>) {
    let names = (0..PROXIES).map(|number| format!("proxy-{number}"));
    let proxies: Vec<Proxy> = names.map(|name| Proxy::on(view.clone(), &name)).collect();
    let mut held = Vec::new();
    for number in 0..servers {
        let demand = &proxies[number % PROXIES].demand;
        let name: Arc<str> = format!("s{number}").into();
        for replica in 0..REPLICAS {
            let gauge = demand.replica(&name, &format!("{name}-1-{replica}").into());
            held.extend((0..IN_FLIGHT).map(|_| gauge.begin()));
        }
    }
    (proxies, held)
}

/// What the autoscaler's own threads have computed so far.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let ticks: u64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter_map(|stat| {
            let (name, rest) = stat.rsplit_once(')')?;
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let time = |at: usize| fields.get(at)?.parse::<u64>().ok();
            name.ends_with(&format!("({THREADS}"))
                .then(|| time(11))??
                .checked_add(time(12)?)
        })
        .sum();
    // The kernel counts in hundredths of a second.
    Duration::from_millis(ticks * 10)
}

/// Memory of this process in RAM, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = rss.and_then(|rss| rss.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("its size") << 10
}
