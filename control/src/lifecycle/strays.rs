//! PURE. What relays run and the store doesn't want: stopped, once. What ended and is written down:
//! forgotten.

use std::sync::Arc;

use fprs_config::{ReplicaState, Snapshot};

use super::{Order, Plan};
use crate::fleet::Fleet;

/// Adds a Stop for every stray of a worker whose record is in force, and names what can be forgotten.
pub(super) fn plan(snapshot: &Snapshot, fleet: &Fleet, plan: &mut Plan) {
    for (worker, member) in fleet.members() {
        if member.settled(snapshot.worker(worker)).is_none() {
            continue;
        }
        for (id, running) in &member.running {
            if is_wanted(snapshot, worker, id) {
                continue;
            }
            if !running.phase.is_live() {
                plan.ended.push((Arc::clone(worker), Arc::clone(id)));
            } else if !running.stop_told {
                let replica = Arc::clone(id);
                plan.orders
                    .push((Arc::clone(worker), Order::Stop { replica }));
            }
        }
    }
}

/// The store wants that replica on that worker, or wants it and doesn't say where yet.
fn is_wanted(snapshot: &Snapshot, worker: &Arc<str>, replica: &str) -> bool {
    snapshot.replica(replica).is_some_and(|replica| {
        replica.state != ReplicaState::Failed
            && replica
                .worker
                .as_ref()
                .is_none_or(|placed| placed == worker)
    })
}
