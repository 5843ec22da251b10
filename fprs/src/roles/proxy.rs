//! The proxy role: cores, routing table and demand reports.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_autoscaler_client::{Demand, Reporter, reporter};
use fprs_config::View;
use fprs_forward::Shards;
use prometheus::Registry;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::process::Parts;
use crate::proxy::metrics::Metrics;
use crate::proxy::table::Edit;
use crate::proxy::{Proxy, Settings, Tables};
use crate::roles::follow::Observer;

/// Edits that may wait for the cores; what doesn't fit is told with the next one.
const EDITS: usize = 1024;

/// A proxy that serves.
#[derive(Debug)]
pub struct Proxying {
    demand: Arc<Demand>,
    tables: Arc<Tables>,
    shards: Shards<Proxy>,
    edits: Option<mpsc::Receiver<Arc<Edit>>>,
    editor: mpsc::Sender<Arc<Edit>>,
}

impl Proxying {
    /// Starts the cores. They refuse everything until the table is loaded.
    ///
    /// # Errors
    /// The system gives no threads, or the metrics are registered already.
    pub fn start(
        settings: &crate::settings::Settings,
        registry: &Registry,
    ) -> Result<Self, Failure> {
        let (cores, deadlines) = (settings.cores, settings.deadlines);
        let demand = Demand::new();
        let tables = Tables::new(&settings.zone, Arc::clone(&demand));
        let metrics = Metrics::new(cores).map_err(Failure::new)?;
        registry
            .register(Box::new(metrics.clone()))
            .map_err(Failure::new)?;
        let settings = Settings {
            tables: Arc::clone(&tables),
            edges: settings.trusted_edges.clone().into(),
        };
        let shards = Shards::start_with("proxy", cores, deadlines, move |core| {
            Proxy::new(&settings, metrics.core(core))
        })
        .map_err(|error| Failure::new(format!("can't start the proxy's threads: {error}")))?;
        let (editor, edits) = mpsc::channel(EDITS);
        Ok(Self {
            demand,
            tables,
            shards,
            edits: Some(edits),
            editor,
        })
    }

    /// Takes over every change before it is in force.
    pub fn observer(&self) -> Observer {
        let (tables, editor) = (Arc::clone(&self.tables), self.editor.clone());
        let mut untold = Edit::default();
        Box::new(move |applied| {
            let edit = tables.apply(applied);
            untold.added.extend(edit.added);
            untold.removed.extend(edit.removed);
            if untold.added.is_empty() && untold.removed.is_empty() {
                return;
            }
            if let Ok(permit) = editor.try_reserve() {
                permit.send(Arc::new(std::mem::take(&mut untold)));
            }
        })
    }

    /// Accepts on `listener`, tells cores of edits and the autoscaler of demand.
    ///
    /// # Errors
    /// The listener can't be used, or the token can't be sent.
    pub fn serve(
        &mut self,
        listener: TcpListener,
        view: View,
        token: &str,
        parts: &mut Parts,
    ) -> Result<(), Failure> {
        if let Some(mut edits) = self.edits.take() {
            let shards = self.shards.clone();
            parts.run("the proxy's editor", async move {
                while let Some(edit) = edits.recv().await {
                    shards.send(&edit).await;
                }
            });
        }
        let settings = reporter::Settings {
            proxy: format!("proxy-{:08x}", fastrand::u32(..)),
            epoch: epoch(),
            token: token.to_owned(),
            interval: reporter::Settings::INTERVAL,
        };
        let reporter = Reporter::new(Arc::clone(&self.demand), view, settings);
        parts.run("the demand reporter", reporter.map_err(Failure::new)?.run());
        self.shards
            .listen(listener)
            .map_err(|error| Failure::new(format!("can't accept connections: {error}")))
    }

    /// The table is loaded.
    pub fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables)
    }

    /// Ends all exchanges within the deadline.
    pub async fn drain(&self, deadline: Duration) {
        if !self.shards.drain(deadline).await {
            tracing::warn!(
                exchanges = self.shards.exchanges(),
                "the drain deadline came before the last exchange ended"
            );
        }
    }
}

/// The start's wall-clock time; grows with every start of a process.
fn epoch() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
