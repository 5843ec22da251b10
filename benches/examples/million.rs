//! What a million domains cost a proxy before it serves: reading the last-good file, the snapshot and
//! the routing table, each with its time and the memory that it leaves.
//!
//! `million make FILE [SERVERS]`, then `million boot FILE`: in two processes, so that the memory of the
//! first is not the second's.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::{path::Path, time::Instant};

use anyhow::{Context as _, Result, bail};
use fprs::proxy::Tables;
use fprs_autoscaler_client::Demand;
use fprs_benches::records::million;
use fprs_config::{LastGood, Revision, Snapshot, apply::Loader, last_good::Pace};

/// The binary's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", file] => make(file, million::SERVERS),
        ["make", file, servers] => make(file, servers.parse()?),
        ["boot", file] => boot(file),
        _ => bail!("million make FILE [SERVERS] | million boot FILE"),
    }
}

fn make(file: &str, servers: usize) -> Result<()> {
    let entries = million::entries(servers);
    LastGood::new(file).write(Revision(1), entries, Pace::AtOnce)?;
    println!("{} MiB", Path::new(file).metadata()?.len() >> 20);
    Ok(())
}

fn boot(file: &str) -> Result<()> {
    let begun = Instant::now();
    let nothing = Snapshot::default();
    let mut loader = Loader::new(&nothing, Revision(1));
    let take = |_, entry: fprs_config::Entry| {
        loader.take(&entry.key, &entry.value, entry.revision);
    };
    LastGood::new(file).each(take)?.context("no such file")?;
    let applied = loader.finish();
    println!(
        "{} records, {} refused",
        applied.snapshot.len(),
        applied.refused.len()
    );
    say("snapshot", begun)?;
    let tables = Tables::new("region.localhost", Demand::new());
    let edit = tables.apply(&applied);
    println!("{} replicas to warm", edit.added.len());
    say("table", begun)?;
    drop(edit);
    drop(applied);
    say("settled", begun)
}

fn say(what: &str, begun: Instant) -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib >> 10)
    };
    let cpu = std::fs::read_to_string("/proc/self/schedstat")?;
    let cpu: f64 = cpu.split(' ').next().unwrap_or_default().parse()?;
    println!(
        "{what:<10} {:>6.2} s of CPU, {:>6.2} s, {} MiB now, {} MiB at most",
        cpu / 1e9,
        begun.elapsed().as_secs_f64(),
        field("VmRSS:").context("no VmRSS")?,
        field("VmHWM:").context("no VmHWM")?
    );
    Ok(())
}
