//! One core of the proxy: each request is routed, admitted, counted and carried, in that order. What is
//! refused never reaches a replica, a count or a shadow.

mod admit;
mod choose;
mod shadows;
mod variants;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fprs_forward::downstream::{Client, Inbound};
use fprs_forward::exchange::{self, End, Outcome};
use fprs_forward::fields;
use fprs_forward::message::Gone;
use fprs_forward::trace::{Tracer, Traces};
use fprs_forward::upstream::Failure;
use fprs_forward::upstream::h2::{Slot, Stream};
use fprs_forward::{
    Answer, Body, Budget, Downstream, Ledger, Observer, Owner, Reason, Rules, Sending, Service,
    Verdict, grpc,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use ipnet::IpNet;

use crate::proxy::access_log::{AccessLog, Desk, Note, Pen};
use crate::proxy::admit::{Gate, Overload};
use crate::proxy::auth::Authenticator;
use crate::proxy::metrics::Core;
use crate::proxy::peers::Peers;
use crate::proxy::table::{Edit, Replica, Route, Table, Tables};
use crate::proxy::{clock, forwarded};
use crate::usage::Usage;

use self::admit::Turned;
use self::choose::{Chosen, Offers, Refused};

/// What every core of the proxy shares.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The routing table.
    pub tables: Arc<Tables>,
    /// Whose word about clients is believed.
    pub edges: Arc<[IpNet]>,
    /// Edges are to send nothing new, since nobody will be listening soon.
    pub leaving: Arc<AtomicBool>,
    /// What may be held in memory.
    pub budget: Arc<Budget>,
    /// How its cores are.
    pub overload: Arc<Overload>,
    /// Where somebody wants a line for each request.
    pub access_log: Option<AccessLog>,
    /// Where requests are traced.
    pub traces: Option<Traces>,
    /// Where is counted what tenants use.
    pub usage: Usage,
}

/// One core of the proxy.
#[derive(Debug)]
pub struct Proxy {
    tables: Arc<Tables>,
    edges: Arc<[IpNet]>,
    leaving: Arc<AtomicBool>,
    carrier: Rc<Carrier>,
    gate: Rc<Gate>,
    counters: Arc<Core>,
    callers: Authenticator,
    desk: Desk,
    usage: Usage,
}

/// What carrying takes, for requests and for copies of them, which outlive their requests.
#[derive(Debug)]
struct Carrier {
    tables: Arc<Tables>,
    peers: Rc<Peers>,
    ledger: Rc<Ledger>,
}

impl Proxy {
    /// A core that counts into `counters`.
    pub fn new(settings: &Settings, counters: Arc<Core>) -> Self {
        Self {
            tables: Arc::clone(&settings.tables),
            edges: Arc::clone(&settings.edges),
            leaving: Arc::clone(&settings.leaving),
            carrier: Rc::new(Carrier {
                tables: Arc::clone(&settings.tables),
                peers: Rc::default(),
                ledger: Ledger::new(&settings.budget),
            }),
            gate: Gate::new(&settings.overload),
            counters,
            callers: Authenticator::default(),
            usage: settings.usage.clone(),
            desk: Desk {
                pen: settings.access_log.as_ref().map(Pen::new),
                tracer: settings
                    .traces
                    .as_ref()
                    .map(|traces| Tracer::new(traces, "proxy")),
            },
        }
    }

    /// Counts how an exchange ended, and answers where nobody has.
    fn ended<D: Downstream>(&self, outcome: Outcome, asked: &mut Asked, downstream: &mut D) {
        asked.note.ended(&outcome);
        match (outcome.end, outcome.status) {
            (End::Complete, _) if asked.failed => self.counters.failed(),
            (End::Complete, status) => self.counters.complete(status.unwrap_or_default()),
            (End::Client(Gone::Broken | Gone::Stalled), None) => {
                self.answer(&Answer::new(Reason::BadRequest), asked, downstream);
            }
            (End::Client(_), _) => self.counters.left(),
            (End::Upstream(failure), None) => {
                self.answer(&Answer::new(failure.into()), asked, downstream);
            }
            (End::Shed, None) => {
                self.answer(&Answer::new(Reason::Overloaded), asked, downstream);
            }
            (End::Shed | End::Upstream(_), Some(_)) => self.counters.cut(),
        }
    }

    /// An edge is refused the stream, which it offers to another proxy; everybody else is told.
    fn refuse<D: Downstream>(&self, client: &Client, asked: &mut Asked, downstream: &mut D) {
        if forwarded::is_trusted(client, &self.edges) && downstream.refuse() {
            self.counters.answered(Reason::Overloaded);
            asked.note.refused(Reason::Overloaded);
            return;
        }
        self.answer(&Answer::new(Reason::Overloaded), asked, downstream);
    }

    fn answer<D: Downstream>(&self, answer: &Answer, asked: &mut Asked, downstream: &mut D) {
        self.counters.answered(answer.reason());
        asked.note.answered(answer.reason());
        answer.send_as(asked.grpc, downstream);
    }
}

impl Carrier {
    /// Offers the request to one replica after another until one doesn't refuse it, as long as it can
    /// be sent again.
    fn offer<'a, D: Downstream>(
        &'a self,
        mut route: Arc<Route>,
        inbound: &'a mut Inbound,
        terms: &'a mut Terms<'_>,
        downstream: &'a mut D,
    ) -> impl Future<Output = Result<Outcome, Refused>> {
        // An async function would keep its arguments twice, for as long as the exchange is held.
        let mut offers = Offers::default();
        let mut account = self.ledger.account(terms.owner);
        async move {
            if self.ledger.refuses(terms.owner) {
                return Err(Refused::Full);
            }
            loop {
                let Chosen {
                    replica,
                    counted,
                    slot,
                } = self
                    .choose(
                        &mut route,
                        &mut offers,
                        &mut account,
                        terms.note,
                        downstream,
                    )
                    .await?;
                terms.note.offered(&replica);
                let last = !offers.may_follow(&route);
                if last {
                    terms.sending.spend();
                }
                let timeout = route.request_timeout;
                let rules = Rules::of(inbound.request.headers(), inbound.body, timeout);
                let mut sent = send(inbound, &replica, slot, last);
                let ended = match &mut sent {
                    Ok(upstream) => {
                        let request = &mut inbound.request;
                        let observer =
                            &mut Reported::of(&replica, request, terms.note, terms.failed);
                        let sending = &mut terms.sending;
                        let account = &mut account;
                        let run =
                            exchange::run(downstream, upstream, observer, rules, sending, account);
                        let outcome = run.await;
                        observer.ended(outcome)
                    }
                    Err(failure) => Ended::Refused((*failure).into()),
                };
                drop(sent);
                counted.end_at(clock::now_us());
                match ended {
                    Ended::Refused(reason) if !last && terms.sending.rewind() => {
                        terms.note.passed_over();
                        self.passed_over(&mut route, &mut offers, &replica, reason);
                    }
                    Ended::Refused(reason) => return Err(Answer::new(reason).into()),
                    Ended::Carried(outcome) => return Ok(outcome),
                }
            }
        }
    }

    /// A replica took nothing of the request: the next try goes elsewhere.
    fn passed_over(
        &self,
        route: &mut Arc<Route>,
        offers: &mut Offers,
        replica: &Replica,
        reason: Reason,
    ) {
        if reason != Reason::Overloaded {
            replica.eject(clock::now_ms());
        }
        offers.refused(replica, reason);
        self.catch_up(route);
    }

    /// The next try goes by the latest table.
    fn catch_up(&self, route: &mut Arc<Route>) {
        if let Some(latest) = Table::route(&self.tables.load(), &route.server) {
            *route = latest;
        }
    }
}

/// How a request is offered.
struct Terms<'a> {
    /// On whom what it holds is counted.
    owner: &'a Owner,
    sending: Sending,
    note: &'a mut Note,
    /// See [`Asked::failed`].
    failed: &'a mut bool,
}

/// What is kept of a request for its end.
struct Asked {
    /// It is answered in gRPC's way.
    grpc: bool,
    /// Its relay answered, since the program didn't.
    failed: bool,
    note: Note,
}

/// What came of offering a request to a replica.
enum Ended {
    Carried(Outcome),
    /// None of it has reached the program.
    Refused(Reason),
}

/// Sends the request's head, and keeps it only for another replica.
fn send(
    inbound: &mut Inbound,
    replica: &Replica,
    slot: Slot,
    last: bool,
) -> Result<Stream, Failure> {
    let headers = inbound.request.headers_mut();
    headers.insert(fields::REPLICA, replica.header());
    let sent = slot.send(&inbound.request, inbound.body);
    if last {
        drop(std::mem::take(&mut inbound.request));
    }
    sent
}

impl Service for Proxy {
    type Message = Arc<Edit>;

    async fn serve<D: Downstream>(&self, inbound: &mut Inbound, downstream: &mut D) {
        let fields = inbound.request.headers_mut();
        fields::strip_ours(fields);
        forwarded::tell(fields, &inbound.client, &self.edges, fastrand::u128(..));
        let grpc = grpc::is_call(fields);
        let note = Note::of(&self.desk, inbound, &self.edges);
        let asked = &mut Asked {
            grpc,
            failed: false,
            note,
        };
        let route = match self.admit(&mut inbound.request, &inbound.client) {
            Ok(route) => route,
            Err(Turned::Refused(answer)) => return self.answer(&answer, asked, downstream),
            Err(Turned::Internal(ready)) => {
                return health(&inbound.request, ready, asked, downstream);
            }
            Err(Turned::Preflight(response)) => return head_only(response, asked, downstream),
        };
        asked.note.routed(&route, inbound.request.headers());
        let admitted =
            match self
                .gate
                .admit(&route.tenant, &inbound.client, inbound.request.headers())
            {
                Ok(admitted) => admitted,
                Err(refusal) => return self.answer(&refusal.answer(), asked, downstream),
            };
        asked.note.admitted();
        let copies = self.copies(&route, inbound, &mut asked.note);
        let route = match route.splits.is_empty() {
            true => route,
            false => self.variant(route, inbound, &mut asked.note),
        };
        // The one that its exchange is counted on: another try may find a newer one.
        let first = Arc::clone(&route);
        let terms = &mut Terms {
            owner: &first.owner,
            sending: Sending::default(),
            note: &mut asked.note,
            failed: &mut asked.failed,
        };
        let offered = match copies {
            None => self.carrier.offer(route, inbound, terms, downstream).await,
            // Boxed, like what else is rare: an exchange has no room for it in its future.
            Some(copies) => {
                let mirrored = self
                    .carrier
                    .mirrored(copies, route, inbound, terms, downstream);
                Box::pin(mirrored).await
            }
        };
        match offered {
            Err(Refused::Answer(answer)) => self.answer(&answer, asked, downstream),
            Err(Refused::Full) => self.refuse(&inbound.client, asked, downstream),
            Err(Refused::Left) => self.counters.left(),
            Ok(outcome) => {
                admitted.carried(outcome.received + outcome.sent);
                let used = first.used(&self.usage);
                used.exchange(outcome.received, outcome.sent);
                self.ended(outcome, asked, downstream);
            }
        }
    }

    fn receive(&self, edit: Arc<Edit>) {
        self.carrier.peers.edit(&edit);
    }
}

/// `/readyz` of the authority `fprs.internal`, for the edge's health checks.
fn health<D: Downstream>(
    request: &Request<()>,
    ready: bool,
    asked: &mut Asked,
    downstream: &mut D,
) {
    asked.note.internal();
    let mut response = Response::new(());
    *response.status_mut() = match (request.uri().path(), ready) {
        ("/readyz", true) => StatusCode::OK,
        ("/readyz", false) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::NOT_FOUND,
    };
    head_only(response, asked, downstream);
}

fn head_only<D: Downstream>(response: Response<()>, asked: &mut Asked, downstream: &mut D) {
    asked.note.told(response.status());
    if downstream.send_head(response, Body::None).is_err() {
        tracing::debug!("the client left before its answer");
    }
}

/// Takes the relay's word for the replica's load off the response, and hears when it refuses.
struct Reported<'a> {
    replica: &'a Replica,
    /// Given back once nobody can be offered it any more.
    request: &'a mut Request<()>,
    /// Why the relay sent the request to no program.
    refusal: Option<Reason>,
    note: &'a mut Note,
    failed: &'a mut bool,
}

impl<'a> Reported<'a> {
    const fn of(
        replica: &'a Replica,
        request: &'a mut Request<()>,
        note: &'a mut Note,
        failed: &'a mut bool,
    ) -> Self {
        Self {
            replica,
            request,
            refusal: None,
            note,
            failed,
        }
    }

    fn ended(&self, outcome: Outcome) -> Ended {
        match outcome.end {
            End::Upstream(Failure::Refused) if outcome.status.is_none() => {
                Ended::Refused(self.refusal.unwrap_or(Reason::Overloaded))
            }
            _ => Ended::Carried(outcome),
        }
    }

    fn judge(&mut self, told: &Told) -> Verdict {
        if let Some(count) = told.in_flight {
            self.replica.report(count, clock::now_ms());
            // With its program's answer a relay never sends a reason.
            return Verdict::Pass;
        }
        *self.failed = told.reason.is_some();
        self.refusal = told.reason.filter(|reason| reason.is_before_program());
        match self.refusal {
            Some(_) => Verdict::Refused,
            None => Verdict::Pass,
        }
    }
}

impl Observer for Reported<'_> {
    fn head(&mut self, response: &mut Response<()>) -> Verdict {
        let told = Told::take(response.headers_mut());
        self.note.head(told.reason, told.times.as_ref());
        let verdict = self.judge(&told);
        if verdict == Verdict::Pass {
            // An exchange may be held for hours, and its request would be, too.
            drop(std::mem::take(self.request));
        }
        verdict
    }
}

/// What a relay says of itself in an answer's head.
#[derive(Default)]
struct Told {
    in_flight: Option<u64>,
    reason: Option<Reason>,
    /// What its own part took.
    times: Option<HeaderValue>,
}

impl Told {
    /// Takes count and times out; the reason is for the client too. Found in one pass, for asking by name
    /// hashes, and most answers have one of the two at most.
    fn take(fields: &mut HeaderMap) -> Self {
        let mut told = Self::default();
        let (mut counted, mut timed) = (false, false);
        for (name, value) in &*fields {
            match name.as_str() {
                "x-fprs-in-flight" => {
                    counted = true;
                    told.in_flight = value.to_str().ok().and_then(|count| count.parse().ok());
                }
                "x-fprs-times" => timed = true,
                "x-fprs-reason" => told.reason = Reason::of(value.as_bytes()),
                _ => {}
            }
        }
        if counted {
            fields.remove(fields::IN_FLIGHT);
        }
        if timed {
            told.times = fields.remove(fields::TIMES);
        }
        told
    }
}

#[cfg(test)]
mod tests;
