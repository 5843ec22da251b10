//! A relay as control sees it, played by a test.

use std::net::SocketAddr;

use fprs_proto::record;
use fprs_proto::worker::workers_client::WorkersClient;
use fprs_proto::worker::{
    FromWorker, Heartbeat, Hello, InFlight, LogLines, Phase, ReplicaUpdate, Start, ToWorker,
    from_worker, to_worker,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};

use crate::plane::{DEADLINE, TOKEN};

pub(crate) struct Relay {
    up: mpsc::Sender<FromWorker>,
    down: Streaming<ToWorker>,
}

pub(crate) fn offer(id: &str, epoch: u64) -> record::Worker {
    record::Worker {
        id: id.to_owned(),
        address: "127.0.0.1:9000".to_owned(),
        compute_region: "local".to_owned(),
        capacity: 100,
        epoch,
        draining: false,
        egress: String::new(),
        ..record::Worker::default()
    }
}

pub(crate) fn update(replica: &str, phase: Phase) -> ReplicaUpdate {
    ReplicaUpdate {
        replica: replica.to_owned(),
        phase: phase.into(),
        reason: String::new(),
        startup_ms: 12,
    }
}

impl Relay {
    /// Attaches and waits for the Welcome.
    pub(crate) async fn attach(address: SocketAddr, id: &str) -> Self {
        Self::attach_with(address, id, 1, Vec::new()).await
    }

    pub(crate) async fn attach_with(
        address: SocketAddr,
        id: &str,
        epoch: u64,
        replicas: Vec<ReplicaUpdate>,
    ) -> Self {
        let hello = Hello {
            worker: Some(offer(id, epoch)),
            replicas,
        };
        let mut relay = Self::open(address, TOKEN, from_worker::Message::Hello(hello))
            .await
            .unwrap();
        let order = relay.order().await;
        assert!(matches!(order, to_worker::Message::Welcome(_)), "{order:?}");
        relay
    }

    /// Opens a channel with that first message.
    pub(crate) async fn open(
        address: SocketAddr,
        token: &str,
        first: from_worker::Message,
    ) -> Result<Self, Status> {
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let (up, sent) = mpsc::channel(64);
        let message = Some(first);
        up.send(FromWorker { message }).await.unwrap();
        let mut request = Request::new(ReceiverStream::new(sent));
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let down = WorkersClient::new(channel)
            .attach(request)
            .await?
            .into_inner();
        Ok(Self { up, down })
    }

    /// What control says next; the end of the channel as its status.
    pub(crate) async fn hear(&mut self) -> Result<Option<to_worker::Message>, Status> {
        let next = tokio::time::timeout(DEADLINE, self.down.message());
        let order = next.await.expect("control says nothing")?;
        Ok(order.map(|order| order.message.unwrap()))
    }

    pub(crate) async fn order(&mut self) -> to_worker::Message {
        self.hear().await.unwrap().unwrap()
    }

    pub(crate) async fn start(&mut self) -> Start {
        match self.order().await {
            to_worker::Message::Start(start) => start,
            other => panic!("not a Start: {other:?}"),
        }
    }

    pub(crate) async fn say(&self, message: from_worker::Message) {
        let message = Some(message);
        self.up.send(FromWorker { message }).await.unwrap();
    }

    pub(crate) async fn update(&self, replica: &str, phase: Phase) {
        self.say(from_worker::Message::Replica(update(replica, phase)))
            .await;
    }

    pub(crate) async fn fail(&self, replica: &str, reason: &str) {
        let mut failed = update(replica, Phase::Failed);
        failed.reason = reason.to_owned();
        self.say(from_worker::Message::Replica(failed)).await;
    }

    pub(crate) async fn beat(&self, replica: &str, count: u64) {
        let replica = replica.to_owned();
        let in_flight = vec![InFlight { replica, count }];
        self.say(from_worker::Message::Heartbeat(Heartbeat { in_flight }))
            .await;
    }

    pub(crate) async fn log(&self, request: u64, lines: &[&str], end: bool) {
        let lines = lines.iter().map(ToString::to_string).collect();
        self.say(from_worker::Message::Logs(LogLines {
            request,
            lines,
            end,
        }))
        .await;
    }
}
