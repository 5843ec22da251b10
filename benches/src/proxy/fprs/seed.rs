//! A store with a hundred thousand domains, as a plane finds it at its start.

use std::path::Path;

use anyhow::{Context as _, Result};
use fprs_config::store::{EmbeddedStore, Store as _};

use crate::records::{domain_of, server};

/// Custom domains in the table.
const DOMAINS: usize = 100_000;
/// Servers they belong to; none has a replica.
const SERVERS: usize = 1_000;
/// Records in one commit.
const COMMIT: usize = 5_000;

/// Makes the store's file.
///
/// # Errors
/// When it can't be written.
pub fn seed(file: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let store = EmbeddedStore::open(file)?;
    let servers = (0..SERVERS).map(server);
    let domains = (0..DOMAINS).map(|place| domain_of(place, place % SERVERS));
    let records: Vec<_> = servers.chain(domains).collect();
    for records in records.chunks(COMMIT) {
        let changes = records.iter().map(fprs_config::Record::change).collect();
        runtime
            .block_on(store.commit(changes, Vec::new()))
            .context("the benchmark's store")?;
    }
    Ok(())
}

/// Moves domain after domain from server to server; `turn` is how often all of them have moved.
#[must_use]
pub fn moved(place: usize) -> fprs_config::Change {
    let (turn, place) = (place / DOMAINS + 1, place % DOMAINS);
    domain_of(place, (place + turn) % SERVERS).change()
}
