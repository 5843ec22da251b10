//! The loop behind control: whenever the snapshot or a worker's word changes, plan; orders go out at
//! once, writes one commit at a time. A commit is not waited for by orders, and no write is planned
//! against a snapshot that the last commit has not reached.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fprs_config::{Key, Revision, SharedStore, Snapshot, View};

use crate::commit::{self, Group, Note, Outcome};
use crate::lifecycle::Now;
use crate::metrics::Metrics;
use crate::workers::Workers;

/// Runs until the view's follower ends.
pub(crate) struct Driver {
    pub(crate) store: SharedStore,
    pub(crate) view: View,
    pub(crate) workers: Arc<Workers>,
    pub(crate) metrics: Metrics,
}

type Commit = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What the next commit waits for.
#[derive(Debug, Default)]
struct Gate {
    /// The snapshot has to hold what was committed last.
    revision: Revision,
    /// A pause after something that planning again at once would only repeat.
    until: Option<Instant>,
    /// Records of groups the store refused, and until when they are left alone.
    benched: BTreeMap<Key, Instant>,
}

impl Driver {
    pub(crate) async fn run(mut self) {
        let mut gate = Gate::default();
        let mut commit: Option<Commit> = None;
        loop {
            let snapshot = self.view.load();
            let now = Now::read();
            let plan = self.workers.act(&snapshot, now);
            self.count_workers();
            if commit.is_none() && gate.is_open(&snapshot, now.instant) {
                let groups = commit::first_of(gate.let_through(plan.groups, now.instant));
                if !groups.is_empty() {
                    let store = Arc::clone(&self.store);
                    commit = Some(Box::pin(commit::commit(store, groups)));
                }
            }
            let wake = plan.wake.into_iter().chain(gate.until).min();
            tokio::select! {
                changed = self.view.changed() => if changed.is_none() {
                    tracing::info!("the store's follower ended; control stops");
                    return;
                },
                () = self.workers.changed() => {}
                outcome = finished(&mut commit) => {
                    commit = None;
                    self.metrics.count(&outcome);
                    log(&outcome);
                    gate.learn(outcome, Instant::now());
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    fn count_workers(&self) {
        let attached = i64::try_from(self.workers.attached()).unwrap_or(i64::MAX);
        self.metrics.workers_attached.set(attached);
    }
}

impl Gate {
    fn is_open(&mut self, snapshot: &Snapshot, now: Instant) -> bool {
        self.until = self.until.filter(|until| now < *until);
        self.until.is_none() && snapshot.revision() >= self.revision
    }

    fn let_through(&mut self, mut groups: Vec<Group>, now: Instant) -> Vec<Group> {
        self.benched.retain(|_, until| now < *until);
        if !self.benched.is_empty() {
            let benched = |key: &Key| self.benched.contains_key(key);
            groups.retain(|group| !group.keys().iter().any(benched));
        }
        groups
    }

    fn learn(&mut self, outcome: Outcome, now: Instant) {
        self.revision = outcome.revision.unwrap_or_default().max(self.revision);
        if outcome.failed.is_some() {
            self.until = Some(now + FAILED_PAUSE);
        } else if outcome.conflicts > 0 {
            self.until = Some(now + CONFLICT_PAUSE);
        }
        for (keys, _) in outcome.refused {
            self.benched
                .extend(keys.into_iter().map(|key| (key, now + REFUSED_PAUSE)));
        }
    }
}

impl Now {
    pub(crate) fn read() -> Self {
        Self {
            instant: Instant::now(),
            unix_ms: unix_ms(),
        }
    }
}

/// Milliseconds since the Unix epoch; 0 before it.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// What came of the commit; for ever pending without one. Safe to drop half-way.
async fn finished(commit: &mut Option<Commit>) -> Outcome {
    match commit {
        Some(commit) => commit.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

fn log(outcome: &Outcome) {
    for note in &outcome.notes {
        match note {
            Note::Failed {
                replica,
                server,
                reason,
            } => tracing::warn!(%server, %replica, reason, "a replica failed"),
            Note::Ready {
                replica,
                server,
                startup_ms,
            } => tracing::info!(%server, %replica, startup_ms, "a replica is ready"),
            Note::WorkerArrived { worker, lost } => {
                tracing::info!(%worker, lost_replicas = lost, "a worker is part of the plane");
            }
            Note::WorkerLost { worker, replicas } => {
                tracing::warn!(%worker, replicas, "a worker was silent for its lease; its replicas are given up");
            }
        }
    }
    for (keys, reason) in &outcome.refused {
        let records = keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        tracing::error!(
            ?records,
            reason,
            "the store refuses a write; it is tried again later"
        );
    }
    if let Some(error) = &outcome.failed {
        tracing::error!(%error, "the store does not take writes; replicas keep running meanwhile");
    }
    if outcome.conflicts > 0 {
        tracing::debug!(
            groups = outcome.conflicts,
            "somebody else was faster; planning again"
        );
    }
}

/// After a conflict, for the other's write to arrive here; the usual wait is a fraction of it.
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);
/// Between two tries while the store doesn't answer.
const FAILED_PAUSE: Duration = Duration::from_millis(500);
/// Between two tries of what the store refused: only an operator or a new build mends that.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
