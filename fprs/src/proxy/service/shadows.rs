//! Requests on servers with mirrors: the request goes its way through a tap, and each copy of it is
//! carried to its shadow by a task of its own, like any other exchange, once and within its deadline. It
//! leaves with the request's answer, or a moment after the request.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::record::is_secret;
use fprs_forward::downstream::Inbound;
use fprs_forward::exchange::{End, Outcome};
use fprs_forward::stall::Stalls;
use fprs_forward::upstream::Failure;
use fprs_forward::{Body, Downstream, Reason, Sending, fields};
use http::Request;

use super::choose::Refused;
use super::{Carrier, Proxy, Terms};
use crate::proxy::access_log::Note;
use crate::proxy::clock;
use crate::proxy::mirror::{
    Asked, Begun, Capture, Ending, Held, Meeting, Mirroring, Pipe, Shadow, Tap,
};
use crate::proxy::table::{Route, Table};

impl Proxy {
    /// The copies of a request that are to be begun; `None`: there are none. What a mirror can't take is
    /// counted.
    pub(super) fn copies(
        &self,
        route: &Route,
        inbound: &Inbound,
        note: &mut Note,
    ) -> Option<Vec<Copy>> {
        if route.mirrors.is_empty() {
            return None;
        }
        let mut copies = Vec::new();
        for mirror in &route.mirrors {
            match mirror.sampler.takes(inbound, &self.edges, note) {
                Some(true) if inbound.body == Body::Tunnel => {
                    mirror.tally.count(Ending::WebSocket);
                }
                Some(true) => match self.carrier.in_vain(mirror, route) {
                    Some(why) => mirror.tally.count(why),
                    None => copies.extend(Copy::new(Arc::clone(mirror), route, inbound)),
                },
                Some(false) => {}
                None => mirror.tally.count(Ending::NoKey),
            }
        }
        (!copies.is_empty()).then_some(copies)
    }
}

impl Carrier {
    /// Why a copy would come to nothing, so that none is made: the shadow isn't there, has nobody who
    /// could take it, or couldn't be reached a moment ago. A request that is written down has its copy all
    /// the same.
    fn in_vain(&self, mirror: &Mirroring, route: &Route) -> Option<Ending> {
        if mirror.captures() {
            return None;
        }
        let shadow = Table::route(&self.tables.load(), &mirror.record.shadow);
        let Some(shadow) = shadow.filter(|shadow| shadow.tenant.name() == route.tenant.name())
        else {
            return Some(Ending::NoReplica);
        };
        if shadow.ready.is_empty() {
            if !shadow.hold.is_zero() {
                return None;
            }
            shadow.demand.unserved();
            return Some(Ending::NoReplica);
        }
        let now_ms = clock::now_ms();
        let alone = shadow
            .ready
            .iter()
            .all(|replica| replica.is_ejected(now_ms));
        alone.then_some(Ending::Refused)
    }

    /// As [`offer`](Self::offer), through a tap that the copies are taken from.
    pub(super) async fn mirrored<D: Downstream>(
        self: &Rc<Self>,
        copies: Vec<Copy>,
        route: Arc<Route>,
        inbound: &mut Inbound,
        terms: &mut Terms<'_>,
        downstream: &mut D,
    ) -> Result<Outcome, Refused> {
        let carrier = Rc::clone(self);
        let begin = |stalls: &Rc<Stalls>| {
            let begun = copies
                .into_iter()
                .filter_map(|copy| copy.begin(&carrier, stalls));
            begun.collect()
        };
        let mut tap = Tap::new(downstream, begin);
        let ended = self.offer(route, inbound, terms, &mut tap).await;
        let left = matches!(
            ended,
            Err(Refused::Left)
                | Ok(Outcome {
                    end: End::Client(_),
                    ..
                })
        );
        tap.settle(left);
        ended
    }

    /// Carries one copy to its end.
    async fn copied(
        self: Rc<Self>,
        copy: Copy,
        pipe: Rc<Pipe>,
        meeting: Option<Rc<Meeting>>,
        stalls: Rc<Stalls>,
    ) {
        let Copy {
            mirror,
            tenant,
            mut inbound,
            held,
        } = copy;
        let carried = async {
            let released = poll_fn(|cx| pipe.poll_released(cx));
            tokio::time::timeout(LEAVES_WITHIN, released).await.ok();
            if let Some(why) = pipe.why() {
                return why;
            }
            // From here on, its answer's times are the shadow's.
            let recorder = meeting.as_ref().map(|meeting| meeting.recorder());
            let mut shadow = Shadow::new(Rc::clone(&pipe), stalls, recorder);
            let carried = self.to_shadow(&mirror, &tenant, &mut inbound, &mut shadow);
            let ended = carried.await;
            if ended == Ending::Complete
                && let Some((meeting, seen)) = meeting.zip(shadow.seen())
            {
                meeting.shadow(seen);
            }
            ended
        };
        let ended = tokio::time::timeout(mirror.record.deadline, carried).await;
        let ended = ended.unwrap_or(Ending::Deadline);
        drop(held);
        mirror.tally.count(pipe.why().unwrap_or(ended));
    }

    async fn to_shadow(
        &self,
        mirror: &Mirroring,
        tenant: &str,
        inbound: &mut Inbound,
        shadow: &mut Shadow,
    ) -> Ending {
        let route = Table::route(&self.tables.load(), &mirror.record.shadow);
        let Some(route) = route.filter(|route| *route.tenant.name() == *tenant) else {
            return Ending::NoReplica;
        };
        // Sent once: what a shadow has refused is not worth another try.
        let terms = &mut Terms {
            owner: &mirror.owner,
            sending: Sending::once(),
            note: &mut Note::nothing(),
            failed: &mut false,
        };
        let ended = self.offer(route, inbound, terms, shadow);
        match ended.await {
            Ok(outcome) => match outcome.end {
                End::Complete if shadow.was_refused() => Ending::Refused,
                End::Complete => Ending::Complete,
                End::Client(_) => Ending::ClientLeft,
                End::Shed => Ending::OverProcess,
                End::Upstream(Failure::Connect | Failure::Full | Failure::Refused) => {
                    Ending::Refused
                }
                End::Upstream(_) => Ending::Failed,
            },
            Err(Refused::Answer(answer)) => match answer.reason() {
                Reason::NoReplica | Reason::Starting => Ending::NoReplica,
                _ => Ending::Refused,
            },
            Err(Refused::Full) => Ending::OverProcess,
            Err(Refused::Left) => Ending::ClientLeft,
        }
    }
}

/// A copy that is to be begun.
pub(super) struct Copy {
    mirror: Arc<Mirroring>,
    /// Whose the shadow has to be.
    tenant: Arc<str>,
    inbound: Inbound,
    /// For the head.
    held: Held,
}

impl Copy {
    /// The request's head without what gives access; `None`: there is no room for it.
    fn new(mirror: Arc<Mirroring>, route: &Route, inbound: &Inbound) -> Option<Self> {
        let held = match mirror.account().take(head_bytes(&inbound.request)) {
            Ok(held) => held,
            Err(over) => {
                mirror.tally.count(over.into());
                return None;
            }
        };
        let mut request = inbound.request.clone();
        let head = request.headers_mut();
        // Asking for each by name would hash them all, and few requests have more than one.
        while let Some(name) = head.keys().find(|name| is_secret(name.as_str())).cloned() {
            head.remove(name);
        }
        head.remove(fields::TIMES);
        head.insert(fields::MIRROR, mirror.name.clone());
        Some(Self {
            tenant: route.tenant.name().into(),
            inbound: Inbound {
                request,
                body: inbound.body,
                client: Rc::clone(&inbound.client),
            },
            mirror,
            held,
        })
    }

    /// Begins it, if there may be one more.
    fn begin(self, carrier: &Rc<Carrier>, stalls: &Rc<Stalls>) -> Option<Begun> {
        let Some(in_flight) = self.mirror.tally.begin(self.mirror.record.copies) else {
            self.mirror.tally.count(Ending::Busy);
            return None;
        };
        let pipe = Pipe::new(Arc::clone(self.held.account()));
        let compares = self.mirror.record.compare.is_some();
        let meeting = compares.then(|| Meeting::new(&self.mirror, self.asked()));
        let begun = Begun {
            pipe: Rc::clone(&pipe),
            meeting: meeting.clone(),
            capture: self.capture(),
        };
        // Boxed here, for a task is moved several times on its way to its first poll.
        let copied = Box::pin(Rc::clone(carrier).copied(self, pipe, meeting, Rc::clone(stalls)));
        tokio::task::spawn_local(async move {
            copied.await;
            drop(in_flight);
        });
        Some(begun)
    }

    fn capture(&self) -> Option<Capture> {
        let request = &self.inbound.request;
        Capture::new(&self.mirror, request, head_bytes(request))
    }

    fn asked(&self) -> Asked {
        let request = &self.inbound.request;
        Asked {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            id: request.headers().get("x-request-id").cloned(),
        }
    }
}

/// For the answer, after which the copy leaves: one that is quicker doesn't wait for what waking a
/// shadow costs, and beside one that is slower that doesn't show.
const LEAVES_WITHIN: Duration = Duration::from_millis(10);

/// What a head holds, about.
fn head_bytes(request: &Request<()>) -> usize {
    let target = request.uri().path_and_query();
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
    target.map_or(0, |target| target.as_str().len()) + fields.sum::<usize>() + HEAD_BYTES
}

/// What a field holds beside its name and value: its place in the map.
const FIELD_BYTES: usize = 128;

/// What a head holds without any field, and the task that carries it.
const HEAD_BYTES: usize = 4 * 1024;
