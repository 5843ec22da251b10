//! Measures what a durable commit costs on this machine's disk, one at a time and many at once:
//! `cargo run --release -p fprs-config --example commit_latency -- DIRECTORY`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fprs_config::{Change, EmbeddedStore, Key, Store};
use futures_util::future::join_all;

const ROUNDS: usize = 500;
const AT_ONCE: usize = 64;
/// About the size of a server record, bytes.
const VALUE_BYTES: usize = 300;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory: PathBuf = std::env::args_os().nth(1).ok_or("name a directory")?.into();
    let path = directory.join(format!("commit-latency-{:016x}", fastrand::u64(..)));
    let store = Arc::new(EmbeddedStore::open(&path)?);
    for writers in [1, AT_ONCE] {
        let begun = Instant::now();
        let writers = (0..writers).map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { write(&store, writer).await })
        });
        let mut times = Vec::new();
        for written in join_all(writers).await {
            times.extend(written??);
        }
        report(times, begun.elapsed());
    }
    drop(store);
    std::fs::remove_file(path)?;
    Ok(())
}

async fn write(
    store: &EmbeddedStore,
    writer: usize,
) -> Result<Vec<Duration>, fprs_config::CommitError> {
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let change = Change {
            key: Key {
                kind: "example".into(),
                name: format!("{writer}-{}", round % 100).into(),
            },
            value: Some(Bytes::from(vec![0; VALUE_BYTES])),
        };
        let begun = Instant::now();
        store.commit(vec![change], Vec::new()).await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn report(mut times: Vec<Duration>, took: Duration) {
    times.sort_unstable();
    let at = |part: usize| {
        let place = times.len().saturating_mul(part) / 100;
        times.get(place).copied().unwrap_or_default()
    };
    println!(
        "{} commits in {took:?}: p50 {:?}, p90 {:?}, p99 {:?}",
        times.len(),
        at(50),
        at(90),
        at(99)
    );
}
