//! One core of the proxy: each request is routed, counted and carried, in that order. What is
//! refused never reaches a replica, a count or a shadow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fprs_autoscaler_client::{Guard, clock};
use fprs_forward::downstream::Inbound;
use fprs_forward::exchange::{self, End, Outcome, unless_gone};
use fprs_forward::fields;
use fprs_forward::message::Gone;
use fprs_forward::upstream::Failure;
use fprs_forward::upstream::h2::Slot;
use fprs_forward::{Answer, Body, Downstream, Observer, Reason, Rules, Service, grpc};
use http::{Request, Response, StatusCode};
use ipnet::IpNet;
use tokio::time::Instant;

use crate::proxy::metrics::Core;
use crate::proxy::peers::Peers;
use crate::proxy::table::{Edit, Found, Replica, Route, Table, Tables};
use crate::proxy::{balance, forwarded};

/// Replicas one request is offered to before it is refused; the first and two more.
const ATTEMPTS: usize = 3;

/// What every core of the proxy shares.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The routing table.
    pub tables: Arc<Tables>,
    /// Whose word about clients is believed.
    pub edges: Arc<[IpNet]>,
    /// Edges are to send nothing new, since nobody will be listening soon.
    pub leaving: Arc<AtomicBool>,
}

/// One core of the proxy.
#[derive(Debug)]
pub struct Proxy {
    tables: Arc<Tables>,
    edges: Arc<[IpNet]>,
    leaving: Arc<AtomicBool>,
    peers: Peers,
    counters: Arc<Core>,
}

/// What ended a request before its exchange.
enum Refused {
    Answer(Answer),
    Left,
}

impl From<Gone> for Refused {
    fn from(_: Gone) -> Self {
        Self::Left
    }
}

/// A replica that takes the request: counted, and with room on a connection.
struct Chosen {
    replica: Arc<Replica>,
    /// Counts the exchange to its end.
    counted: Guard,
    slot: Slot,
}

impl Proxy {
    /// A core that counts into `counters`.
    pub fn new(settings: &Settings, counters: Arc<Core>) -> Self {
        Self {
            tables: Arc::clone(&settings.tables),
            edges: Arc::clone(&settings.edges),
            leaving: Arc::clone(&settings.leaving),
            peers: Peers::default(),
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

    /// Finds a replica that can be reached, waiting for one where the server holds requests.
    async fn choose<D: Downstream>(
        &self,
        mut route: Arc<Route>,
        downstream: &mut D,
    ) -> Result<Chosen, Refused> {
        let mut tried: Vec<Arc<str>> = Vec::new();
        loop {
            let now_ms = clock::now_us() / 1_000;
            let chosen = balance::choose(&route.ready, &tried, now_ms, fastrand::u64(..));
            let Some(replica) = chosen.map(Arc::clone) else {
                if tried.is_empty() {
                    route = self.hold(route, downstream).await?;
                    continue;
                }
                return Err(Refused::Answer(Answer::new(Reason::UpstreamConnect)));
            };
            // Counted before anything is awaited, so that those who choose meanwhile see it.
            let counted = replica.gauge.begin();
            let peer = self.peers.get(&replica);
            let slot = match peer.room() {
                Some(slot) => Ok(slot),
                None => unless_gone(downstream, peer.reserve()).await?,
            };
            match slot {
                Ok(slot) => {
                    return Ok(Chosen {
                        replica,
                        counted,
                        slot,
                    });
                }
                Err(_) => {
                    replica.eject(now_ms);
                    tried.push(Arc::clone(&replica.id));
                    if tried.len() == ATTEMPTS {
                        return Err(Refused::Answer(Answer::new(Reason::UpstreamConnect)));
                    }
                }
            }
        }
    }

    /// No replica is ready: tells the autoscaler, and waits as long as the server wants.
    async fn hold<D: Downstream>(
        &self,
        route: Arc<Route>,
        downstream: &mut D,
    ) -> Result<Arc<Route>, Refused> {
        route.demand.unserved();
        if route.hold.is_zero() {
            return Err(Refused::Answer(no_replica(&route)));
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
                None => return Err(Refused::Answer(Answer::new(Reason::NoReplica))),
            };
            if !latest.ready.is_empty() {
                return Ok(latest);
            }
            let wait = tokio::time::timeout_at(deadline, edited);
            if unless_gone(downstream, wait).await?.is_err() {
                return Err(Refused::Answer(no_replica(&latest)));
            }
        }
    }

    async fn carry<D: Downstream>(
        &self,
        chosen: Chosen,
        route: &Route,
        mut request: Request<()>,
        body: Body,
        downstream: &mut D,
    ) -> Result<Outcome, Failure> {
        let Chosen {
            replica,
            counted,
            slot,
        } = chosen;
        request
            .headers_mut()
            .insert(fields::REPLICA, replica.header.clone());
        let rules = Rules::of(request.headers(), body, route.request_timeout);
        let mut upstream = slot.send(request, body)?;
        let mut observer = Reported { replica: &replica };
        let outcome = exchange::run(downstream, &mut upstream, &mut observer, rules).await;
        drop(counted);
        Ok(outcome)
    }

    fn answer<D: Downstream>(&self, answer: &Answer, grpc: bool, downstream: &mut D) {
        self.counters.answered(answer.reason());
        answer.send_as(grpc, downstream);
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
        let chosen = match self.choose(Arc::clone(&route), downstream).await {
            Ok(chosen) => chosen,
            Err(Refused::Answer(answer)) => return self.answer(&answer, grpc, downstream),
            Err(Refused::Left) => return self.counters.left(),
        };
        match self.carry(chosen, &route, request, body, downstream).await {
            Ok(Outcome {
                end: End::Complete,
                status,
                ..
            }) => {
                self.counters.complete(status.unwrap_or_default());
            }
            Ok(Outcome {
                end: End::Client(Gone::Broken | Gone::Stalled),
                status: None,
                ..
            }) => {
                self.answer(&Answer::new(Reason::BadRequest), grpc, downstream);
            }
            Ok(Outcome {
                end: End::Client(_),
                ..
            }) => self.counters.left(),
            Ok(Outcome {
                end: End::Upstream(failure),
                status: None,
                ..
            })
            | Err(failure) => {
                self.answer(&Answer::new(failure.into()), grpc, downstream);
            }
            Ok(Outcome {
                end: End::Upstream(_),
                ..
            }) => self.counters.cut(),
        }
    }

    fn receive(&self, edit: Arc<Edit>) {
        self.peers.edit(&edit);
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

/// Takes the relay's word for the replica's load off the response.
struct Reported<'a> {
    replica: &'a Replica,
}

impl Observer for Reported<'_> {
    fn head(&mut self, response: &mut Response<()>) {
        let reported = response.headers_mut().remove(fields::IN_FLIGHT);
        let count = reported
            .as_ref()
            .and_then(|count| count.to_str().ok()?.parse::<u64>().ok());
        if let Some(count) = count {
            self.replica.report(count, clock::now_us() / 1_000);
        }
    }
}
