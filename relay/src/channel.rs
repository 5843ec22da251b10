//! The relay's connection to control: kept up against any of its addresses. What runs goes on
//! running while there is none.

use std::sync::Arc;
use std::time::Duration;

use fprs_config::Worker;
use fprs_proto::worker::workers_client::WorkersClient;
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

mod backoff;
mod counts;
mod session;
mod tails;

use backoff::Backoff;
use session::{Parting, Session};

use crate::flag::raised;
use crate::metrics::Metrics;
use crate::supervisor::Supervisor;

/// Where control is and how a relay presents itself.
#[derive(Debug)]
pub(crate) struct ControlChannel {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) authorization: MetadataValue<Ascii>,
    pub(crate) worker: Worker,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) metrics: Metrics,
    /// Turns true with the first welcome.
    pub(crate) attached: watch::Sender<bool>,
    /// Turns true when everything was told that is to be.
    pub(crate) finish: watch::Receiver<bool>,
}

/// Why a connection to control ended, or was none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("refused: {0}")]
    Refused(String),
    #[error("no welcome within {WELCOME_WITHIN:?}; is this the admin address of a control?")]
    NoWelcome,
    #[error("lost: {0}")]
    Lost(String),
    #[error("control reads nothing we send")]
    Stuck,
}

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Control reads the store before it welcomes a worker.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// A dead network is noticed within the shortest sensible worker lease.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Prepares the connection to one address of control, `host:port` or a URL.
///
/// # Errors
/// It is neither.
pub(crate) fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    let url = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    Ok(Endpoint::from_shared(url)?
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE))
}

impl ControlChannel {
    /// Keeps a connection up until it is to finish.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        // Relays of a fleet that start together spread over the control processes.
        let mut next = fastrand::usize(..self.endpoints.len().max(1));
        while !*self.finish.borrow() {
            let Some(endpoint) = self.endpoints.get(next) else {
                tracing::error!("there is no control address to connect to");
                return;
            };
            let address = endpoint.uri().clone();
            let ended = Box::pin(self.attend(endpoint.clone(), &mut backoff)).await;
            self.metrics.connected(false);
            match ended {
                Ok(Parting::Finished) => return,
                Ok(Parting::ByControl) => tracing::info!(%address, "control closed the channel"),
                Err(error) => tracing::warn!(%address, %error, "no channel to control, retrying"),
            }
            next = (next + 1) % self.endpoints.len();
            let pause = backoff.next(fastrand::f64());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = raised(&mut self.finish) => {}
            }
        }
    }

    async fn attend(
        &self,
        endpoint: Endpoint,
        backoff: &mut Backoff,
    ) -> Result<Parting, ChannelError> {
        let mut finish = self.finish.clone();
        let opened = tokio::select! {
            opened = tokio::time::timeout(WELCOME_WITHIN, self.open(endpoint)) => opened,
            () = raised(&mut finish) => return Ok(Parting::Finished),
        };
        let session = opened.map_err(|_| ChannelError::NoWelcome)??;
        backoff.reset();
        self.metrics.connected(true);
        self.attached.send_replace(true);
        session.run(finish).await
    }

    async fn open(&self, endpoint: Endpoint) -> Result<Session, ChannelError> {
        let connected = endpoint.connect().await;
        let channel: Channel = connected.map_err(|error| ChannelError::Connect(deepest(&error)))?;
        let client = WorkersClient::new(channel);
        Session::open(
            client,
            self.authorization.clone(),
            &self.worker,
            Arc::clone(&self.supervisor),
        )
        .await
    }
}

/// The innermost cause says what the system said; tonic's own text is "transport error".
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
