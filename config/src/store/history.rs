//! PURE. The latest commits, within limits of count and bytes, for watchers to read at their own
//! pace: a watcher is a position in it. Whoever falls off its end is lost; nobody is waited for.

use std::sync::Arc;

use imbl::OrdMap;

use super::{Batch, admit};
use crate::key::Revision;
use crate::limits;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HistoryLimits {
    /// Commits.
    pub(crate) commits: usize,
    /// Bytes of keys and values.
    pub(crate) bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            commits: limits::HISTORY_COMMITS,
            bytes: limits::HISTORY_BYTES,
        }
    }
}

/// Every commit after `oldest` up to `latest`. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct History {
    limits: HistoryLimits,
    oldest: Revision,
    latest: Revision,
    batches: OrdMap<Revision, Arc<Batch>>,
    bytes: usize,
}

impl History {
    /// Nothing yet, at that revision.
    pub(crate) fn at(revision: Revision, limits: HistoryLimits) -> Self {
        Self {
            limits,
            oldest: revision,
            latest: revision,
            batches: OrdMap::new(),
            bytes: 0,
        }
    }

    /// The revision of the last commit told.
    pub(crate) const fn latest(&self) -> Revision {
        self.latest
    }

    /// Everything after this revision is here.
    pub(crate) const fn oldest(&self) -> Revision {
        self.oldest
    }

    /// Adds the next commit, forgetting the oldest ones over the limits; the newest is always kept.
    /// One that is not newer is ignored.
    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        if batch.revision <= self.latest {
            return;
        }
        self.latest = batch.revision;
        self.bytes = self.bytes.saturating_add(bytes(&batch));
        self.batches.insert(batch.revision, batch);
        while self.batches.len() > 1
            && (self.batches.len() > self.limits.commits || self.bytes > self.limits.bytes)
        {
            let Some((revision, forgotten)) = self.batches.get_min().cloned() else {
                break;
            };
            self.batches.remove(&revision);
            self.bytes = self.bytes.saturating_sub(bytes(&forgotten));
            self.oldest = revision;
        }
    }

    /// Notes that there is no other commit up to `revision`.
    pub(crate) fn advance(&mut self, revision: Revision) {
        self.latest = self.latest.max(revision);
    }

    /// Whether a watcher at `from` can go on without a gap.
    pub(crate) fn covers(&self, from: Revision) -> bool {
        self.oldest <= from && from <= self.latest
    }

    /// The first `limit` commits after `from`.
    pub(crate) fn after(&self, from: Revision, limit: usize) -> Vec<Arc<Batch>> {
        let next = Revision(from.0.saturating_add(1));
        self.batches
            .range(next..)
            .take(limit)
            .map(|(_, batch)| Arc::clone(batch))
            .collect()
    }
}

fn bytes(batch: &Batch) -> usize {
    batch
        .changes
        .iter()
        .map(admit::size)
        .fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, server};

    fn filled(commits: usize, bytes: usize, until: u64) -> History {
        let mut history = History::at(Revision(10), HistoryLimits { commits, bytes });
        for revision in 11..=until {
            history.push(Arc::new(batch(revision, vec![server("a").change()])));
        }
        history
    }

    fn revisions(history: &History, from: u64, limit: usize) -> Vec<u64> {
        history
            .after(Revision(from), limit)
            .iter()
            .map(|batch| batch.revision.0)
            .collect()
    }

    #[test]
    fn everything_within_the_limits_is_kept() {
        let history = filled(10, usize::MAX, 15);
        assert_eq!(revisions(&history, 10, 99), [11, 12, 13, 14, 15]);
        assert_eq!(revisions(&history, 13, 1), [14]);
        assert!(history.covers(Revision(10)) && history.covers(Revision(15)));
        assert!(!history.covers(Revision(9)) && !history.covers(Revision(16)));
    }

    #[test]
    fn the_oldest_go_first_and_the_newest_always_stays() {
        let history = filled(3, usize::MAX, 20);
        assert_eq!(revisions(&history, 0, 99), [18, 19, 20]);
        assert_eq!(history.oldest(), Revision(17));
        assert!(history.covers(Revision(17)) && !history.covers(Revision(16)));
        assert_eq!(revisions(&filled(100, 1, 20), 0, 99), [20]);
    }

    #[test]
    fn late_commits_are_ignored_and_progress_moves_the_end() {
        let mut history = filled(10, usize::MAX, 12);
        history.push(Arc::new(batch(12, Vec::new())));
        history.push(Arc::new(batch(3, Vec::new())));
        assert_eq!(revisions(&history, 10, 99), [11, 12]);
        history.advance(Revision(30));
        history.advance(Revision(20));
        assert_eq!(history.latest(), Revision(30));
        assert!(history.covers(Revision(25)));
    }
}
