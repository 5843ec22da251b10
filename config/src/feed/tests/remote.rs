//! Several control processes over one store that is somewhere else: what their followers see when a
//! process dies, when the store stops answering, and how soon they see a commit.

use super::*;
use crate::engines;
use crate::follow::{Source, Status};
use crate::store::StoreAddress;
use crate::{Follower, View};

/// An engine with a prepared store in it.
enum Engine {
    Spanner(engines::Emulator),
    Etcd(engines::Etcd),
}

impl Engine {
    async fn spanner() -> Option<(Self, StoreAddress)> {
        let emulator = engines::Emulator::start(None)?;
        let address: StoreAddress = emulator.database("fprs").parse().unwrap();
        address.init().await.unwrap();
        Some((Self::Spanner(emulator), address))
    }

    async fn etcd() -> Option<(Self, StoreAddress)> {
        let etcd = engines::Etcd::start()?;
        let address: StoreAddress = etcd.store("fprs").parse().unwrap();
        address.init().await.unwrap();
        Some((Self::Etcd(etcd), address))
    }

    fn freeze(&self) {
        match self {
            Self::Spanner(emulator) => emulator.freeze(),
            Self::Etcd(etcd) => etcd.freeze(),
        }
    }

    fn thaw(&self) {
        match self {
            Self::Spanner(emulator) => emulator.thaw(),
            Self::Etcd(etcd) => etcd.thaw(),
        }
    }
}

/// A control process: its own connection to the store, its own feed.
async fn control(address: &StoreAddress) -> (SharedStore, Serving) {
    let store = address.open().await.unwrap();
    let serving = Serving::start(Arc::clone(&store), 10_000);
    (store, serving)
}

async fn hear(watch: &mut Watch, last: &mut Revision, until: Revision) {
    while *last < until {
        let batch = next_batch(watch).await.expect("history is not lost");
        assert!(batch.revision > *last, "in order, nothing twice");
        assert_eq!(batch.changes.len(), 1);
        *last = batch.revision;
    }
}

/// A follower of two goes on at the other when one dies, and at a new one when the other dies too.
async fn fails_over(address: &StoreAddress) {
    const ROUNDS: usize = 4;
    const EACH: usize = 5;
    let (_, mut first) = control(address).await;
    let (writer, mut second) = control(address).await;
    let addresses = [first.address, second.address];
    let start = writer.snapshot().await.unwrap().revision;
    let mut watch = client(&addresses).watch(start);
    let mut last = start;
    let mut heard = 0;
    for round in 0..ROUNDS {
        let dying = if round % 2 == 0 {
            &mut first
        } else {
            &mut second
        };
        let listener = reborn(dying);
        // What is committed while it is away is told by the other, or by what comes in its place.
        let mut newest = last;
        for _ in 0..EACH {
            newest = put(&writer, "a").await;
            heard += 1;
        }
        let reborn = address.open().await.unwrap();
        *dying = Serving::on(listener, reborn, 10_000);
        hear(&mut watch, &mut last, newest).await;
    }
    // Every commit was heard: the last one through a watch that began at the first.
    let mut again = writer.watch(start);
    let mut from = start;
    let mut count = 0;
    while from < last {
        from = next_batch(&mut again).await.unwrap().revision;
        count += 1;
    }
    assert_eq!(count, heard);
}

/// A role that follows a feed.
struct Role {
    view: View,
    status: Arc<Status>,
    task: tokio::task::JoinHandle<()>,
}

impl Role {
    fn follows(addresses: &[SocketAddr]) -> Self {
        let (publisher, view) = View::new();
        let follower = Follower::new(Arc::new(client(addresses)), publisher);
        let status = follower.status();
        let task = tokio::spawn(follower.run());
        Self { view, status, task }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A store that stops answering: followers keep what they have and show its age, newcomers are
/// served what control has, and all of them go on by themselves.
async fn stands_still(engine: &Engine, address: &StoreAddress) {
    let (writer, serving) = control(address).await;
    let revision = put(&writer, "a").await;
    let mut role = Role::follows(&[serving.address]);
    role.view.reached(revision).await.unwrap();

    engine.freeze();
    let mut newcomer = Role::follows(&[serving.address]);
    let joined = newcomer.view.reached(revision);
    tokio::time::timeout(DEADLINE, joined)
        .await
        .unwrap()
        .unwrap();
    let aged = async {
        while role.status.report().age < Some(Duration::from_secs(3)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, aged).await.unwrap();
    assert_eq!(role.view.load().revision(), revision);
    assert_eq!(role.status.report().source, Source::Store);
    let refused = writer.commit(vec![server("b").change()], Vec::new()).await;
    assert!(refused.is_err(), "nobody can take a commit");

    engine.thaw();
    let again = async {
        loop {
            // One that was under way may have happened.
            match writer.commit(vec![server("c").change()], Vec::new()).await {
                Ok(revision) => return revision,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let revision = tokio::time::timeout(2 * DEADLINE, again).await.unwrap();
    for role in [&mut role, &mut newcomer] {
        let reached = role.view.reached(revision);
        tokio::time::timeout(2 * DEADLINE, reached)
            .await
            .unwrap()
            .unwrap();
        assert!(role.view.load().server("c").is_some());
    }
}

/// How long from the begin of a commit until three followers have it in force, sorted.
async fn commit_to_visible(writer: &SharedStore, feeds: &[SocketAddr; 3]) -> Vec<Duration> {
    const COMMITS: usize = 40;
    let mut roles = feeds.map(|feed| Role::follows(&[feed]));
    let mut took = Vec::new();
    for n in 0..COMMITS {
        let begun = std::time::Instant::now();
        let revision = put(writer, &format!("s{}", n % 10)).await;
        for role in &mut roles {
            let reached = role.view.reached(revision);
            tokio::time::timeout(DEADLINE, reached)
                .await
                .unwrap()
                .unwrap();
        }
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took
}

/// Says how long it took, and wants what no polling of ours could explain: half of them within
/// `half`.
fn within(what: &str, took: &[Duration], half: Duration) {
    let place = |part: usize| took[(took.len() - 1) * part / 100];
    println!(
        "commit to visible in 3 followers, {what}: p50 {:?}, p99 {:?}, max {:?}",
        place(50),
        place(99),
        place(100)
    );
    assert!(place(50) < half, "{:?}", place(50));
}

async fn visible(what: &str, address: &StoreAddress, half: Duration) {
    let (writer, near) = control(address).await;
    let (_, far) = control(address).await;
    // Warm connections.
    commit_to_visible(&writer, &[near.address; 3]).await;
    let took = commit_to_visible(&writer, &[near.address; 3]).await;
    within(&format!("{what}, same control"), &took, half);
    let took = commit_to_visible(&writer, &[far.address; 3]).await;
    within(&format!("{what}, another control"), &took, 4 * half);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_of_two_controls_over_spanner_miss_nothing_when_one_dies() {
    if let Some((_engine, address)) = Engine::spanner().await {
        fails_over(&address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_of_two_controls_over_etcd_miss_nothing_when_one_dies() {
    if let Some((_engine, address)) = Engine::etcd().await {
        fails_over(&address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spanner_that_stands_still_takes_nothing_down_and_is_followed_again() {
    if let Some((engine, address)) = Engine::spanner().await {
        stands_still(&engine, &address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_stands_still_takes_nothing_down_and_is_followed_again() {
    if let Some((engine, address)) = Engine::etcd().await {
        stands_still(&engine, &address).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_to_spanner_is_soon_visible_in_three_followers() {
    if let Some((_engine, address)) = Engine::spanner().await {
        visible("spanner emulator", &address, Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_to_etcd_is_soon_visible_in_three_followers() {
    if let Some((_engine, address)) = Engine::etcd().await {
        visible("etcd", &address, Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_to_the_embedded_store_is_soon_visible_in_three_followers() {
    let (_dir, store) = embedded(10_000);
    let serving = Serving::start(Arc::clone(&store), 10_000);
    let took = commit_to_visible(&store, &[serving.address; 3]).await;
    within("embedded", &took, Duration::from_millis(250));
}
