//! The open channels to workers: one bounded queue each, never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fprs_proto::worker as wire;
use tokio::sync::mpsc;

use crate::fleet::SessionId;
use crate::lifecycle::Order;

/// One queue of orders per attached worker.
#[derive(Debug, Default)]
pub(super) struct Channels {
    open: BTreeMap<Arc<str>, Channel>,
}

#[derive(Debug)]
struct Channel {
    session: SessionId,
    orders: mpsc::Sender<wire::ToWorker>,
}

/// Why a worker did not get an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SendError {
    /// It is not attached.
    #[error("it is not attached")]
    Closed,
    /// It did not take those before.
    #[error("{MAX_ORDERS} orders wait for it")]
    Full,
}

impl Channels {
    /// Opens the channel of a worker; an older one of that worker closes.
    pub(super) fn open(
        &mut self,
        worker: Arc<str>,
        session: SessionId,
    ) -> mpsc::Receiver<wire::ToWorker> {
        let (orders, receiver) = mpsc::channel(MAX_ORDERS);
        self.open.insert(worker, Channel { session, orders });
        receiver
    }

    /// Closes the channel of a worker and says whose it was.
    pub(super) fn close(&mut self, worker: &str) -> Option<SessionId> {
        self.open.remove(worker).map(|channel| channel.session)
    }

    /// Queues a message for a worker.
    ///
    /// # Errors
    /// When it is not attached or its queue is full.
    pub(super) fn send(
        &self,
        worker: &str,
        message: wire::to_worker::Message,
    ) -> Result<(), SendError> {
        let channel = self.open.get(worker).ok_or(SendError::Closed)?;
        let message = wire::ToWorker {
            message: Some(message),
        };
        channel
            .orders
            .try_send(message)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Closed(_) => SendError::Closed,
                mpsc::error::TrySendError::Full(_) => SendError::Full,
            })
    }
}

/// An order as it goes over the wire.
pub(super) fn message(order: &Order, lease: Duration) -> wire::to_worker::Message {
    use wire::to_worker::Message;
    match order {
        Order::Disconnect | Order::Welcome => Message::Welcome(wire::Welcome {
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
        }),
        Order::Start {
            replica,
            server,
            version,
        } => Message::Start(wire::Start {
            replica: replica.to_string(),
            server: server.to_string(),
            version: Some(version.to_wire()),
        }),
        Order::Stop { replica } => Message::Stop(wire::Stop {
            replica: replica.to_string(),
        }),
    }
}

/// Orders that may wait for one worker: more than a burst on a large worker, less than 1 MiB.
pub(crate) const MAX_ORDERS: usize = 1024;
