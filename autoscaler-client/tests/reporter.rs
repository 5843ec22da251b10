//! The reporter against a stand-in for the autoscaler that records what it hears, over loopback.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fprs_autoscaler_client::reporter::{LEASE, Settings};
use fprs_autoscaler_client::{Demand, Reporter, ReporterError};
use fprs_config::follow::Publisher;
use fprs_config::{Batch, Lease, Record, Revision, View, apply};
use fprs_proto::demand::demand_server::{Demand as DemandService, DemandServer};
use fprs_proto::demand::{CountAck, DemandReport, RelayCounts, ReportAck};
use futures_util::{Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

const DEADLINE: Duration = Duration::from_secs(10);
const OFTEN: Duration = Duration::from_millis(20);
const NEVER_AGAIN: Duration = Duration::from_secs(3_600);

/// What the stand-in does with a stream.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Acknowledges,
    AsksForResync,
    BreaksOffAfterOne,
}

/// A report with the credentials of its stream.
type Heard = (String, DemandReport);

struct Autoscaler {
    heard: mpsc::Sender<Heard>,
    manner: Manner,
}

#[tonic::async_trait]
impl DemandService for Autoscaler {
    type ReportStream = Pin<Box<dyn Stream<Item = Result<ReportAck, Status>> + Send>>;

    async fn report(
        &self,
        request: Request<Streaming<DemandReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let token = request.metadata().get("authorization");
        let token = token.and_then(|token| token.to_str().ok()).unwrap_or("");
        let (token, heard, manner) = (token.to_owned(), self.heard.clone(), self.manner);
        let acks = request.into_inner().then(move |report| {
            let (token, heard) = (token.clone(), heard.clone());
            async move {
                let report = report?;
                let ack = ReportAck {
                    sequence: report.sequence,
                    resync: manner == Manner::AsksForResync && !report.full,
                };
                heard.send((token, report)).await.ok();
                if manner == Manner::BreaksOffAfterOne {
                    return Err(Status::unavailable("gone"));
                }
                Ok(ack)
            }
        });
        Ok(Response::new(Box::pin(acks)))
    }

    async fn count(&self, _: Request<RelayCounts>) -> Result<Response<CountAck>, Status> {
        Err(Status::unimplemented("proxies don't ask for this"))
    }
}

/// A proxy whose reports go to a stand-in.
struct Plane {
    demand: Arc<Demand>,
    publisher: Publisher,
    view: View,
    heard: mpsc::Receiver<Heard>,
    servers: JoinSet<()>,
    reporter: JoinHandle<()>,
}

impl Plane {
    async fn start(manner: Manner, interval: Duration) -> Self {
        let (publisher, view) = View::new();
        let demand = Demand::new();
        let settings = Settings {
            interval,
            ..settings()
        };
        let reporter =
            Reporter::new(Arc::clone(&demand), view.clone(), settings).expect("a reporter");
        let (_, heard) = mpsc::channel(1);
        let mut plane = Self {
            demand,
            publisher,
            view,
            heard,
            servers: JoinSet::new(),
            reporter: tokio::spawn(reporter.run()),
        };
        plane.elect(manner).await;
        plane
    }

    /// Another autoscaler takes the lease.
    async fn elect(&mut self, manner: Manner) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (sender, heard) = mpsc::channel(64);
        self.heard = heard;
        let autoscaler = Autoscaler {
            heard: sender,
            manner,
        };
        let served = tonic::transport::Server::builder()
            .add_service(DemandServer::new(autoscaler))
            .serve_with_incoming(TcpListenerStream::new(listener));
        self.servers
            .spawn(async move { served.await.expect("served") });
        self.publish(address);
    }

    fn publish(&self, address: SocketAddr) {
        let current = self.view.load();
        let lease = Record::Lease(Lease {
            name: LEASE.into(),
            holder: "autoscaler-1".into(),
            address,
            epoch: 1,
            renewed_unix_ms: 1,
            ttl_ms: 2_000,
        });
        let batch = Batch::new(Revision(current.revision().0 + 1), vec![lease.change()]);
        let applied = apply::apply(&current, &batch);
        assert!(applied.refused.is_empty(), "{:?}", applied.refused);
        self.publisher.publish(applied.snapshot);
    }

    async fn hear(&mut self) -> Heard {
        let heard = timeout(DEADLINE, self.heard.recv()).await;
        heard.expect("a report in time").expect("the stand-in runs")
    }

    async fn hear_full(&mut self) -> DemandReport {
        loop {
            let (_, report) = self.hear().await;
            if report.full {
                return report;
            }
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.reporter.abort();
    }
}

fn settings() -> Settings {
    Settings {
        proxy: "proxy-1".into(),
        epoch: 9,
        token: "secret".into(),
        interval: Settings::INTERVAL,
    }
}

#[tokio::test]
async fn a_stream_begins_in_full_and_carries_token_origin_and_revision() {
    let mut plane = Plane::start(Manner::Acknowledges, OFTEN).await;
    let (token, first) = plane.hear().await;
    assert_eq!(token, "Bearer secret");
    assert_eq!((first.proxy.as_str(), first.epoch), ("proxy-1", 9));
    assert_eq!(first.applied_revision, plane.view.load().revision().0);
    assert!(first.full && first.sequence == 1);
    let (_, second) = plane.hear().await;
    assert!(!second.full && second.sequence == 2 && second.at_us > first.at_us);
}

#[tokio::test]
async fn the_first_unserved_request_does_not_wait_for_the_interval() {
    let mut plane = Plane::start(Manner::Acknowledges, NEVER_AGAIN).await;
    plane.hear().await;
    plane.demand.server(&"hello".into()).unserved();
    let (_, urgent) = plane.hear().await;
    assert_eq!(urgent.servers[0].server, "hello");
    assert_eq!(urgent.servers[0].unserved, 1);
}

#[tokio::test]
async fn a_flood_of_unserved_requests_is_one_urgent_report() {
    let mut plane = Plane::start(Manner::Acknowledges, NEVER_AGAIN).await;
    plane.hear().await;
    let server = plane.demand.server(&"hello".into());
    (0..1_000).for_each(|_| server.unserved());
    let (_, urgent) = plane.hear().await;
    assert_eq!(urgent.servers[0].unserved, 1_000);
    (0..1_000).for_each(|_| server.unserved());
    plane.demand.server(&"other".into()).unserved();
    let (_, next) = plane.hear().await;
    let names: Vec<_> = next.servers.iter().map(|server| &server.server).collect();
    assert_eq!(names, ["other"]);
}

#[tokio::test]
async fn a_broken_stream_is_opened_again_in_full() {
    let mut plane = Plane::start(Manner::BreaksOffAfterOne, OFTEN).await;
    let first = plane.hear_full().await;
    let second = plane.hear_full().await;
    assert!(second.sequence > first.sequence);
}

#[tokio::test]
async fn reports_follow_the_lease_to_its_next_holder() {
    let mut plane = Plane::start(Manner::Acknowledges, OFTEN).await;
    plane.hear().await;
    plane.elect(Manner::Acknowledges).await;
    let (_, first) = plane.hear().await;
    assert!(first.full);
}

#[tokio::test]
async fn a_receiver_that_lost_track_gets_a_full_report() {
    let mut plane = Plane::start(Manner::AsksForResync, OFTEN).await;
    let first = plane.hear_full().await;
    let again = plane.hear_full().await;
    assert!(again.sequence > first.sequence);
}

#[tokio::test]
async fn a_registry_has_one_reporter() {
    let demand = Demand::new();
    let (_publisher, view) = View::new();
    let first = Reporter::new(Arc::clone(&demand), view.clone(), settings());
    assert!(first.is_ok());
    let second = Reporter::new(demand, view, settings());
    assert!(matches!(second, Err(ReporterError::Taken)));
}
