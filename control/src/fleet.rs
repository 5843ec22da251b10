//! PURE. What control knows of workers beyond the store: who is attached, when each was last heard,
//! what each says it runs. Nothing here outlives the process; a relay's Hello brings it back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_config::{Snapshot, Worker};
use fprs_proto::worker as wire;

/// Every worker the store or a session knows.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    members: BTreeMap<Arc<str>, Member>,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Member {
    /// When it last said anything, or when it was first met in the store.
    pub(crate) heard: Instant,
    /// Its open channel; `None` while it is away.
    pub(crate) session: Option<SessionId>,
    /// It was told that it is part of the plane, and may be told to start replicas.
    pub(crate) welcomed: bool,
    /// What its relay offered; `None` until one attached to this process.
    pub(crate) offer: Option<Worker>,
    /// What its relay runs: told to start by this process, or named in its Hello.
    pub(crate) running: BTreeMap<Arc<str>, Running>,
}

/// One attach of one relay; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionId(pub(crate) u64);

/// One replica on a relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// What the relay said of it last.
    pub(crate) phase: Phase,
    /// The relay was told to stop it.
    pub(crate) stop_told: bool,
    /// Exchanges in flight, as of the last heartbeat.
    pub(crate) in_flight: u64,
}

/// What a relay says of a replica. The last two are final.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Told to start, or starting.
    #[default]
    Starting,
    /// Its port accepts.
    Ready {
        /// From start to ready.
        startup_ms: u64,
    },
    /// Never ready in time, or died unasked.
    Failed {
        /// One line a user can act on.
        reason: String,
    },
    /// Ended because it was told to.
    Stopped,
}

/// Another process holds the worker's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldElsewhere;

impl Fleet {
    /// Every worker, by name.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Arc<str>, &Member)> {
        self.members.iter()
    }

    /// The worker of that name.
    pub(crate) fn member(&self, worker: &str) -> Option<&Member> {
        self.members.get(worker)
    }

    /// The worker whose channel that session is; `None` once another took its place.
    pub(crate) fn attached(&mut self, worker: &str, session: SessionId) -> Option<&mut Member> {
        self.members
            .get_mut(worker)
            .filter(|member| member.session == Some(session))
    }

    /// The same, whatever its session.
    pub(crate) fn member_mut(&mut self, worker: &str) -> Option<&mut Member> {
        self.members.get_mut(worker)
    }

    /// The replica as its relay sees it, on whichever worker.
    pub(crate) fn find(&self, replica: &str) -> Option<(&Arc<str>, &Running)> {
        self.members
            .iter()
            .find_map(|(worker, member)| Some((worker, member.running.get(replica)?)))
    }

    /// Takes in workers that only the store knows: each gets one lease from now to attach.
    pub(crate) fn meet(&mut self, snapshot: &Snapshot, now: Instant) {
        for worker in snapshot.workers() {
            if !self.members.contains_key(worker.id.as_str()) {
                let member = Member {
                    heard: now,
                    session: None,
                    welcomed: false,
                    offer: None,
                    running: BTreeMap::new(),
                };
                self.members.insert(worker.id.as_str().into(), member);
            }
        }
    }

    /// A relay said Hello. It takes the place of an earlier session of the same relay process, or of
    /// one that is away.
    ///
    /// # Errors
    /// When a relay process of another epoch is attached under that name and was heard within the
    /// lease: two relays share a name, or the one before is not known to be dead yet.
    pub(crate) fn attach(
        &mut self,
        offer: Worker,
        running: BTreeMap<Arc<str>, Running>,
        session: SessionId,
        lease: Duration,
        now: Instant,
    ) -> Result<(), HeldElsewhere> {
        if let Some(held) = self.members.get(offer.id.as_str())
            && held.session.is_some()
            && !held.is_silent(lease, now)
            && held
                .offer
                .as_ref()
                .is_some_and(|by| by.epoch != offer.epoch)
        {
            return Err(HeldElsewhere);
        }
        let member = Member {
            heard: now,
            session: Some(session),
            welcomed: false,
            running,
            offer: Some(offer.clone()),
        };
        self.members.insert(offer.id.into(), member);
        Ok(())
    }

    /// The session ended; the worker keeps its replicas until its lease ends.
    pub(crate) fn detach(&mut self, worker: &str, session: SessionId) {
        if let Some(member) = self.attached(worker, session) {
            member.session = None;
            member.welcomed = false;
        }
    }

    /// The store knows nothing of the worker any more, and it is away.
    pub(crate) fn forget(&mut self, worker: &str) {
        if self
            .members
            .get(worker)
            .is_some_and(|member| member.session.is_none())
        {
            self.members.remove(worker);
        }
    }
}

impl Member {
    /// It has said nothing for a whole lease.
    pub(crate) fn is_silent(&self, lease: Duration, now: Instant) -> bool {
        now >= self.heard + lease
    }

    /// What it offers, once its record says the same: only then are its replicas decided on.
    pub(crate) fn settled(&self, record: Option<&Arc<Worker>>) -> Option<&Worker> {
        let offer = self.offer.as_ref().filter(|_| self.session.is_some())?;
        record?.is_offered(offer).then_some(offer)
    }

    /// What it said of a replica that has come to its end, once its record says the same: that stays
    /// so when the relay, which may have had nothing else to say, has gone.
    pub(crate) fn last_word(
        &self,
        record: Option<&Arc<Worker>>,
        replica: &str,
    ) -> Option<&Running> {
        let offer = self.offer.as_ref()?;
        let running = self.running.get(replica)?;
        let known = record?.is_offered(offer);
        (known && !running.phase.is_live()).then_some(running)
    }

    /// What it offers, if replicas can be placed on it.
    pub(crate) fn takes_replicas(&self, record: Option<&Arc<Worker>>) -> Option<&Worker> {
        let draining = record.is_some_and(|record| record.draining);
        let takes = self.welcomed && !draining;
        self.settled(record).filter(|_| takes)
    }

    /// Exchanges in flight, as the relay counts them. Replicas it was not told to run are ignored.
    pub(crate) fn beat(&mut self, beat: wire::Heartbeat) {
        for count in beat.in_flight {
            if let Some(running) = self.running.get_mut(count.replica.as_str()) {
                running.in_flight = count.count;
            }
        }
    }

    /// What the relay says of one replica; false where that changes nothing.
    pub(crate) fn update(&mut self, update: wire::ReplicaUpdate) -> bool {
        let Some(running) = self.running.get_mut(update.replica.as_str()) else {
            return false;
        };
        let Some(phase) = Phase::try_from_wire(update) else {
            return false;
        };
        let back = phase == Phase::Starting && running.phase != Phase::Starting;
        if !running.phase.is_live() || back || running.phase == phase {
            return false;
        }
        running.phase = phase;
        true
    }
}

impl Phase {
    /// The program runs or is about to.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self, Self::Starting | Self::Ready { .. })
    }

    /// `None` for a phase this build doesn't know.
    pub(crate) fn try_from_wire(update: wire::ReplicaUpdate) -> Option<Self> {
        match update.phase() {
            wire::Phase::Unspecified => None,
            wire::Phase::Starting => Some(Self::Starting),
            wire::Phase::Ready => Some(Self::Ready {
                startup_ms: update.startup_ms,
            }),
            wire::Phase::Failed => Some(Self::Failed {
                reason: update.reason,
            }),
            wire::Phase::Stopped => Some(Self::Stopped),
        }
    }
}
