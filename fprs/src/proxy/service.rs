//! One core of the proxy: each request is routed, counted and carried, in that order. What is
//! refused never reaches a replica, a count or a shadow.

mod choose;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fprs_autoscaler_client::clock;
use fprs_forward::downstream::{Client, Inbound};
use fprs_forward::exchange::{self, End, Outcome};
use fprs_forward::fields;
use fprs_forward::message::Gone;
use fprs_forward::upstream::Failure;
use fprs_forward::upstream::h2::Slot;
use fprs_forward::{
    Account, Answer, Body, Budget, Downstream, Ledger, Observer, Reason, Rules, Sending, Service,
    Verdict, grpc,
};
use http::{Request, Response, StatusCode};
use ipnet::IpNet;

use crate::proxy::forwarded;
use crate::proxy::metrics::Core;
use crate::proxy::peers::Peers;
use crate::proxy::table::{Edit, Found, Replica, Route, Table, Tables};

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
}

/// One core of the proxy.
#[derive(Debug)]
pub struct Proxy {
    tables: Arc<Tables>,
    edges: Arc<[IpNet]>,
    leaving: Arc<AtomicBool>,
    peers: Rc<Peers>,
    ledger: Rc<Ledger>,
    counters: Arc<Core>,
}

impl Proxy {
    /// A core that counts into `counters`.
    pub fn new(settings: &Settings, counters: Arc<Core>) -> Self {
        Self {
            tables: Arc::clone(&settings.tables),
            edges: Arc::clone(&settings.edges),
            leaving: Arc::clone(&settings.leaving),
            peers: Rc::default(),
            ledger: Ledger::new(&settings.budget),
            counters,
        }
    }

    /// What the request's authority leads to.
    fn route(&self, request: &Request<()>) -> Result<Arc<Route>, Routed> {
        let authority = request
            .uri()
            .authority()
            .map_or("", |authority| authority.as_str());
        let table = self.tables.load();
        match self.tables.find(&table, authority) {
            Found::Route(route) => Ok(route),
            Found::Internal => {
                let leaving = self.leaving.load(Ordering::Relaxed);
                Err(Routed::Internal(table.is_loaded() && !leaving))
            }
            Found::NoServer => Err(Routed::Refused(Answer::new(Reason::NoReplica))),
            Found::OtherZone => Err(Routed::Refused(Answer::new(Reason::WrongZone))),
        }
    }

    /// Offers the request to one replica after another until one doesn't refuse it.
    async fn offer<D: Downstream>(
        &self,
        mut route: Arc<Route>,
        mut request: Request<()>,
        body: Body,
        downstream: &mut D,
    ) -> Result<Outcome, Refused> {
        let owner = route.owner.clone();
        if self.ledger.refuses(&owner) {
            return Err(Refused::Full);
        }
        let mut offers = Offers::default();
        let mut holding = Holding {
            sending: Sending::default(),
            account: self.ledger.account(&owner),
        };
        loop {
            let account = &mut holding.account;
            let chosen = self
                .choose(&mut route, &mut offers, account, downstream)
                .await?;
            // A copy of the head costs two allocations: made only where there is a replica left that
            // it could be for.
            let copy = offers.may_follow(&route).then(|| request.clone());
            if copy.is_none() {
                holding.sending.spend();
            }
            let Chosen {
                replica,
                counted,
                slot,
            } = chosen;
            let rules = Rules::of(request.headers(), body, route.request_timeout);
            let ended = carry(
                &replica,
                slot,
                request,
                (body, rules),
                &mut holding,
                downstream,
            )
            .await;
            drop(counted);
            match (ended, copy) {
                (Ended::Refused(reason), Some(copy)) if holding.sending.rewind() => {
                    if reason != Reason::Overloaded {
                        replica.eject(clock::now_us() / 1_000);
                    }
                    offers.refused(&replica, reason);
                    if let Some(latest) = Table::route(&self.tables.load(), &route.server) {
                        route = latest;
                    }
                    request = copy;
                }
                (Ended::Refused(reason), _) => return Err(Answer::new(reason).into()),
                (Ended::Carried(outcome), _) => return Ok(outcome),
            }
        }
    }

    /// Counts how an exchange ended, and answers where nobody has.
    fn ended<D: Downstream>(&self, outcome: Outcome, grpc: bool, downstream: &mut D) {
        match (outcome.end, outcome.status) {
            (End::Complete, status) => self.counters.complete(status.unwrap_or_default()),
            (End::Client(Gone::Broken | Gone::Stalled), None) => {
                self.answer(&Answer::new(Reason::BadRequest), grpc, downstream);
            }
            (End::Client(_), _) => self.counters.left(),
            (End::Upstream(failure), None) => {
                self.answer(&Answer::new(failure.into()), grpc, downstream);
            }
            (End::Shed, None) => {
                self.answer(&Answer::new(Reason::Overloaded), grpc, downstream);
            }
            (End::Shed | End::Upstream(_), Some(_)) => self.counters.cut(),
        }
    }

    /// An edge is refused the stream, which it offers to another proxy; everybody else is told.
    fn refuse<D: Downstream>(&self, client: &Client, grpc: bool, downstream: &mut D) {
        if forwarded::is_trusted(client, &self.edges) && downstream.refuse() {
            self.counters.answered(Reason::Overloaded);
            return;
        }
        self.answer(&Answer::new(Reason::Overloaded), grpc, downstream);
    }

    fn answer<D: Downstream>(&self, answer: &Answer, grpc: bool, downstream: &mut D) {
        self.counters.answered(answer.reason());
        answer.send_as(grpc, downstream);
    }
}

/// What a request holds, over all its offers.
struct Holding<'a> {
    sending: Sending,
    account: Account<'a>,
}

/// What came of offering a request to a replica.
enum Ended {
    Carried(Outcome),
    /// None of it has reached the program.
    Refused(Reason),
}

async fn carry<D: Downstream>(
    replica: &Replica,
    slot: Slot,
    mut request: Request<()>,
    (body, rules): (Body, Rules),
    holding: &mut Holding<'_>,
    downstream: &mut D,
) -> Ended {
    request
        .headers_mut()
        .insert(fields::REPLICA, replica.header.clone());
    let mut upstream = match slot.send(request, body) {
        Ok(upstream) => upstream,
        Err(failure) => return Ended::Refused(failure.into()),
    };
    let mut observer = Reported {
        replica,
        refusal: None,
    };
    let Holding { sending, account } = holding;
    let outcome = exchange::run(
        downstream,
        &mut upstream,
        &mut observer,
        rules,
        sending,
        account,
    )
    .await;
    match (outcome.end, observer.refusal) {
        (End::Upstream(Failure::Refused), reason) if outcome.status.is_none() => {
            Ended::Refused(reason.unwrap_or(Reason::Overloaded))
        }
        _ => Ended::Carried(outcome),
    }
}

/// The request is not for a replica.
enum Routed {
    /// For the proxy itself, which is ready or not.
    Internal(bool),
    Refused(Answer),
}

impl Service for Proxy {
    type Message = Arc<Edit>;

    async fn serve<D: Downstream>(&self, inbound: Inbound, downstream: &mut D) {
        let Inbound {
            mut request,
            body,
            client,
        } = inbound;
        fields::strip_ours(request.headers_mut());
        forwarded::tell(
            request.headers_mut(),
            &client,
            &self.edges,
            fastrand::u128(..),
        );
        let grpc = grpc::is_call(request.headers());
        let route = match self.route(&request) {
            Ok(route) => route,
            Err(Routed::Refused(answer)) => return self.answer(&answer, grpc, downstream),
            Err(Routed::Internal(ready)) => return health(&request, ready, downstream),
        };
        match self.offer(route, request, body, downstream).await {
            Err(Refused::Answer(answer)) => self.answer(&answer, grpc, downstream),
            Err(Refused::Full) => self.refuse(&client, grpc, downstream),
            Err(Refused::Left) => self.counters.left(),
            Ok(outcome) => self.ended(outcome, grpc, downstream),
        }
    }

    fn receive(&self, edit: Arc<Edit>) {
        self.peers.edit(&edit);
    }
}

/// `/readyz` of the authority `fprs.internal`, for the edge's health checks.
fn health<D: Downstream>(request: &Request<()>, ready: bool, downstream: &mut D) {
    let mut response = Response::new(());
    *response.status_mut() = match (request.uri().path(), ready) {
        ("/readyz", true) => StatusCode::OK,
        ("/readyz", false) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::NOT_FOUND,
    };
    if downstream.send_head(response, Body::None).is_err() {
        tracing::debug!("a health check left before its answer");
    }
}

/// Takes the relay's word for the replica's load off the response, and hears when it refuses.
struct Reported<'a> {
    replica: &'a Replica,
    /// Why the relay sent the request to no program.
    refusal: Option<Reason>,
}

impl Observer for Reported<'_> {
    fn head(&mut self, response: &mut Response<()>) -> Verdict {
        let reported = response.headers_mut().remove(fields::IN_FLIGHT);
        let count = reported
            .as_ref()
            .and_then(|count| count.to_str().ok()?.parse::<u64>().ok());
        if let Some(count) = count {
            self.replica.report(count, clock::now_us() / 1_000);
            // With its program's answer a relay never sends a reason.
            return Verdict::Pass;
        }
        self.refusal = response
            .headers()
            .get(fields::REASON)
            .and_then(|reason| Reason::of(reason.as_bytes()))
            .filter(|reason| reason.is_before_program());
        match self.refusal {
            Some(_) => Verdict::Refused,
            None => Verdict::Pass,
        }
    }
}

#[cfg(test)]
mod tests;
