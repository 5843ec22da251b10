//! The workers' side of control: the fleet's facts behind one lock, the open channels, and the
//! `Workers` service that relays attach to. The lock is held for plain computation only, never
//! across an await; a worker that doesn't take its orders is disconnected, never waited for.

mod channels;
mod session;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fprs_config::{Snapshot, Worker};
use fprs_proto::demand::RelayCounts;
use fprs_proto::worker as wire;
use tokio::sync::{Notify, mpsc};

use crate::counts;
use crate::fleet::{Fleet, HeldElsewhere, Running, SessionId};
use crate::lifecycle::{self, Now, Order, Plan};
use crate::place::NoRoom;
use crate::tail::{Tail, TailId, Tails};
use channels::Channels;
#[cfg(test)]
pub(crate) use channels::MAX_ORDERS;
pub(crate) use session::WorkersService;

/// Every attached worker. Shared by the service, the driver and the API.
pub(crate) struct Workers {
    lease: Duration,
    inner: Mutex<Inner>,
    /// Something was said that may change the plan.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    fleet: Fleet,
    channels: Channels,
    tails: Tails,
    waiting: BTreeMap<Arc<str>, NoRoom>,
    last_id: u64,
}

/// One worker, for the status page.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    /// Its channel is open.
    pub(crate) attached: bool,
    /// Since it last said anything.
    pub(crate) silent_for: Duration,
}

impl Workers {
    /// No worker yet.
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            lease,
            inner: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Silence for longer loses a worker its replicas.
    pub(crate) const fn lease(&self) -> Duration {
        self.lease
    }

    /// Waits until something was said that may change the plan; at once if it was since the last
    /// call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Plans and sends the plan's orders. What is left in it is for the store.
    pub(crate) fn act(&self, snapshot: &Snapshot, now: Now) -> Plan {
        let mut inner = self.lock();
        inner.fleet.meet(snapshot, now.instant);
        let mut plan = lifecycle::plan(snapshot, &inner.fleet, self.lease, now);
        for (worker, order) in std::mem::take(&mut plan.orders) {
            inner.send(&worker, order, self.lease);
        }
        for (worker, replica) in &plan.ended {
            if let Some(member) = inner.fleet.member_mut(worker) {
                member.running.remove(replica);
            }
        }
        for worker in &plan.gone {
            inner.fleet.forget(worker);
        }
        inner.waiting = std::mem::take(&mut plan.waiting);
        plan
    }

    /// Exchanges in flight on a replica, as its relay counts them.
    pub(crate) fn in_flight(&self, replica: &str) -> Option<u64> {
        let inner = self.lock();
        inner
            .fleet
            .find(replica)
            .map(|(_, running)| running.in_flight)
    }

    /// What the relays count that were heard lately.
    pub(crate) fn counts(&self, now: Instant) -> RelayCounts {
        counts::counts(&self.lock().fleet, now)
    }

    /// Exchanges in flight of every replica that runs, as relays said last.
    pub(crate) fn in_flight_of_all(&self) -> BTreeMap<Arc<str>, u64> {
        let inner = self.lock();
        let members = inner.fleet.members();
        let running = members.flat_map(|(_, member)| &member.running);
        running
            .map(|(replica, running)| (Arc::clone(replica), running.in_flight))
            .collect()
    }

    /// Why a server has a replica that finds no place, if it has one.
    pub(crate) fn waiting(&self, server: &str) -> Option<NoRoom> {
        self.lock().waiting.get(server).cloned()
    }

    /// How a worker is attached; `None` for one this process never heard of.
    pub(crate) fn attachment(&self, worker: &str, now: Instant) -> Option<Attachment> {
        let inner = self.lock();
        inner.fleet.member(worker).map(|member| Attachment {
            attached: member.session.is_some(),
            silent_for: now.saturating_duration_since(member.heard),
        })
    }

    /// How many workers are attached.
    pub(crate) fn attached(&self) -> usize {
        let inner = self.lock();
        inner
            .fleet
            .members()
            .filter(|(_, member)| member.session.is_some())
            .count()
    }

    /// Asks a worker for the output of one of its replicas, told to `tail` until its end; `None` if
    /// the worker is not attached.
    pub(crate) fn tail(
        &self,
        worker: &Arc<str>,
        replica: &str,
        lines: u32,
        follow: bool,
        tail: Tail,
    ) -> Option<TailId> {
        let mut inner = self.lock();
        let id = TailId(inner.next_id());
        let ask = wire::TailLogs {
            request: id.0,
            replica: replica.to_owned(),
            lines,
            follow,
        };
        inner
            .channels
            .send(worker, wire::to_worker::Message::TailLogs(ask))
            .ok()?;
        inner.tails.open(id, worker, tail);
        Some(id)
    }

    /// The reader of a tail is gone.
    pub(crate) fn cancel_tail(&self, id: TailId) {
        let mut inner = self.lock();
        if let Some(worker) = inner.tails.cancel(id) {
            let cancel = wire::CancelLogs { request: id.0 };
            let message = wire::to_worker::Message::CancelLogs(cancel);
            if let Err(error) = inner.channels.send(&worker, message) {
                tracing::debug!(%worker, %error, "a worker was not told to end a tail");
            }
        }
    }

    /// A relay said Hello: its session and what to send it, from now on.
    pub(crate) fn attach(
        &self,
        offer: Worker,
        running: BTreeMap<Arc<str>, Running>,
        now: Instant,
    ) -> Result<(SessionId, mpsc::Receiver<wire::ToWorker>), HeldElsewhere> {
        let mut inner = self.lock();
        let session = SessionId(inner.next_id());
        let id: Arc<str> = offer.id.as_str().into();
        inner
            .fleet
            .attach(offer, running, session, self.lease, now)?;
        inner.tails.end_of(&id);
        let orders = inner.channels.open(id, session);
        self.changed.notify_one();
        Ok((session, orders))
    }

    /// The session ended; nothing is done if another took its place.
    pub(crate) fn detach(&self, worker: &Arc<str>, session: SessionId) {
        let mut inner = self.lock();
        if inner.fleet.attached(worker, session).is_some() {
            inner.close(worker);
            self.changed.notify_one();
        }
    }

    /// Something came from a session.
    pub(crate) fn hear(
        &self,
        worker: &str,
        session: SessionId,
        message: wire::from_worker::Message,
        now: Instant,
    ) {
        use wire::from_worker::Message;
        let mut inner = self.lock();
        let Some(member) = inner.fleet.attached(worker, session) else {
            return;
        };
        member.heard = now;
        match message {
            Message::Hello(_) => tracing::debug!(worker, "a second Hello is ignored"),
            Message::Heartbeat(beat) => member.beat(beat),
            Message::Replica(update) => {
                if member.update(update) {
                    self.changed.notify_one();
                }
            }
            Message::Logs(logs) => inner.tails.tell(worker, logs),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends an order and remembers it; a worker that has no room for it is disconnected.
    fn send(&mut self, worker: &Arc<str>, order: Order, lease: Duration) {
        if order == Order::Disconnect {
            tracing::warn!(%worker, "a worker was silent for its lease; it is disconnected");
            self.close(worker);
            return;
        }
        if let Err(error) = self.channels.send(worker, channels::message(&order, lease)) {
            tracing::warn!(%worker, %error, "a worker does not take its orders; it is disconnected");
            self.close(worker);
            return;
        }
        let Some(member) = self.fleet.member_mut(worker) else {
            return;
        };
        match order {
            Order::Disconnect => {}
            Order::Start { replica, .. } => {
                member.running.insert(replica, Running::default());
            }
            Order::Stop { replica } => {
                if let Some(running) = member.running.get_mut(&replica) {
                    running.stop_told = true;
                }
            }
            Order::Welcome => member.welcomed = true,
        }
    }

    fn close(&mut self, worker: &Arc<str>) {
        if let Some(session) = self.channels.close(worker) {
            self.fleet.detach(worker, session);
        }
        self.tails.end_of(worker);
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}
