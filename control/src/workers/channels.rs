//! The open channels to workers: one bounded queue each, never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;

use fprs_proto::worker as wire;
use tokio::sync::mpsc;

use crate::fleet::SessionId;

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

/// Orders that may wait for one worker: more than a burst on a large worker, less than 1 MiB.
pub(super) const MAX_ORDERS: usize = 1024;
