//! What tenants use, by server: exchanges, bytes of bodies, and seconds of replicas. A process counts
//! its own part and keeps it by month in a file of its own in the data dir, which outlives it: what is
//! lost when it is killed is what it counted since the file was written last.

mod files;
mod meter;
mod metrics;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

pub use self::meter::Meter;
pub use self::metrics::Metrics;

use self::files::{Files, Month};

/// Between two writings of the file: what a process that is killed loses.
pub const EVERY: Duration = Duration::from_secs(10);

/// Servers that are counted by name in one process; what more there are is counted together.
const SERVERS: usize = 200_000;

/// What those that are not counted by name are called.
const OTHERS: &str = "*";

/// What tenants use of this process.
#[derive(Clone, Debug, Default)]
pub struct Usage(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// Nowhere in tests of single parts.
    files: Option<Mutex<Files>>,
}

/// In the order in which they came.
#[derive(Debug, Default)]
struct Known {
    places: HashMap<Name, usize, foldhash::fast::RandomState>,
    counted: Vec<(Name, Arc<Counts>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    tenant: Arc<str>,
    server: Arc<str>,
}

/// What one server used of this process since it started.
#[derive(Debug, Default)]
pub struct Counts {
    exchanges: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    replica_ms: AtomicU64,
}

impl Counts {
    /// An exchange with a replica has ended; so many bytes of bodies went to the program and came
    /// from it.
    pub fn exchange(&self, received: u64, sent: u64) {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.received_bytes.fetch_add(received, Ordering::Relaxed);
        self.sent_bytes.fetch_add(sent, Ordering::Relaxed);
    }

    /// Replicas ran for so long, all together.
    fn replicas(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.replica_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn used(&self) -> Used {
        Used {
            exchanges: self.exchanges.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            replica_ms: self.replica_ms.load(Ordering::Relaxed),
        }
    }
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Used {
    /// Exchanges with replicas that have ended.
    pub exchanges: u64,
    /// Of bodies, to programs.
    pub received_bytes: u64,
    /// Of bodies, to clients.
    pub sent_bytes: u64,
    /// One replica for a second is 1,000.
    pub replica_ms: u64,
}

impl Used {
    fn plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    fn minus(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }

    fn each(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            exchanges: of(self.exchanges, other.exchanges),
            received_bytes: of(self.received_bytes, other.received_bytes),
            sent_bytes: of(self.sent_bytes, other.sent_bytes),
            replica_ms: of(self.replica_ms, other.replica_ms),
        }
    }
}

/// What a server of a tenant used.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct OfServer {
    /// Whose it is, or was.
    pub tenant: Arc<str>,
    /// Its name.
    pub server: Arc<str>,
    /// What it used.
    #[serde(flatten)]
    pub used: Used,
}

impl Usage {
    /// Kept in that directory, which is made when there is something to write.
    pub fn kept_in(dir: PathBuf) -> Self {
        let files = Files::new(dir, SystemTime::now());
        Self(Arc::new(Shared {
            known: Mutex::default(),
            files: Some(Mutex::new(files)),
        }))
    }

    /// The counts of a server; the same ones for the same names. Not for every request: whoever
    /// routes asks once.
    pub fn of(&self, tenant: &str, server: &Arc<str>) -> Arc<Counts> {
        let mut known = lock(&self.0.known);
        let name = Name {
            tenant: tenant.into(),
            server: Arc::clone(server),
        };
        if known.counted.len() >= SERVERS && !known.places.contains_key(&name) {
            return known.counts(Name {
                tenant: OTHERS.into(),
                server: OTHERS.into(),
            });
        }
        known.counts(name)
    }

    /// Since this process started, in the order in which they came.
    fn since_start(&self) -> Vec<OfServer> {
        let known = lock(&self.0.known);
        let of = |(name, counts): &(Name, Arc<Counts>)| OfServer {
            tenant: Arc::clone(&name.tenant),
            server: Arc::clone(&name.server),
            used: counts.used(),
        };
        known.counted.iter().map(of).collect()
    }

    /// Writes what there is. Waits for the disk.
    ///
    /// # Errors
    /// It can't be written.
    pub fn save(&self) -> io::Result<()> {
        let Some(files) = &self.0.files else {
            return Ok(());
        };
        lock(files).save(&self.since_start(), SystemTime::now())
    }

    /// What every process of this data dir used in a month, `2026-11`, by tenant and server; `None`
    /// for the month: this one. Waits for the disk.
    ///
    /// # Errors
    /// It is no month, or a file can't be read or written.
    pub fn of_month(&self, month: Option<&str>) -> io::Result<(String, Vec<OfServer>)> {
        let month = match month {
            Some(month) => Month::parse(month).ok_or_else(|| {
                let what = format!("`{month}` is no month like 2026-11");
                io::Error::new(io::ErrorKind::InvalidInput, what)
            })?,
            None => Month::of(SystemTime::now()),
        };
        self.save()?;
        let used = match &self.0.files {
            Some(files) => lock(files).read(&month)?,
            None => self.since_start(),
        };
        Ok((month.to_string(), used))
    }
}

impl Known {
    fn counts(&mut self, name: Name) -> Arc<Counts> {
        let place = *self.places.entry(name).or_insert_with_key(|name| {
            self.counted.push((name.clone(), Arc::default()));
            self.counted.len() - 1
        });
        let counts = self.counted.get(place).map(|(_, counts)| counts);
        counts.map(Arc::clone).unwrap_or_default()
    }
}

/// Writes every few seconds, until it is dropped. What can't be written is said once until it can.
pub async fn keep(usage: Usage) {
    let mut fails = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let kept = usage.clone();
        let saved = tokio::task::spawn_blocking(move || kept.save()).await;
        match saved {
            Ok(Ok(())) => fails = false,
            Ok(Err(error)) if !std::mem::replace(&mut fails, true) => {
                tracing::error!(%error, "what tenants use can't be written: it is kept in memory only");
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!(%error, "writing what tenants use failed"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one is held; what is in it would be whole all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
