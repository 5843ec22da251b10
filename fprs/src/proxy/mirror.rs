//! Mirrors: copies of requests for shadow servers. A copy is taken as the request passes, into a queue
//! that nobody waits for; a task of its own carries it to the shadow like any other exchange, so it is
//! balanced and counted there, and nowhere else. What copies hold is counted exactly; a copy that would
//! hold too much is cut with a reset. A server without mirrors pays one branch a request.

mod answer;
mod capture;
mod compare;
mod desk;
mod files;
mod findings;
mod metrics;
mod pipe;
mod purse;
mod report;
mod seen;
mod tally;
mod tap;
mod upload;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fprs_config::Mirror;
use fprs_forward::Owner;
use http::HeaderValue;

pub use answer::Shadow;
pub use desk::{Capture, Meeting};
pub use files::Spool;
pub use findings::{Asked, Findings};
pub use metrics::Metrics;
pub use pipe::Pipe;
pub use purse::{Account, Held, Over, Purse};
pub use report::Report;
pub use seen::{Kept, Recorder, Seen};
pub use tally::{Capturing, Ending, InFlight, Tally};
pub use tap::{Begun, Tap};
pub use upload::{Bucket, Uploader};

use self::desk::Desk;
use self::files::Files;
use super::sample::Sampler;

/// Bytes that all copies of a process may hold unless it is told otherwise: a quarter of what its
/// exchanges may.
pub const HELD_BYTES: usize = 256 * 1024 * 1024;

/// One tenant's copies may hold one part in so many of it, so that some tenants' shadows that stand
/// still leave room for others'.
const TENANT_PART: usize = 4;

/// Below so many nobody looks for what is gone.
const FEW: usize = 64;

/// A mirror as requests need it.
#[derive(Debug)]
pub struct Mirroring {
    /// What it is to do.
    pub record: Arc<Mirror>,
    /// Its name, for the shadow.
    pub name: HeaderValue,
    /// Whose requests are copied.
    pub sampler: Sampler,
    /// On whom the engine counts what copies hold: on nobody's tenant.
    pub owner: Owner,
    /// What became of its copies. The same through every edit.
    pub tally: Arc<Tally>,
    tenant: Arc<Purse>,
    process: Arc<Purse>,
    /// Exchanges are written down.
    captures: bool,
    /// Where answers are compared and exchanges written, where they are.
    desk: Option<Desk>,
}

impl Mirroring {
    /// Exchanges are written down.
    pub const fn captures(&self) -> bool {
        self.captures
    }

    /// For what one copy holds.
    pub fn account(&self) -> Arc<Account> {
        Account::new(self.record.exchange_bytes, &self.tenant, &self.process)
    }
}

/// What outlives the routes that mirrors are in. Written where the table is, and never looked at by a
/// request, whose route has its mirrors.
#[derive(Debug)]
pub struct Mirrors {
    process: Arc<Purse>,
    known: Mutex<Known>,
    desk: OnceLock<Option<Desk>>,
    /// Where captures are written, if anywhere.
    dir: Option<PathBuf>,
    /// What became of their files.
    spool: Arc<Spool>,
}

#[derive(Debug, Default)]
struct Known {
    tallies: HashMap<Arc<str>, Arc<Tally>>,
    purses: HashMap<Arc<str>, Arc<Purse>>,
}

impl Default for Mirrors {
    fn default() -> Self {
        Self::new(HELD_BYTES, None)
    }
}

impl Mirrors {
    /// Whose copies may hold so many bytes altogether, and whose captures are written in `dir`, if
    /// anywhere.
    pub fn new(limit: usize, dir: Option<PathBuf>) -> Self {
        Self {
            process: Purse::new(limit),
            known: Mutex::default(),
            desk: OnceLock::new(),
            dir,
            spool: Arc::default(),
        }
    }

    /// A record made ready for requests; `None`: it copies nothing, or its name is no header's value.
    pub fn of(&self, record: &Arc<Mirror>, tenant: &str) -> Option<Arc<Mirroring>> {
        if record.paused || record.serves {
            return None;
        }
        let sampler = Sampler::new(record)?;
        let captures = record.capture.is_some() && self.dir.is_some();
        let name: Arc<str> = record.name.as_str().into();
        let mut known = self.lock();
        known.forget();
        Some(Arc::new(Mirroring {
            name: HeaderValue::from_str(&record.name).ok()?,
            sampler,
            owner: Owner::server(&format!("mirror {name}").into()),
            tally: Arc::clone(known.tallies.entry(name).or_default()),
            tenant: {
                let limit = self.process.limit() / TENANT_PART;
                let purse = known.purses.entry(tenant.into());
                Arc::clone(purse.or_insert_with(|| Purse::new(limit)))
            },
            process: Arc::clone(&self.process),
            captures,
            desk: (captures || record.compare.is_some())
                .then(|| self.desk())
                .flatten(),
            record: Arc::clone(record),
        }))
    }

    /// The desk, from the first time on that somebody needs it.
    fn desk(&self) -> Option<Desk> {
        let files = || Some(Files::new(self.dir.clone()?, Arc::clone(&self.spool)));
        let open = || Desk::open(files());
        self.desk.get_or_init(open).clone()
    }

    /// Closes the files of captures: what is captured from now on begins others.
    pub async fn close_captures(&self) {
        if let Some(Some(desk)) = self.desk.get() {
            desk.close().await;
        }
    }

    /// The counts of the mirror of that name, if it is in a route or has a copy on its way.
    pub fn tally(&self, name: &str) -> Option<Arc<Tally>> {
        let known = self.lock();
        let tally = known.tallies.get(name);
        tally
            .filter(|tally| Arc::strong_count(tally) > 1)
            .map(Arc::clone)
    }

    /// What became of the files of captures.
    pub const fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// What all copies hold.
    pub fn process(&self) -> &Arc<Purse> {
        &self.process
    }

    /// Every mirror that is in a route or has a copy on its way, by name.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<Tally>)> {
        let known = self.lock();
        let used = known.tallies.iter();
        let used = used.filter(|(_, tally)| Arc::strong_count(tally) > 1);
        let mut all: Vec<_> = used
            .map(|(name, tally)| (Arc::clone(name), Arc::clone(tally)))
            .collect();
        drop(known);
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held; what is in it would be whole all the same.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Lets go of what nobody has any more, whenever there is no room, which costs no more than making
    /// some.
    fn forget(&mut self) {
        if self.tallies.len() >= FEW && self.tallies.len() == self.tallies.capacity() {
            self.tallies.retain(|_, tally| Arc::strong_count(tally) > 1);
        }
        if self.purses.len() >= FEW && self.purses.len() == self.purses.capacity() {
            self.purses.retain(|_, purse| Arc::strong_count(purse) > 1);
        }
    }
}
