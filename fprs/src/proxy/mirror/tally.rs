//! PURE. What became of one mirror's copies, how many are on their way, and what their answers were
//! like.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{Findings, Over};

/// What became of a request that a mirror is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The shadow answered whole, whatever it said.
    Complete,
    /// The shadow began and failed.
    Failed,
    /// No program got it: the shadow's relay refused it or couldn't be reached.
    Refused,
    /// The shadow is no server of the same tenant, or has no replica.
    NoReplica,
    /// It took too long.
    Deadline,
    /// It would have held more than one copy may.
    OverExchange,
    /// It would have held more than its tenant's copies may.
    OverTenant,
    /// It would have held more than all copies may.
    OverProcess,
    /// The client left, and the copy with it.
    ClientLeft,
    /// The server answered before it had the whole request, which is read no further.
    Early,
    /// As many copies were in flight as may be, or the core had too much to do: it was not begun.
    Busy,
    /// WebSockets are not copied: their two sides answer each other.
    WebSocket,
    /// The request has nothing of what decides.
    NoKey,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 13] = [
        Self::Complete,
        Self::Failed,
        Self::Refused,
        Self::NoReplica,
        Self::Deadline,
        Self::OverExchange,
        Self::OverTenant,
        Self::OverProcess,
        Self::ClientLeft,
        Self::Early,
        Self::Busy,
        Self::WebSocket,
        Self::NoKey,
    ];

    /// Its name in metrics and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::NoReplica => "no_replica",
            Self::Deadline => "deadline",
            Self::OverExchange => "over_exchange_limit",
            Self::OverTenant => "over_tenant_limit",
            Self::OverProcess => "over_process_limit",
            Self::ClientLeft => "client_left",
            Self::Early => "answered_early",
            Self::Busy => "busy",
            Self::WebSocket => "websocket",
            Self::NoKey => "no_key",
        }
    }
}

impl From<Over> for Ending {
    fn from(over: Over) -> Self {
        match over {
            Over::Exchange => Self::OverExchange,
            Over::Tenant => Self::OverTenant,
            Over::Process => Self::OverProcess,
        }
    }
}

/// One mirror's counts.
#[derive(Debug, Default)]
pub struct Tally {
    ended: [AtomicU64; Ending::ALL.len()],
    in_flight: AtomicU32,
    /// What comparing its answers came to.
    pub findings: Findings,
}

/// A copy on its way, counted until this is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Tally>);

impl Tally {
    /// A copy begins, if fewer than `most` are on their way.
    pub fn begin(self: &Arc<Self>, most: u32) -> Option<InFlight> {
        let one_more = |count: u32| (count < most).then(|| count + 1);
        self.in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
            .map(|_| InFlight(Arc::clone(self)))
    }

    /// So it ended.
    pub fn count(&self, ending: Ending) {
        if let Some(count) = self.ended.get(ending as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many ended so.
    pub fn ended(&self, ending: Ending) -> u64 {
        let count = self.ended.get(ending as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Copies on their way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_copies_begin_than_may() {
        let tally = Arc::new(Tally::default());
        let first = tally.begin(2).unwrap();
        let second = tally.begin(2).unwrap();
        assert!(tally.begin(2).is_none() && tally.in_flight() == 2);
        drop(first);
        assert!(tally.begin(2).is_some());
        drop(second);
        assert_eq!(tally.in_flight(), 0);
    }

    #[test]
    fn every_ending_has_its_own_count_and_name() {
        let tally = Tally::default();
        for (times, ending) in (1..).zip(Ending::ALL) {
            (0..times).for_each(|_| tally.count(ending));
        }
        for (times, ending) in (1..).zip(Ending::ALL) {
            assert_eq!(tally.ended(ending), times);
            let same = |other: &&Ending| other.name() == ending.name();
            assert_eq!(Ending::ALL.iter().filter(same).count(), 1);
        }
    }
}
