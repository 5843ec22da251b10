//! One attached relay: its Hello is checked before anything else, then its messages go to the fleet
//! and the fleet's orders to it. A session lives exactly as long as its response stream; dropping
//! the stream detaches the worker.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_config::Worker;
use fprs_proto::worker as wire;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::{Workers, running};
use crate::fleet::SessionId;

/// The `Workers` service.
#[derive(Clone, Debug)]
pub(crate) struct WorkersService(pub(crate) Arc<Workers>);

struct Session {
    workers: Arc<Workers>,
    worker: Arc<str>,
    id: SessionId,
    said: Streaming<wire::FromWorker>,
    orders: mpsc::Receiver<wire::ToWorker>,
}

#[tonic::async_trait]
impl wire::workers_server::Workers for WorkersService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<wire::ToWorker, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<wire::FromWorker>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut said = request.into_inner();
        let hello = tokio::time::timeout(HELLO_TIMEOUT, said.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no Hello came; send it first"))??;
        let (offer, replicas) = check(hello)?;
        let worker: Arc<str> = offer.id.as_str().into();
        let (id, orders) = self
            .0
            .attach(offer, running(replicas), Instant::now())
            .map_err(|_| held_elsewhere(&worker, self.0.lease()))?;
        tracing::debug!(%worker, session = id.0, "a relay attached");
        let session = Session {
            workers: Arc::clone(&self.0),
            worker,
            id,
            said,
            orders,
        };
        Ok(Response::new(Box::pin(session.into_stream())))
    }
}

impl Session {
    fn into_stream(self) -> impl Stream<Item = Result<wire::ToWorker, Status>> + Send {
        stream::unfold(Some(self), async |session| {
            let mut session = session?;
            match session.next().await {
                Ok(Some(order)) => Some((Ok(order), Some(session))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    /// The next order; `None` when the relay hung up, a status when control did. Both receives are
    /// safe to drop half-way.
    async fn next(&mut self) -> Result<Option<wire::ToWorker>, Status> {
        loop {
            tokio::select! {
                order = self.orders.recv() => {
                    return order.map(Some).ok_or_else(|| Status::aborted(HUNG_UP));
                }
                said = self.said.message() => match said {
                    Ok(Some(wire::FromWorker { message: Some(message) })) => {
                        self.workers.hear(&self.worker, self.id, message, Instant::now());
                    }
                    Ok(Some(_)) => {} // a message of a later version
                    Ok(None) => return Ok(None),
                    Err(status) => {
                        tracing::debug!(worker = %self.worker, %status, "a worker's channel broke");
                        return Ok(None);
                    }
                },
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.workers.detach(&self.worker, self.id);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("worker", &self.worker)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The worker and what it still runs, if the first message is a Hello that can be used.
fn check(first: Option<wire::FromWorker>) -> Result<(Worker, Vec<wire::ReplicaUpdate>), Status> {
    let Some(wire::from_worker::Message::Hello(hello)) = first.and_then(|said| said.message) else {
        return Err(Status::failed_precondition(
            "the first message must be Hello",
        ));
    };
    let offer = hello
        .worker
        .ok_or_else(|| Status::invalid_argument("`worker` is missing from Hello"))?;
    let offer = Worker::try_from_wire(offer).map_err(|reason| {
        Status::invalid_argument(format!("this worker can't be used: {reason}"))
    })?;
    if hello.replicas.len() > MAX_REPLICAS {
        return Err(Status::invalid_argument(format!(
            "a worker runs at most {MAX_REPLICAS} replicas; this one names {}",
            hello.replicas.len()
        )));
    }
    Ok((offer, hello.replicas))
}

fn held_elsewhere(worker: &str, lease: Duration) -> Status {
    Status::already_exists(format!(
        "another relay process is attached as `{worker}`: give this one its own worker id, or try \
         again in {lease:?} if that one is gone"
    ))
}

/// From the start of an Attach to its Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Replicas one Hello may name: far above what a machine runs, so that a broken relay can't fill
/// control's memory.
const MAX_REPLICAS: usize = 10_000;
const HUNG_UP: &str = "control closed this channel: another session took its place, the lease ended, \
                       or its orders were not taken; attach again";
