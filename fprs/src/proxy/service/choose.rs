//! Which replica a request is offered to next: counted and with room on a connection before anything
//! is sent, never the same one twice, and at most [`ATTEMPTS`] altogether.

use std::sync::Arc;

use fprs_autoscaler_client::Guard;
use fprs_forward::budget::Shed;
use fprs_forward::exchange::unless_gone;
use fprs_forward::message::Gone;
use fprs_forward::upstream::Failure;
use fprs_forward::upstream::h2::Slot;
use fprs_forward::{Account, Answer, Downstream, Reason};
use tokio::time::Instant;

use super::Carrier;
use crate::proxy::access_log::Note;
use crate::proxy::table::{Replica, Route, Table};
use crate::proxy::{balance, clock};

/// Replicas one request is offered to before it is refused; the first and two more.
const ATTEMPTS: usize = 3;

/// What ended a request before its exchange.
pub(super) enum Refused {
    Answer(Answer),
    /// This process holds too much. Nothing of the request went anywhere: another proxy may have room.
    Full,
    Left,
}

impl From<Gone> for Refused {
    fn from(_: Gone) -> Self {
        Self::Left
    }
}

impl From<Shed> for Refused {
    fn from(_: Shed) -> Self {
        Self::Full
    }
}

impl From<Answer> for Refused {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// A replica that takes the request: counted, and with room on a connection.
pub(super) struct Chosen {
    pub(super) replica: Arc<Replica>,
    /// Counts the exchange to its end.
    pub(super) counted: Guard,
    pub(super) slot: Slot,
}

/// The replicas one request has been offered to.
#[derive(Default)]
pub(super) struct Offers {
    tried: Vec<Arc<str>>,
    /// Why the last of them didn't take it.
    last: Option<Reason>,
}

impl Offers {
    /// The replica didn't take the request.
    pub(super) fn refused(&mut self, replica: &Replica, reason: Reason) {
        self.tried.push(Arc::clone(replica.id()));
        self.last = Some(reason);
    }

    /// If the replica chosen last refuses too, there is another one.
    pub(super) fn may_follow(&self, route: &Route) -> bool {
        let offered = self.tried.len() + 1;
        offered < ATTEMPTS && route.ready.len() > offered
    }

    fn answer(&self) -> Answer {
        Answer::new(self.last.unwrap_or(Reason::UpstreamConnect))
    }
}

impl Carrier {
    /// Finds a replica that can be reached, waiting for one where the server holds requests.
    pub(super) async fn choose<D: Downstream>(
        &self,
        route: &mut Arc<Route>,
        offers: &mut Offers,
        account: &mut Account<'_>,
        note: &mut Note,
        downstream: &mut D,
    ) -> Result<Chosen, Refused> {
        while offers.tried.len() < ATTEMPTS {
            let now_us = clock::now_us();
            let now_ms = now_us / 1_000;
            let chosen = balance::choose(&route.ready, &offers.tried, now_ms, fastrand::u64(..));
            let Some(replica) = chosen.map(Arc::clone) else {
                if offers.tried.is_empty() {
                    // Boxed, like what else is rare: an exchange has no room for it in its future.
                    let held = self.hold(Arc::clone(route), account, downstream);
                    *route = Box::pin(held).await?;
                    continue;
                }
                break;
            };
            // Counted before anything is awaited, so that those who choose meanwhile see it.
            let counted = replica.begin_at(now_us);
            note.chosen(&replica);
            let peer = self.peers.get(&replica);
            let slot = match peer.room() {
                Some(slot) => Ok(slot),
                None => {
                    let room = account.unless_shed(downstream.window(), peer.reserve());
                    Box::pin(unless_gone(downstream, room)).await??
                }
            };
            match slot {
                Ok(slot) => {
                    return Ok(Chosen {
                        replica,
                        counted,
                        slot,
                    });
                }
                Err(failure) => {
                    if failure == Failure::Connect {
                        replica.eject(now_ms);
                    }
                    offers.refused(&replica, failure.into());
                    note.passed_over();
                    // What can't be reached for seconds may be replaced by now.
                    self.catch_up(route);
                }
            }
        }
        Err(offers.answer().into())
    }

    /// No replica is ready: tells the autoscaler, and waits as long as the server wants.
    async fn hold<D: Downstream>(
        &self,
        route: Arc<Route>,
        account: &mut Account<'_>,
        downstream: &mut D,
    ) -> Result<Arc<Route>, Refused> {
        route.demand.unserved();
        if route.hold.is_zero() {
            return Err(no_replica(&route).into());
        }
        let _waits = route.demand.wait();
        let deadline = Instant::now() + route.hold;
        let mut latest = route;
        loop {
            let edits = Arc::clone(&latest.edited);
            let edited = edits.notified();
            let mut edited = std::pin::pin!(edited);
            // Registered before the table is read, so that no edit falls in between.
            edited.as_mut().enable();
            latest = match Table::route(&self.tables.load(), &latest.server) {
                Some(route) => route,
                None => return Err(Answer::new(Reason::NoReplica).into()),
            };
            if !latest.ready.is_empty() {
                return Ok(latest);
            }
            let wait = tokio::time::timeout_at(deadline, edited);
            // The body that comes meanwhile is held in its window.
            let wait = account.unless_shed(downstream.window(), wait);
            if unless_gone(downstream, wait).await??.is_err() {
                return Err(no_replica(&latest).into());
            }
        }
    }
}

/// 503 with an honest guess: what the last start took, or a second.
fn no_replica(route: &Route) -> Answer {
    let reason = if route.starting {
        Reason::Starting
    } else {
        Reason::NoReplica
    };
    Answer::new(reason).retry_after(route.startup_ms.div_ceil(1_000).max(1))
}
