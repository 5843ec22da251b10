//! PURE. Workers come, come back as another process, and go: what is written of them, and which
//! replicas go with them in the same commit, so that the autoscaler replaces them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fprs_config::{Key, Kind, Record, Replica, ReplicaState, Snapshot, Worker, limits};

use super::{Now, Order, Plan};
use crate::commit::{Group, Note};
use crate::fleet::{Fleet, Member};

/// Adds the moves of every worker. Answers with those whose replicas are decided on here, as a
/// whole, and by nobody else in this plan.
pub(super) fn plan(
    snapshot: &Snapshot,
    fleet: &Fleet,
    lease: Duration,
    now: Now,
    plan: &mut Plan,
) -> BTreeSet<Arc<str>> {
    let mut leaving = BTreeSet::new();
    let mut arriving = BTreeSet::new();
    for (id, member) in fleet.members() {
        let record = snapshot.worker(id);
        if member.is_silent(lease, now.instant) {
            if member.session.is_some() {
                plan.orders.push((Arc::clone(id), Order::Disconnect));
            }
            leaving.insert(Arc::clone(id));
            continue;
        }
        let ends = member.heard + lease;
        plan.wake = Some(plan.wake.map_or(ends, |wake| wake.min(ends)));
        if member.session.is_some() && member.settled(record).is_none() {
            arriving.insert(Arc::clone(id));
        } else if member.session.is_some() && !member.welcomed {
            plan.orders.push((Arc::clone(id), Order::Welcome));
        }
    }
    if !leaving.is_empty() || !arriving.is_empty() {
        let replicas = replicas_by_worker(snapshot);
        let of = |worker: &Arc<str>| replicas.get(worker).map_or(&[][..], Vec::as_slice);
        for id in &leaving {
            leave(snapshot, id, of(id), plan);
        }
        for id in &arriving {
            if let Some(member) = fleet.member(id) {
                arrive(snapshot, id, member, of(id), plan);
            }
        }
    }
    leaving.append(&mut arriving);
    leaving
}

/// Its lease ended: the record goes, with every replica on it.
fn leave(snapshot: &Snapshot, id: &Arc<str>, replicas: &[&Arc<Replica>], plan: &mut Plan) {
    let mut group = Group::default();
    for replica in replicas.iter().take(MAX_LOST_AT_ONCE) {
        group.delete(snapshot, Key::new(Kind::Replica, &replica.id));
    }
    if snapshot.worker(id).is_some() && replicas.len() <= MAX_LOST_AT_ONCE {
        group.delete(snapshot, Key::new(Kind::Worker, id));
    }
    if group.is_empty() {
        plan.gone.push(Arc::clone(id));
        return;
    }
    group.note(Note::WorkerLost {
        worker: Arc::clone(id),
        replicas: replicas.len(),
    });
    plan.groups.push(group);
}

/// Its record is written; a relay that only connects again goes on draining, a new one takes
/// replicas. Replicas placed on an earlier process of that name are gone with it.
fn arrive(
    snapshot: &Snapshot,
    id: &Arc<str>,
    member: &Member,
    replicas: &[&Arc<Replica>],
    plan: &mut Plan,
) {
    let Some(offer) = &member.offer else {
        return;
    };
    let record = snapshot.worker(id);
    let same_process = record.filter(|record| record.epoch == offer.epoch);
    let draining = same_process.is_some_and(|record| record.draining);
    let same_process = same_process.is_some();
    let mut group = Group::default();
    group.put(
        snapshot,
        &Record::Worker(Worker {
            draining,
            ..offer.clone()
        }),
    );
    if !same_process {
        let lost = replicas
            .iter()
            .filter(|replica| !member.running.contains_key(&*replica.id));
        let mut count = 0;
        for replica in lost {
            group.delete(snapshot, Key::new(Kind::Replica, &replica.id));
            count += 1;
        }
        group.note(Note::WorkerArrived {
            worker: Arc::clone(id),
            lost: count,
        });
    }
    plan.groups.push(group);
}

/// Placed replicas that have not failed. Failed ones stay where they are, for users to see.
fn replicas_by_worker(snapshot: &Snapshot) -> BTreeMap<&Arc<str>, Vec<&Arc<Replica>>> {
    let mut index: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for replica in snapshot.replicas() {
        if let (Some(worker), false) = (&replica.worker, replica.state == ReplicaState::Failed) {
            index.entry(worker).or_default().push(replica);
        }
    }
    index
}

/// Replicas that go in one commit with their worker. A larger worker goes in more than one, its
/// record last: a store takes no commit without limit.
const MAX_LOST_AT_ONCE: usize = limits::COMMIT_WRITES / 2;
