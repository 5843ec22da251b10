//! The relay role: supervision, its channel to control, and the cores of its data path.

mod pod;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use fprs_control::ReadyCheck;
use fprs_forward::{Budget, Deadlines, Shards, limits};
use fprs_relay::data::{Data, Edited};
use fprs_relay::replicas::ReplicaTable;
use fprs_relay::{Relay, RelaySettings};
use prometheus::Registry;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::process::Parts;
use crate::roles::otlp::Tracing;
use crate::roles::readings;

/// A relay that runs.
#[derive(Debug)]
pub struct Relaying {
    worker: String,
    attached: watch::Receiver<bool>,
    table: Arc<ReplicaTable>,
    shards: Shards<Data>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    tracing: Option<Tracing>,
}

/// For proxies to take notice that nothing is begun here any more: what they had sent before that is
/// answered with a refusal, after which they ask another replica.
const PART_WITHIN: Duration = Duration::from_secs(2);

/// Proxies keep their connections warm, and the system tells when one is gone.
fn for_proxies() -> Deadlines {
    Deadlines {
        idle: limits::EXCHANGE_IDLE,
        ..Deadlines::default()
    }
}

impl Relaying {
    /// Starts a relay whose data path accepts on `listener`.
    ///
    /// # Errors
    /// Its state directory is unusable, a setting is wrong, or the system gives no threads.
    pub fn start(
        settings: RelaySettings,
        (cores, budget): (usize, &Arc<Budget>),
        listener: TcpListener,
        tracing: Option<&Tracing>,
        registry: &Registry,
        parts: &mut Parts,
    ) -> Result<Self, Failure> {
        let relay = Relay::new(settings, registry).map_err(Failure::new)?;
        let worker = relay.worker_id().to_owned();
        let attached = relay.attached();
        let table = relay.table();
        let counted = Arc::clone(&table);
        let in_flight = move || counted.load().values().map(|r| r.in_flight()).sum::<u64>();
        readings::gauge(
            registry,
            "fprs_relay_exchanges_in_flight",
            "Exchanges with programs begun and not ended.",
            move || in_flight() as f64,
        )?;
        let of_cores = Arc::clone(&table);
        let threads = |error| Failure::new(format!("can't start the relay's data path: {error}"));
        let budget = Arc::clone(budget);
        let traces = tracing.map(|tracing| tracing.traces().clone());
        let shards = Shards::start_with("relay", cores, for_proxies(), move |_| {
            Data::new(Arc::clone(&of_cores), &budget, traces.as_ref())
        })
        .map_err(threads)?;
        shards.listen(listener).map_err(threads)?;
        let mut edits = table.edits();
        let edited = shards.clone();
        parts.run("the relay's editor", async move {
            while edits.changed().await.is_ok() {
                edited.send(&Edited::Replicas).await;
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(relay.run(async move {
            // A sender that is gone means the same as its word.
            stopped.await.ok();
        }));
        Ok(Self {
            worker,
            attached,
            table,
            shards,
            stop,
            running,
            tracing: tracing.cloned(),
        })
    }

    /// The worker's name in the plane.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Waits until control has welcomed it; `false`: it ended before.
    pub fn attached(&self) -> impl Future<Output = bool> + use<> {
        let mut attached = self.attached.clone();
        async move { attached.wait_for(|attached| *attached).await.is_ok() }
    }

    /// Whether this pod serves.
    pub fn pod_ready(&self) -> ReadyCheck {
        pod::ready(Arc::clone(&self.table))
    }

    /// What the pod's other container asks for before it ends.
    pub fn pod_routes(&self) -> Router {
        pod::routes(Arc::clone(&self.table))
    }

    /// Stops every program, says goodbye to control, and then to proxies.
    pub async fn stop(self) {
        self.stop.send(()).ok();
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the relay failed while stopping");
        }
        if !self.shards.drain(PART_WITHIN).await {
            tracing::debug!("a proxy kept its connection after it was told that this relay ends");
        }
        if let Some(tracing) = &self.tracing {
            tracing.flush().await;
        }
    }
}
