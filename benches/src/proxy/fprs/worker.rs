//! A stand-in for a worker: it attaches to control and says at once that every replica it is told
//! to start is ready, at the origin's address.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::{Context as _, Result};
use fprs_proto::{
    record::Worker,
    worker::{
        FromWorker, Heartbeat, Hello, Phase, ReplicaUpdate, from_worker::Message, to_worker,
        workers_client::WorkersClient,
    },
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::plane::ADMIN_TOKEN;

const HEARTBEAT: Duration = Duration::from_millis(500);
/// Words to control that may wait; a replica has two.
const WORDS: usize = 16;

/// An attached stand-in; it is gone with this value.
#[derive(Debug)]
pub(super) struct Attached {
    /// Its end ends the thread.
    _end: oneshot::Sender<()>,
}

/// The compute region of the origin's stand-in.
pub(super) const ORIGINS: &str = "local";

/// Attaches to the control at `admin`, for the replicas of a compute region.
pub(super) fn attach(admin: SocketAddr, region: &str, origin: SocketAddr) -> Result<Attached> {
    let (end, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (words, said) = mpsc::channel(WORDS);
    let mut orders = runtime.block_on(async {
        words
            .send(FromWorker {
                message: Some(hello(region, origin)),
            })
            .await?;
        let mut client = WorkersClient::connect(format!("http://{admin}")).await?;
        let mut request = tonic::Request::new(ReceiverStream::new(said));
        let bearer = format!("Bearer {ADMIN_TOKEN}").parse()?;
        request.metadata_mut().insert("authorization", bearer);
        anyhow::Ok(
            client
                .attach(request)
                .await
                .context("control refuses the stand-in")?
                .into_inner(),
        )
    })?;
    thread::spawn(move || {
        runtime.block_on(async move {
            let work = async {
                let mut beat = tokio::time::interval(HEARTBEAT);
                loop {
                    let word = tokio::select! {
                        _ = beat.tick() => Some(Message::Heartbeat(Heartbeat { in_flight: Vec::new() })),
                        order = orders.message() => match order {
                            Ok(Some(order)) => order.message.and_then(obey),
                            Ok(None) | Err(_) => return,
                        },
                    };
                    if let Some(message) = word
                        && words.send(FromWorker { message: Some(message) }).await.is_err()
                    {
                        return;
                    }
                }
            };
            tokio::select! {
                () = work => {}
                _ = ended => {}
            }
        });
    });
    Ok(Attached { _end: end })
}

fn hello(region: &str, origin: SocketAddr) -> Message {
    let worker = Worker {
        id: format!("bench-{region}"),
        address: origin.to_string(),
        compute_region: region.to_owned(),
        capacity: 8,
        epoch: 1,
        draining: false,
        // It is reached as it is, and runs what it is told.
        ..Worker::default()
    };
    Message::Hello(Hello {
        worker: Some(worker),
        replicas: Vec::new(),
    })
}

fn obey(order: to_worker::Message) -> Option<Message> {
    let (replica, phase) = match order {
        to_worker::Message::Start(start) => (start.replica, Phase::Ready),
        to_worker::Message::Stop(stop) => (stop.replica, Phase::Stopped),
        _ => return None,
    };
    Some(Message::Replica(ReplicaUpdate {
        replica,
        phase: phase.into(),
        reason: String::new(),
        startup_ms: 1,
    }))
}
