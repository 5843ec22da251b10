//! Many slow and silent clients at once: each is cut by its deadline, costs little, and nobody else
//! notices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fprs_forward::limits::CREDIT_STEP;
use fprs_testkit::client::H2;
use fprs_testkit::plane::Settings;
use fprs_testkit::{Pattern, Plane, program, until};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::attackers::Kind;
use crate::own_program;

/// Seconds of each deadline in these tests: apart, so that each is told from the others.
const DEADLINES: [(&str, u64); 5] = [
    ("first-byte", 6),
    ("body", 7),
    ("reader", 8),
    ("head", 9),
    ("idle", 10),
];

/// Whoever is cut may be told first (2 s) and read for a while (2 s); stalls are looked for once a
/// second, from the next whole second on; and the machine is busy.
const SLACK: Duration = Duration::from_secs(9);

/// Memory that a client may cost, taken over all of them.
const PER_ATTACKER: u64 = 64 * 1024;

/// What the first readers of large responses are let have, before the windows of what they asked for
/// get narrow: four steps of it at each of two cores, and three times as much again for what the bytes
/// lie in. Many attackers share it.
const AHEAD: u64 = 2 * 4 * 4 * CREDIT_STEP as u64;

/// From the beginning until everybody but the readers is there, whom it takes twice as long to come
/// to rest. The neighbours' latencies are taken from then on, until the first are cut: a storm of
/// connections is another hazard.
const GATHERED: Duration = Duration::from_secs(1);

/// Below this a multiple of the quiet time says more about the machine than about us.
const NOISE: Duration = Duration::from_millis(20);

/// Times all of it may be measured again where the neighbours' latencies are not as they must be.
const ATTEMPTS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_silent_clients_are_cut_cost_little_and_disturb_nobody() {
    let soak = std::env::var_os("FPRS_SOAK").is_some();
    let attackers = if soak { 2_000 } else { 200 };
    let (readers, others): (Vec<Kind>, Vec<Kind>) = Kind::ALL
        .into_iter()
        .partition(|kind| kind.deadline() == "reader");
    // A few that were like all the others would all be among the first.
    let of_readers = if soak {
        attackers * readers.len() / Kind::ALL.len()
    } else {
        150
    };
    let of_others = attackers - of_readers;
    let plane = start().await;
    for attempt in 1..=ATTEMPTS {
        let quiet = neighbours(&plane, &AtomicBool::new(false)).await;
        let before = plane.memory();
        let done = AtomicBool::new(false);
        let attack = async {
            let lasted = tokio::join!(
                swarm(&plane, &others, of_others, Duration::from_micros(500)),
                async {
                    sleep(GATHERED).await;
                    let gathered = plane.memory();
                    let apart = GATHERED * 2 / u32::try_from(of_readers).unwrap();
                    let lasted = swarm(&plane, &readers, of_readers, apart);
                    (lasted.await, gathered)
                },
                async {
                    sleep(GATHERED * 4).await;
                    plane.memory()
                },
            );
            done.store(true, Ordering::Relaxed);
            lasted
        };
        let ((mut lasted, (of_readers_lasted, gathered), peak), beside) =
            tokio::join!(attack, async {
                sleep(GATHERED * 4).await;
                neighbours(&plane, &done).await
            });
        lasted.extend(of_readers_lasted);
        expect_deadlines(&lasted);
        let each = gathered.saturating_sub(before) / of_others as u64;
        let each_reader = peak.saturating_sub(gathered) / of_readers as u64;
        let of_all = peak.saturating_sub(before) / attackers as u64;
        let ahead = if soak { 0 } else { AHEAD / attackers as u64 };
        println!(
            "{attackers} attackers: {of_all} bytes each; {of_others} attackers: {each} bytes each; {of_readers} readers: {each_reader} bytes each; \
             neighbours' p99 {quiet:?} alone, {beside:?} beside"
        );
        assert!(each < PER_ATTACKER, "{each} bytes an attacker");
        assert!(of_all < PER_ATTACKER + ahead, "{of_all} bytes an attacker");
        settled(&plane).await;
        if beside <= NOISE.max(quiet * 2) {
            return;
        }
        let what = format!("neighbours' p99: {quiet:?} became {beside:?}");
        assert!(attempt < ATTEMPTS, "{what}");
    }
}

/// The server that is attacked, and one beside it on the same plane.
const ATTACKED: &str = "attacked";
const NEIGHBOUR: &str = "neighbour";

#[tokio::test]
async fn a_client_that_takes_none_of_our_own_answers_waits_with_its_next_requests() {
    let plane = start().await;
    let before = plane.memory();
    let mut client = TcpStream::connect(plane.listen()).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: nobody.region.localhost\r\n\r\n".repeat(1_000);
    let mut sent = 0;
    // Taken without end, they would be answered 64 MiB of requests.
    while sent < 64 << 20 {
        let write = tokio::time::timeout(Duration::from_secs(1), client.write(request.as_bytes()));
        match write.await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => break,
        }
    }
    let grown = plane.memory().saturating_sub(before);
    println!("{sent} bytes of requests were taken; memory grew by {grown}");
    assert!(sent < 64 << 20, "all of them were taken");
    assert!(
        grown < 4 << 20,
        "{grown} bytes wait for a client that reads nothing"
    );
}

/// Requests of the neighbours, over about 3 s.
const NEIGHBOURS: usize = 300;

async fn start() -> Plane {
    let deadlines = DEADLINES.map(|(name, seconds)| format!("{name}={seconds}s"));
    let plane = Settings::new(env!("CARGO_BIN_EXE_fprs"))
        .arg("--deadlines")
        .arg(deadlines.join(","))
        .start()
        .await;
    let more = "min_replicas = 1\nmax_replicas = 1";
    let client = plane.h2().await;
    let flood = Value::from(own_program("flood_program"));
    let attacked = format!("name = \"{ATTACKED}\"\ncommand = {flood}\nauth = \"public\"\n{more}\n");
    let neighbour = program::manifest(NEIGHBOUR, more, &[]);
    for (server, manifest) in [(ATTACKED, attacked), (NEIGHBOUR, neighbour)] {
        plane.deploy(&manifest).await;
        until("the server answers", Duration::from_secs(20), async || {
            let response = client.get(&plane.host(server), "/").await.ok()?;
            (response.status == 200).then_some(())
        })
        .await;
    }
    plane
}

/// So many attackers, of these kinds in turn, one after the other; how long each lasted.
async fn swarm(
    plane: &Plane,
    kinds: &[Kind],
    attackers: usize,
    apart: Duration,
) -> BTreeMap<Kind, Vec<Duration>> {
    let (address, host) = (plane.listen(), plane.host(ATTACKED));
    let mut running = JoinSet::new();
    for (at, kind) in kinds.iter().copied().cycle().take(attackers).enumerate() {
        let host = host.clone();
        running.spawn(async move {
            // One after the other: the program's accept queue is not what is tested.
            sleep(apart * u32::try_from(at).unwrap()).await;
            let lasted = tokio::time::timeout(Duration::from_secs(60), kind.attack(address, &host));
            (kind, lasted.await.unwrap_or(Duration::MAX))
        });
    }
    let mut lasted: BTreeMap<Kind, Vec<Duration>> = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        let (kind, after) = ended.unwrap();
        lasted.entry(kind).or_default().push(after);
    }
    lasted
}

fn expect_deadlines(swarm: &BTreeMap<Kind, Vec<Duration>>) {
    let deadlines = BTreeMap::from(DEADLINES);
    let mut wrong = Vec::new();
    for (kind, lasted) in swarm {
        let deadline = Duration::from_secs(deadlines[kind.deadline()]);
        let (first, last) = (lasted.iter().min().unwrap(), lasted.iter().max().unwrap());
        println!(
            "{kind:?}: {} at {deadline:?}: {first:?} to {last:?}",
            kind.deadline()
        );
        if *first < deadline || *last > deadline + SLACK {
            wrong.push(*kind);
        }
    }
    assert!(wrong.is_empty(), "not cut by their deadlines: {wrong:?}");
}

/// The p99 of a small POST, over two connections: for a while, or until `done`. None may fail.
async fn neighbours(plane: &Plane, done: &AtomicBool) -> Duration {
    let host = plane.host(NEIGHBOUR);
    let body = Pattern::bytes(10_240);
    let client: H2 = plane.h2().await;
    let mut times = Vec::new();
    while times.len() < NEIGHBOURS && !done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let response = client.post(&host, "/count", body.clone()).await.unwrap();
        times.push(begun.elapsed());
        assert_eq!(response.text(), r#"{"bytes":10240,"matches":true}"#);
        sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    times[times.len() * 99 / 100]
}

async fn settled(plane: &Plane) {
    until("nothing in flight", Duration::from_secs(20), async || {
        let mut replicas = plane.replicas(ATTACKED).await;
        replicas.extend(plane.replicas(NEIGHBOUR).await);
        let in_flight = |replica: &Value| replica["in_flight"].as_u64().unwrap();
        (replicas.iter().map(in_flight).sum::<u64>() == 0).then_some(())
    })
    .await;
}
