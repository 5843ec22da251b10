//! A proxy that serves on but whose reports no longer arrive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fprs_config::{ReplicaState, Scaling};
use fprs_proto::demand::demand_client::DemandClient;
use fprs_proto::demand::{RelayCounts, ReplicaCount, WorkerCounts};

use crate::plane::{Plane, Proxy, WORKER, scaling, within};

/// Tells the autoscaler what the one relay counts, as control does, until it is dropped.
pub(crate) struct Relay {
    in_flight: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub(crate) fn counts(autoscaler: SocketAddr, replica: &str, in_flight: u64) -> Self {
        let replica = replica.to_owned();
        let in_flight = Arc::new(AtomicU64::new(in_flight));
        let counted = Arc::clone(&in_flight);
        let task = tokio::spawn(async move {
            let address = format!("http://{autoscaler}");
            let mut client = DemandClient::connect(address).await.expect("it answers");
            loop {
                let counts = RelayCounts {
                    workers: vec![WorkerCounts {
                        worker: WORKER.to_owned(),
                        replicas: vec![ReplicaCount {
                            replica: replica.clone(),
                            in_flight: counted.load(Ordering::Relaxed),
                        }],
                    }],
                };
                client.count(counts).await.expect("it takes counts");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        Self { in_flight, task }
    }

    /// It counts so many from now on.
    pub(crate) fn tell(&self, in_flight: u64) {
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_cut_off_loses_no_replica_its_requests_are_on() {
    let plane = Plane::start().await;
    let cut_off = Proxy::start(&plane, "cut off");
    let _other = Proxy::start(&plane, "other");
    let quick = Scaling {
        scaledown_window: Duration::from_millis(500),
        ..scaling()
    };
    plane.deploy("s", quick).await;
    plane.reported_to().await;
    cut_off.demand.server(&"s".into()).unserved();
    within("a replica is ready", || {
        plane.count("s", ReplicaState::Ready) == 1
    })
    .await;
    let replica = plane.replicas("s", ReplicaState::Ready).remove(0);
    let gauge = cut_off.demand.replica(&"s".into(), &replica);
    let _held: Vec<_> = (0..3).map(|_| gauge.begin()).collect();
    let relay = Relay::counts(plane.address(), &replica, 3);
    within("the load is known", || plane.autoscaler.in_flight() == 3).await;

    cut_off.path(true);

    within("it is silent", || plane.autoscaler.unheard() == 3).await;
    let silent = Instant::now();
    while silent.elapsed() < Duration::from_secs(2) {
        assert_eq!(plane.autoscaler.in_flight(), 3);
        assert_eq!(plane.count("s", ReplicaState::Ready), 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(relay);
    within("nobody speaks for it", || plane.all("s") == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_that_no_proxy_ever_reported_raises_an_alarm_and_keeps_its_replica() {
    let plane = Plane::start().await;
    let _proxy = Proxy::start(&plane, "proxy-1");
    let one = Scaling {
        min_replicas: 1,
        ..scaling()
    };
    plane.deploy("s", one).await;
    within("a replica is ready", || {
        plane.count("s", ReplicaState::Ready) == 1
    })
    .await;
    let replica = plane.replicas("s", ReplicaState::Ready).remove(0);
    let relay = Relay::counts(plane.address(), &replica, 3);
    within("they disagree", || plane.autoscaler.disagreeing() == 1).await;
    within("it is load", || plane.autoscaler.in_flight() == 3).await;
    let none = Scaling {
        min_replicas: 0,
        ..one
    };
    plane.scale("s", none).await;
    let scaled = Instant::now();
    while scaled.elapsed() < Duration::from_secs(2) {
        assert_eq!(plane.count("s", ReplicaState::Ready), 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(relay);
    let _agrees = Relay::counts(plane.address(), &replica, 0);
    within("they agree again", || plane.autoscaler.disagreeing() == 0).await;
    assert_eq!(plane.autoscaler.in_flight(), 0);
    within("nothing is wanted", || plane.all("s") == 0).await;
}
