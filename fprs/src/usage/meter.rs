//! Measures how long replicas run, once a second, in the one process that decides about them: so each
//! second of a replica is counted once, however many processes there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_config::{ReplicaState, Snapshot, View};
use tokio::time::{MissedTickBehavior, interval};

use super::Usage;

/// Between two looks: a replica's time is told to about a second.
const EVERY: Duration = Duration::from_secs(1);

/// A process that hung was not the one that decides, or nobody knows what ran meanwhile.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts replicas.
#[expect(missing_debug_implementations, reason = "a check has none")]
pub struct Meter {
    /// Where they are counted.
    pub usage: Usage,
    /// What runs.
    pub view: View,
    /// Whether this process decides.
    pub leads: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Meter {
    /// Counts until it is dropped.
    pub async fn run(self) {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<Instant> = None;
        loop {
            every.tick().await;
            let now = Instant::now();
            let since = last.replace(now).map(|last| now.duration_since(last));
            if !(self.leads)() {
                last = None;
                continue;
            }
            let Some(since) = since.filter(|since| *since <= LONGEST) else {
                continue;
            };
            count(&self.usage, &self.view.load(), since);
        }
    }
}

/// What runs has run for so long.
fn count(usage: &Usage, snapshot: &Snapshot, time: Duration) {
    let mut running: HashMap<&Arc<str>, u32> = HashMap::new();
    for replica in snapshot.replicas() {
        if is_running(replica.state) {
            *running.entry(&replica.server).or_default() += 1;
        }
    }
    for (server, replicas) in running {
        let view = snapshot.server(server);
        let record = view.and_then(|view| view.server.as_ref());
        let tenant = record.map_or(super::OTHERS, |record| record.tenant());
        usage.of(tenant, server).replicas(time * replicas);
    }
}

/// A worker has it: its program runs, or is being started or stopped.
const fn is_running(state: ReplicaState) -> bool {
    match state {
        ReplicaState::Starting
        | ReplicaState::Ready
        | ReplicaState::Draining
        | ReplicaState::Stopping => true,
        ReplicaState::Requested | ReplicaState::Failed => false,
    }
}
