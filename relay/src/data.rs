//! The data path of a worker: h2c in from proxies, each exchange carried to the program of the
//! replica it names and counted there from its beginning to its true end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;

use fprs_forward::budget::Shed;
use fprs_forward::downstream::Inbound;
use fprs_forward::exchange::{self, End, Outcome, unless_gone};
use fprs_forward::fields::{self, strip_from_answer};
use fprs_forward::message::Gone;
use fprs_forward::trace::{Tracer, Traces};
use fprs_forward::upstream::{Failure, h1, h2};
use fprs_forward::{
    Answer, Body, Budget, Downstream, Ledger, Observer, Reason, Rules, Sending, Service, Verdict,
    grpc,
};
use http::{HeaderValue, Method, Request, Response};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::replicas::{InFlight, NotServing, ReplicaTable, Running};
use crate::watch::Watch;

/// The data path of one core.
#[derive(Debug)]
pub struct Data {
    replicas: Arc<ReplicaTable>,
    ledger: Rc<Ledger>,
    tracer: Option<Rc<Tracer>>,
    /// This core's connections to each program.
    programs: RefCell<HashMap<Arc<str>, Program>>,
}

/// How one core reaches one program.
#[derive(Clone, Debug)]
enum Program {
    H1(Rc<h1::Pool>),
    H2(Rc<h2::Peer>),
}

/// What supervision tells every core.
#[derive(Clone, Copy, Debug)]
pub enum Edited {
    /// Replicas came or went.
    Replicas,
}

impl Data {
    /// A data path that serves what is in the table, holds what the budget allows, and traces.
    pub fn new(replicas: Arc<ReplicaTable>, budget: &Arc<Budget>, traces: Option<&Traces>) -> Self {
        Self {
            replicas,
            ledger: Ledger::new(budget),
            tracer: traces.map(|traces| Tracer::new(traces, "relay")),
            programs: RefCell::default(),
        }
    }

    async fn forward<D: Downstream>(
        &self,
        replica: &Arc<Running>,
        in_flight: &InFlight,
        inbound: &mut Inbound,
        watch: &mut Watch,
        downstream: &mut D,
    ) -> Result<Outcome, Unreached> {
        let Inbound { request, body, .. } = inbound;
        // What else is ours tells the program who calls; proxies let nobody outside say so.
        request.headers_mut().remove(fields::REPLICA);
        // The proxy keeps the caller's deadline; here it would only fall a moment later.
        let rules = Rules {
            deadline: None,
            ..Rules::of(request.headers(), *body, None)
        };
        match self.program(replica, in_flight.program()) {
            Program::H1(pool) => {
                let call = Call {
                    request,
                    body: *body,
                    rules,
                };
                self.to_h1(replica, &pool, call, watch, downstream).await
            }
            Program::H2(peer) => {
                let mut account = self.ledger.account(replica.owner());
                let slot = match peer.room() {
                    Some(slot) => slot,
                    None => {
                        let room = account.unless_shed(downstream.window(), peer.reserve());
                        // Boxed: an exchange has no place in its future for what is over before it
                        // begins.
                        Box::pin(unless_gone(downstream, room)).await???
                    }
                };
                watch.connected();
                let mut upstream = slot.send(&std::mem::take(request), *body)?;
                let mut observer = Counting::new(replica, watch);
                Ok(exchange::run(
                    downstream,
                    &mut upstream,
                    &mut observer,
                    rules,
                    &mut Sending::once(),
                    &mut account,
                )
                .await)
            }
        }
    }

    async fn to_h1<D: Downstream>(
        &self,
        replica: &Arc<Running>,
        pool: &Rc<h1::Pool>,
        call: Call<'_>,
        watch: &mut Watch,
        downstream: &mut D,
    ) -> Result<Outcome, Unreached> {
        let Call {
            request,
            body,
            rules,
        } = call;
        loop {
            let connection = match pool.idle() {
                Some(connection) => connection,
                None => Box::pin(unless_gone(downstream, pool.connect())).await??,
            };
            let reused = connection.is_reused();
            watch.connected();
            let mut upstream = connection.send(request, body);
            let mut observer = Counting::new(replica, watch);
            let outcome = exchange::run(
                downstream,
                &mut upstream,
                &mut observer,
                rules,
                &mut Sending::once(),
                &mut self.ledger.account(replica.owner()),
            )
            .await;
            if reused && may_repeat(request, body, &outcome) {
                // The program closed the idle connection while the request was on its way.
                pool.clear();
                continue;
            }
            if outcome.end == End::Complete {
                upstream.finish();
            }
            return Ok(outcome);
        }
    }

    fn program(&self, replica: &Arc<Running>, address: SocketAddr) -> Program {
        let mut programs = self.programs.borrow_mut();
        if let Some(program) = programs.get(replica.id()) {
            return program.clone();
        }
        let program = if replica.h2() {
            Program::H2(h2::Peer::new(address))
        } else {
            Program::H1(h1::Pool::new(address))
        };
        programs.insert(Arc::clone(replica.id()), program.clone());
        program
    }
}

impl Service for Data {
    type Message = Edited;

    async fn serve<D: Downstream>(&self, inbound: &mut Inbound, downstream: &mut D) {
        let watch = &mut Watch::of(self.tracer.as_ref(), &mut inbound.request);
        let begun = inbound
            .request
            .headers()
            .get(fields::REPLICA)
            .and_then(|id| id.to_str().ok())
            .and_then(|id| self.replicas.find(id))
            .ok_or(Reason::NoReplica)
            .and_then(|replica| match self.ledger.refuses(replica.owner()) {
                true => Err(Reason::Overloaded),
                false => Ok(replica),
            })
            .and_then(|replica| match replica.begin() {
                Ok(in_flight) => Ok((replica, in_flight)),
                Err(NotServing::Starting) => Err(Reason::Starting),
                Err(NotServing::Stopping) => Err(Reason::Draining),
            });
        let (replica, in_flight) = match begun {
            Ok(begun) => begun,
            Err(reason) => {
                watch.answered(reason);
                Answer::new(reason).send(inbound.request.headers(), downstream);
                return;
            }
        };
        watch.begun(&replica);
        let grpc = grpc::is_call(inbound.request.headers());
        let reason = match self
            .forward(&replica, &in_flight, inbound, watch, downstream)
            .await
        {
            Ok(Outcome {
                status: None, end, ..
            }) => match end {
                End::Upstream(failure) => failure.into(),
                End::Client(Gone::Broken | Gone::Stalled) => Reason::BadRequest,
                // The program may have had a part of it.
                End::Shed => {
                    watch.answered(Reason::Overloaded);
                    return Answer::new(Reason::Overloaded)
                        .in_flight(replica.in_flight())
                        .send_as(grpc, downstream);
                }
                End::Client(Gone::Left) | End::Complete => return,
            },
            Err(Unreached::Failed(failure)) => failure.into(),
            Ok(outcome) => return watch.ended(&outcome),
            Err(Unreached::Gone(_)) => return,
        };
        watch.answered(reason);
        Answer::new(reason).send_as(grpc, downstream);
    }

    fn receive(&self, Edited::Replicas: Edited) {
        let replicas = self.replicas.load();
        self.programs.borrow_mut().retain(|id, program| {
            let stays = replicas.contains_key(id);
            if let (false, Program::H2(peer)) = (stays, program) {
                peer.close();
            }
            stays
        });
    }
}

/// What a program is asked.
struct Call<'a> {
    request: &'a Request<()>,
    body: Body,
    rules: Rules,
}

/// No exchange came about.
enum Unreached {
    Failed(Failure),
    #[expect(dead_code, reason = "says how the client left, in debug output")]
    Gone(Gone),
}

impl From<Failure> for Unreached {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Shed> for Unreached {
    fn from(_: Shed) -> Self {
        Self::Failed(Failure::Full)
    }
}

impl From<Gone> for Unreached {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// A program may have closed an idle connection at the very moment a request was sent on it. Such a
/// request is sent once more if doing it twice is the same as once (RFC 9110 §9.2.2) and none of its
/// body is gone.
fn may_repeat(request: &Request<()>, body: Body, outcome: &Outcome) -> bool {
    let idempotent = [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(request.method());
    idempotent
        && body.is_none()
        && outcome.status.is_none()
        && outcome.end == End::Upstream(Failure::Reset)
}

/// Tells the proxy how busy the replica is, and keeps the program from speaking in our name.
struct Counting<'a> {
    replica: &'a Running,
    watch: &'a mut Watch,
    /// Made when a WebSocket first waits.
    ending: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<'a> Counting<'a> {
    const fn new(replica: &'a Running, watch: &'a mut Watch) -> Self {
        Self {
            replica,
            watch,
            ending: None,
        }
    }
}

impl Observer for Counting<'_> {
    fn head(&mut self, response: &mut Response<()>) -> Verdict {
        let headers = response.headers_mut();
        strip_from_answer(headers);
        headers.insert(
            fields::IN_FLIGHT,
            HeaderValue::from(self.replica.in_flight()),
        );
        self.watch.head(headers);
        Verdict::Pass
    }

    fn poll_ending(&mut self, cx: &mut Context<'_>) -> bool {
        let replica = self.replica;
        let ending = self
            .ending
            .get_or_insert_with(|| Box::pin(replica.tunnels_end()));
        ending.as_mut().poll(cx).is_ready()
    }
}
