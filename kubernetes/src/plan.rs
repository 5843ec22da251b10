//! PURE. The next writes to the cluster: Deployments as large as the store has replicas, and of their
//! pods the right ones gone. The same input gives the same plan; what it remembers are times only.
//!
//! A pod that has a replica is never chosen. When a Deployment gets smaller, the pods to go are marked
//! first (`pod-deletion-cost`), so that Kubernetes takes these; one that can't be of use any more and is
//! not taken is deleted by name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fprs_config::{MadeFor, Snapshot};
use serde_json::Value;

use crate::cluster::{Cluster, Deployment, Pod, field};
use crate::settings::Settings;
use crate::wanted::{Wanted, wanted};
use crate::{drift, manifest};

/// One write. Those of a version are done in order, and after one that failed none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// A new Deployment.
    Create(Value),
    /// A Deployment as it is to be, if it is still as it was seen.
    Apply {
        /// Its name.
        name: String,
        /// All that is ours of it.
        deployment: Value,
    },
    /// Its number of pods alone, likewise.
    Scale {
        /// Its name.
        name: String,
        /// Its `resourceVersion`.
        version: String,
        /// How many.
        replicas: u32,
    },
    /// No Deployment any more.
    Remove {
        /// Its name.
        name: String,
        /// Which of that name.
        uid: String,
    },
    /// That pod goes first.
    Mark {
        /// Its name.
        pod: String,
        /// Which of that name.
        uid: String,
    },
    /// That pod goes.
    Delete {
        /// Its name.
        pod: String,
        /// Which of that name.
        uid: String,
    },
}

/// The next writes.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By what they are about.
    pub(crate) writes: Vec<(MadeFor, Vec<Step>)>,
    /// When to plan again if nothing happens.
    pub(crate) wake: Option<Instant>,
}

/// Since when things are as they are; nothing is lost with it but patience.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// More pods than replicas.
    surplus: BTreeMap<MadeFor, Instant>,
    /// Pods, by uid, that were seen marked.
    marked: BTreeMap<String, Instant>,
    /// Pods, by uid, whose relay was part of the plane.
    attached: BTreeSet<String>,
}

/// Pods that nobody needs wait so long for a replica: load comes back, and the store's replicas are away
/// for moments while one is replaced.
const IDLE_PATIENCE: Duration = Duration::from_secs(10);
/// For a Deployment that was made smaller to take its marked pods.
const TAKE_PATIENCE: Duration = Duration::from_secs(5);

/// What a pod is to the plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It has a replica.
    Occupied,
    /// It may get one.
    Idle,
    /// Never again: its replica has ended, or its relay was part of the plane and is lost.
    Spent,
}

/// The next writes to all that is this plane's.
pub(crate) fn plan(
    settings: &Settings,
    snapshot: &Snapshot,
    cluster: &Cluster,
    memory: &mut Memory,
    now: Instant,
) -> Plan {
    let mut wanted = wanted(snapshot, &settings.pods.compute_region);
    for deployment in cluster.deployments.all() {
        wanted.entry(deployment.made_for.clone()).or_default();
    }
    memory.forget(cluster, &wanted);
    let mut plan = Plan::default();
    for (made_for, wanted) in &wanted {
        let of = Of {
            settings,
            snapshot,
            made_for,
            wanted,
        };
        let deployment = cluster.deployments.get(&manifest::name(made_for));
        let steps = match deployment {
            None => of.create(),
            Some(deployment) if deployment.leaving => Vec::new(),
            // Another control process has seen more of the store.
            Some(deployment) if deployment.revision > snapshot.revision().0 => Vec::new(),
            Some(deployment) => {
                let pods: Vec<&Pod> = cluster.pods_of(made_for).collect();
                of.keep(deployment, &pods, memory, now, &mut plan.wake)
            }
        };
        if !steps.is_empty() {
            plan.writes.push((made_for.clone(), steps));
        }
    }
    plan
}

/// One version.
struct Of<'a> {
    settings: &'a Settings,
    snapshot: &'a Snapshot,
    made_for: &'a MadeFor,
    wanted: &'a Wanted,
}

impl Of<'_> {
    fn create(&self) -> Vec<Step> {
        let Some(version) = &self.wanted.version else {
            return Vec::new();
        };
        let deployment = manifest::deployment(
            &self.settings.pods,
            &self.settings.relay,
            self.made_for,
            version,
            self.wanted.replicas,
        );
        vec![Step::Create(self.stamped(deployment))]
    }

    fn keep(
        &self,
        deployment: &Deployment,
        pods: &[&Pod],
        memory: &mut Memory,
        now: Instant,
        wake: &mut Option<Instant>,
    ) -> Vec<Step> {
        if self.wanted.version.is_none() && self.wanted.replicas == 0 {
            return vec![Step::Remove {
                name: deployment.name.clone(),
                uid: deployment.uid.clone(),
            }];
        }
        let pods: Vec<(&Pod, Use)> = pods
            .iter()
            .map(|pod| (*pod, self.use_of(pod, memory)))
            .collect();
        let (size, go) = self.size(deployment, &pods, memory, now, wake);
        let mut steps: Vec<Step> = go
            .iter()
            .filter(|pod| !pod.marked)
            .map(|pod| mark(pod))
            .collect();
        for pod in &go {
            memory.marked.insert(pod.uid.clone(), now);
        }
        steps.extend(self.write(deployment, size));
        steps.extend(self.delete(&pods, &go, memory, now, wake));
        steps
    }

    fn use_of(&self, pod: &Pod, memory: &mut Memory) -> Use {
        if self.wanted.occupied.contains(pod.name.as_str()) {
            memory.attached.insert(pod.uid.clone());
            return Use::Occupied;
        }
        match self.snapshot.worker(&pod.name) {
            Some(worker) => {
                memory.attached.insert(pod.uid.clone());
                if worker.draining {
                    Use::Spent
                } else {
                    Use::Idle
                }
            }
            None if memory.attached.contains(&pod.uid) => Use::Spent,
            None => Use::Idle,
        }
    }

    /// How large the Deployment is to be, and which pods are to go for that.
    fn size<'p>(
        &self,
        deployment: &Deployment,
        pods: &[(&'p Pod, Use)],
        memory: &mut Memory,
        now: Instant,
        wake: &mut Option<Instant>,
    ) -> (u32, Vec<&'p Pod>) {
        let (wanted, has) = (self.wanted.replicas, deployment.replicas);
        let Some(surplus) = has.checked_sub(wanted).filter(|surplus| *surplus > 0) else {
            memory.surplus.remove(self.made_for);
            return (wanted, Vec::new());
        };
        let since = *memory.surplus.entry(self.made_for.clone()).or_insert(now);
        let mut go: Vec<&Pod> = of_use(pods, Use::Spent).collect();
        if now >= since + IDLE_PATIENCE {
            let mut idle: Vec<&Pod> = of_use(pods, Use::Idle).collect();
            idle.sort_by_key(|pod| pod.ready);
            go.extend(idle);
            go.truncate(surplus as usize);
            return (wanted, go);
        }
        earlier(wake, since + IDLE_PATIENCE);
        go.truncate(surplus as usize);
        let gone = u32::try_from(go.len()).unwrap_or(surplus);
        (has - gone, go)
    }

    fn write(&self, deployment: &Deployment, size: u32) -> Option<Step> {
        let Some(version) = &self.wanted.version else {
            return (size < deployment.replicas).then(|| Step::Scale {
                name: deployment.name.clone(),
                version: deployment.version.clone(),
                replicas: size,
            });
        };
        let metadata = field(&deployment.object, "metadata");
        let relay = manifest::relay_of(field(metadata, "annotations"));
        let relay = relay.as_ref().unwrap_or(&self.settings.relay);
        let pods = &self.settings.pods;
        let ours = manifest::deployment(pods, relay, self.made_for, version, size);
        (!drift::holds(&deployment.object, &ours)).then(|| Step::Apply {
            name: deployment.name.clone(),
            deployment: manifest::expecting(
                self.stamped(ours),
                &deployment.uid,
                &deployment.version,
            ),
        })
    }

    /// Pods that are of no use any more and that nobody takes.
    fn delete(
        &self,
        pods: &[(&Pod, Use)],
        go: &[&Pod],
        memory: &mut Memory,
        now: Instant,
        wake: &mut Option<Instant>,
    ) -> Vec<Step> {
        let idle = of_use(pods, Use::Idle).count();
        let waiting = (self.wanted.replicas as usize).saturating_sub(self.wanted.occupied.len());
        let mut steps = Vec::new();
        for pod in of_use(pods, Use::Spent) {
            if go.iter().any(|going| going.uid == pod.uid) {
                continue;
            }
            if pod.marked && waiting <= idle {
                let since = *memory.marked.entry(pod.uid.clone()).or_insert(now);
                if now < since + TAKE_PATIENCE {
                    earlier(wake, since + TAKE_PATIENCE);
                    continue;
                }
            }
            steps.push(Step::Delete {
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
            });
        }
        steps
    }

    fn stamped(&self, deployment: Value) -> Value {
        manifest::stamp(deployment, self.snapshot.revision().0)
    }
}

impl Memory {
    fn forget(&mut self, cluster: &Cluster, wanted: &BTreeMap<MadeFor, Wanted>) {
        let pods: BTreeSet<&str> = cluster.pods.all().map(|pod| pod.uid.as_str()).collect();
        self.marked.retain(|uid, _| pods.contains(uid.as_str()));
        self.attached.retain(|uid| pods.contains(uid.as_str()));
        self.surplus
            .retain(|made_for, _| wanted.contains_key(made_for));
    }
}

fn of_use<'p>(pods: &[(&'p Pod, Use)], wanted: Use) -> impl Iterator<Item = &'p Pod> {
    let of = pods.iter().filter(move |(_, is)| *is == wanted);
    of.map(|(pod, _)| *pod)
}

fn mark(pod: &Pod) -> Step {
    Step::Mark {
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
    }
}

fn earlier(wake: &mut Option<Instant>, at: Instant) {
    *wake = Some(wake.map_or(at, |wake| wake.min(at)));
}

#[cfg(test)]
mod tests;
