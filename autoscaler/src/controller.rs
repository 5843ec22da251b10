//! The loop of one autoscaler: holds the lease, ticks, and rushes when a server without a replica
//! is asked for. Nothing is ever done twice: it decides only by a view that shows its own last
//! commit, and every commit renews the lease, so that one whose answer was lost makes the next fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_config::candidate::{self, Candidate};
use fprs_config::{
    CommitError, Expectation, Key, Kind, Lease, Millis, Record, Revision, SharedStore, Snapshot,
    View,
};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::crosscheck::{Crosscheck, Disagreement};
use crate::demand::{Demand, Load, ORIGIN_LEASE_MS};
use crate::scaler::{Outcome, Pass, Scaler};
use crate::shared::Shared;
use crate::write::Writes;

/// The lease of whoever decides.
pub(crate) const LEASE: &str = "autoscaler";

/// Writes in one commit before the next begins: a record that changed meanwhile holds up only those
/// it was committed with, until the next tick.
const COMMIT_WRITES: usize = 128;

/// How long the view may take to show a commit before the lease is looked after again.
const VISIBLE: Duration = Duration::from_millis(250);

/// After taking the lease, how long until silence of a proxy means that there is none: its report
/// stream has to move here first.
const SETTLE_MS: u64 = ORIGIN_LEASE_MS + 1_000;

/// Ticks between looks for replicas and servers whose counts can be forgotten.
const FORGET_TICKS: u64 = 256;

pub(crate) struct Controller {
    store: SharedStore,
    view: View,
    shared: Arc<Shared>,
    candidate: Candidate,
    tick: Duration,
    /// The newest commit of this process; nothing is decided before the view shows it.
    committed: Revision,
}

/// What the holder of the lease knows.
struct Leading {
    lease: Lease,
    /// The lease's last write, which every commit expects.
    written: Revision,
    since_ms: u64,
    renewed_ms: u64,
    scaler: Scaler,
    crosscheck: Crosscheck,
    ticks: u64,
}

/// The lease was written by somebody else, or by a commit whose answer was lost.
struct Deposed;

impl Controller {
    pub(crate) fn new(
        store: SharedStore,
        view: View,
        shared: Arc<Shared>,
        candidate: Candidate,
        tick: Duration,
    ) -> Self {
        Self {
            store,
            view,
            shared,
            candidate,
            tick,
            committed: Revision::default(),
        }
    }

    /// Stands by, leads, stands by again; until dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let mut leading = self.campaign().await;
            self.shared.lead(true);
            tracing::info!(epoch = leading.lease.epoch, "this autoscaler decides");
            let Deposed = self.lead(&mut leading).await;
            self.shared.lead(false);
            tracing::warn!("this autoscaler lost its lease; standing by");
        }
    }

    /// Waits until the lease is free and takes it.
    async fn campaign(&mut self) -> Leading {
        let mut ticks = self.ticks();
        loop {
            ticks.tick().await;
            let snapshot = self.view.load();
            let key = Key::new(Kind::Lease, LEASE);
            let known = snapshot.lease(LEASE).map(Arc::as_ref);
            let known = known.zip(snapshot.written(&key));
            let now_ms = self.shared.now_ms();
            let Some(lease) = self.candidate.take(known, now_ms, unix_ms()) else {
                continue;
            };
            let expected = known.map(|(_, revision)| revision);
            let taken = Expectation {
                key,
                revision: expected,
            };
            let change = Record::Lease(lease.clone()).change();
            match self.store.commit(vec![change], vec![taken]).await {
                Ok(written) => {
                    self.committed = written;
                    return Leading {
                        lease,
                        written,
                        since_ms: now_ms,
                        renewed_ms: now_ms,
                        scaler: Scaler::default(),
                        crosscheck: Crosscheck::default(),
                        ticks: 0,
                    };
                }
                Err(error) => tracing::debug!(%error, "the lease could not be taken"),
            }
        }
    }

    async fn lead(&mut self, leading: &mut Leading) -> Deposed {
        let mut ticks = self.ticks();
        let shared = Arc::clone(&self.shared);
        loop {
            let rush = tokio::select! {
                // In this order no flood of rushes can hold up the ticks.
                biased;
                _ = ticks.tick() => false,
                () = shared.wake.notified() => true,
            };
            let Some(snapshot) = self.current().await else {
                continue;
            };
            let outcomes = if rush {
                self.rush(leading, &snapshot)
            } else {
                self.tick(leading, &snapshot)
            };
            if let Err(deposed) = self.carry_out(leading, outcomes).await {
                return deposed;
            }
        }
    }

    /// The snapshot in force, if it shows this process's own last commit.
    async fn current(&mut self) -> Option<Arc<Snapshot>> {
        let snapshot = timeout(VISIBLE, self.view.reached(self.committed)).await;
        if snapshot.is_err() {
            tracing::warn!(revision = %self.committed, "the view lags behind; not deciding");
        }
        snapshot.ok().flatten()
    }

    fn tick(&self, leading: &mut Leading, snapshot: &Snapshot) -> Vec<Outcome> {
        let now_ms = self.shared.now_ms();
        let mut demand = self.shared.demand();
        leading.ticks += 1;
        let changed = self.shared.changes.take(snapshot);
        leading.scaler.index(snapshot, &changed, now_ms);
        if leading.ticks.is_multiple_of(FORGET_TICKS) {
            demand.retain(
                |replica| snapshot.replica(replica).is_some(),
                |server| snapshot.server(server).is_some(),
            );
            let explanations = &self.shared.explanations;
            explanations.retain(|server| snapshot.server(server).is_some());
        }
        let loads = self.loads(leading, snapshot, &mut demand, now_ms);
        let pass = pass(leading.since_ms, snapshot, &demand, now_ms);
        let outcomes = leading.scaler.tick(&pass, &loads);
        self.record(&pass, &leading.scaler, &outcomes);
        outcomes
    }

    /// The load of every server: what proxies report, and what relays know of those that don't.
    fn loads(
        &self,
        leading: &mut Leading,
        snapshot: &Snapshot,
        demand: &mut Demand,
        now_ms: u64,
    ) -> HashMap<Arc<str>, Load> {
        let mut relays = self.shared.relays();
        relays.retain(now_ms);
        let counted = |replica: &str| {
            let worker = snapshot.replica(replica)?.worker.as_deref()?;
            relays.count(worker, replica, now_ms)
        };
        let mut loads = demand.tick_with(now_ms, &counted);
        if now_ms.saturating_sub(leading.since_ms) >= SETTLE_MS {
            let replicas = loads.values().flat_map(|load| &load.replicas);
            let reported = replicas.map(|(replica, count)| (replica, *count));
            let verdict = leading.crosscheck.look(now_ms, reported, &relays, &counted);
            if let Some(disagreeing) = verdict {
                let strangers = disagreeing.iter().filter_map(|disagreement| {
                    let replica = snapshot.replica(&disagreement.replica)?;
                    let (id, server) = (&replica.id, &replica.server);
                    Some((Arc::clone(id), Arc::clone(server), disagreement.hidden()))
                });
                demand.meet_strangers(strangers);
                self.alarm(&disagreeing);
            }
            demand.add_strangers(&mut loads, &counted);
        }
        loads
    }

    /// Says so when relays begin or cease to count other loads than proxies report.
    fn alarm(&self, disagreeing: &[Disagreement]) {
        let now = disagreeing.len();
        let before = self.shared.disagreeing.swap(now, Ordering::Relaxed);
        match disagreeing.first() {
            Some(Disagreement {
                replica,
                reported,
                counted,
            }) if before == 0 => tracing::warn!(
                replicas = now,
                %replica,
                ?reported,
                ?counted,
                "relays count other loads than proxies report; is a proxy cut off from here?"
            ),
            None if before > 0 => tracing::info!("relays count what proxies report again"),
            _ => {}
        }
    }

    /// Tells those who record. A server that came to rest leaves no history, and its next decision
    /// says so.
    fn record(&self, pass: &Pass<'_>, scaler: &Scaler, outcomes: &[Outcome]) {
        let recorders = &self.shared.recorders;
        if recorders.is_empty() {
            return;
        }
        for outcome in outcomes {
            let view = pass.snapshot.server(&outcome.server);
            let server = view.and_then(|view| view.server.as_ref());
            if let Some(decision) = &outcome.decision
                && let Some(server) = server
                && let Some(history) = scaler.history(&outcome.server)
            {
                recorders.tell(
                    &outcome.server,
                    pass.now_ms,
                    decision,
                    &server.scaling,
                    history,
                    outcome.fresh,
                );
            }
        }
    }

    fn rush(&self, leading: &mut Leading, snapshot: &Snapshot) -> Vec<Outcome> {
        let now_ms = self.shared.now_ms();
        let urgent = self.shared.take_urgent();
        let demand = self.shared.demand();
        let pass = pass(leading.since_ms, snapshot, &demand, now_ms);
        let scaler = &mut leading.scaler;
        let outcomes: Vec<Outcome> = urgent
            .iter()
            .filter_map(|server| scaler.rush(&pass, server))
            .collect();
        self.record(&pass, scaler, &outcomes);
        outcomes
    }

    /// Commits what the outcomes write, and the lease if it is time.
    async fn carry_out(
        &mut self,
        leading: &mut Leading,
        outcomes: Vec<Outcome>,
    ) -> Result<(), Deposed> {
        let mut writes = Writes::default();
        for outcome in outcomes {
            if let Some(decision) = outcome.decision {
                let explanations = &self.shared.explanations;
                explanations.add(&outcome.server, decision, unix_ms());
            }
            writes.extend(outcome.writes);
            if writes.changes.len() >= COMMIT_WRITES {
                self.commit(leading, std::mem::take(&mut writes)).await?;
            }
        }
        let due = self.shared.now_ms().saturating_sub(leading.renewed_ms) >= candidate::RENEW_MS;
        if due || !writes.is_empty() {
            self.commit(leading, writes).await?;
        }
        Ok(())
    }

    /// Commits these writes and the renewed lease. What did not happen is decided anew at the next
    /// tick.
    async fn commit(&mut self, leading: &mut Leading, writes: Writes) -> Result<(), Deposed> {
        let Writes {
            mut changes,
            mut expectations,
        } = writes;
        let lease = self.candidate.renew(&leading.lease, unix_ms());
        let record = Record::Lease(lease.clone());
        let key = record.key();
        changes.push(record.change());
        expectations.push(Expectation {
            key: key.clone(),
            revision: Some(leading.written),
        });
        let now_ms = self.shared.now_ms();
        match self.store.commit(changes, expectations).await {
            Ok(revision) => {
                leading.lease = lease;
                leading.written = revision;
                leading.renewed_ms = now_ms;
                self.committed = revision;
            }
            Err(CommitError::Conflict(keys)) if keys.contains(&key) => return Err(Deposed),
            Err(CommitError::Conflict(keys)) => {
                tracing::debug!(?keys, "changed meanwhile; deciding again");
            }
            Err(error @ CommitError::Refused(_)) => {
                tracing::error!(%error, "the store refused a scaling commit");
            }
            Err(error) => tracing::warn!(%error, "scaling could not be committed; trying again"),
        }
        Ok(())
    }

    fn ticks(&self) -> Interval {
        let mut ticks = interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }
}

fn pass<'a>(
    leading_since_ms: u64,
    snapshot: &'a Snapshot,
    demand: &'a Demand,
    now_ms: u64,
) -> Pass<'a> {
    Pass {
        snapshot,
        demand,
        settled: now_ms.saturating_sub(leading_since_ms) >= SETTLE_MS,
        now_ms,
        now_unix_ms: unix_ms(),
    }
}

fn unix_ms() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
