//! The proxy role: cores, routing table and demand reports.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use fprs_autoscaler_client::{Demand, Reporter, reporter};
use fprs_config::View;
use fprs_control::ReadyCheck;
use fprs_forward::{Budget, Shards};
use prometheus::Registry;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::process::Parts;
use crate::proxy::access_log::Destination;
use crate::proxy::metrics::Metrics;
use crate::proxy::mirror::{self, Mirrors, Uploader};
use crate::proxy::sources::Sources;
use crate::proxy::table::Edit;
use crate::proxy::{AccessLog, Proxy, Settings, Tables, admit, split};
use crate::roles::follow::Observer;
use crate::roles::mirrors::Seen;
use crate::roles::otlp::Tracing;
use crate::roles::{readings, save_usage};
use crate::settings::Drain;
use crate::usage::Usage;

/// Edits that may wait for the cores; what doesn't fit is told with the next one.
const EDITS: usize = 1024;

/// A proxy that serves.
#[derive(Debug)]
pub struct Proxying {
    demand: Arc<Demand>,
    tables: Arc<Tables>,
    metrics: Metrics,
    leaving: Arc<AtomicBool>,
    shards: Shards<Proxy>,
    edits: Option<mpsc::Receiver<Arc<Edit>>>,
    editor: mpsc::Sender<Arc<Edit>>,
    access_log: Option<AccessLog>,
    uploader: Option<Uploader>,
    tracing: Option<Tracing>,
    usage: Usage,
}

impl Proxying {
    /// Starts the cores. Until the table is loaded they refuse what comes.
    ///
    /// # Errors
    /// The system gives no threads, or the metrics are registered already.
    pub fn start(
        settings: &crate::settings::Settings,
        budget: &Arc<Budget>,
        registry: &Registry,
    ) -> Result<Self, Failure> {
        Self::start_with(settings, budget, (None, &Usage::default()), registry)
    }

    /// [`Self::start`], with somebody who takes spans and somebody who counts what tenants use.
    ///
    /// # Errors
    /// Like [`Self::start`].
    pub fn start_with(
        settings: &crate::settings::Settings,
        budget: &Arc<Budget>,
        (tracing, usage): (Option<&Tracing>, &Usage),
        registry: &Registry,
    ) -> Result<Self, Failure> {
        let (cores, deadlines) = (settings.cores, settings.deadlines);
        let demand = Demand::new();
        let tables = Tables::with(
            &settings.zone,
            Arc::clone(&demand),
            Mirrors::new(settings.mirror_limit, settings.capture_dir.clone()),
            Sources::new(&settings.egress_state_dir),
        );
        let uploader = uploader(settings, &tables)?;
        let metrics = Metrics::new(cores).map_err(Failure::new)?;
        registry
            .register(Box::new(metrics.clone()))
            .map_err(Failure::new)?;
        let leaving = Arc::default();
        let access_log = access_log(registry, settings.access_log.as_ref())?;
        let settings = Settings {
            tables: Arc::clone(&tables),
            edges: settings.trusted_edges.clone().into(),
            leaving: Arc::clone(&leaving),
            budget: Arc::clone(budget),
            overload: Arc::default(),
            access_log: access_log.clone(),
            traces: tracing.map(|tracing| tracing.traces().clone()),
            usage: usage.clone(),
        };
        let tenants = admit::metrics::Metrics::new(&tables, &settings.overload);
        let tenants = tenants.map_err(Failure::new)?;
        registry.register(Box::new(tenants)).map_err(Failure::new)?;
        let mirrors = mirror::Metrics::new(&tables).map_err(Failure::new)?;
        registry.register(Box::new(mirrors)).map_err(Failure::new)?;
        let splits = split::Metrics::new(&tables).map_err(Failure::new)?;
        registry.register(Box::new(splits)).map_err(Failure::new)?;
        let counters = metrics.clone();
        let shards = Shards::start_with("proxy", cores, deadlines, move |core| {
            Proxy::new(&settings, counters.core(core))
        })
        .map_err(|error| Failure::new(format!("can't start the proxy's threads: {error}")))?;
        load_metrics(registry, &demand, &shards)?;
        let (editor, edits) = mpsc::channel(EDITS);
        Ok(Self {
            demand,
            tables,
            metrics,
            leaving,
            shards,
            edits: Some(edits),
            editor,
            access_log,
            uploader,
            tracing: tracing.cloned(),
            usage: usage.clone(),
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
        let sources = self.tables.sources().clone();
        parts.run("the egress pools", sources.follow());
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

    /// What it has seen of mirrors.
    pub fn seen(&self) -> Seen {
        Seen(Arc::clone(&self.tables))
    }

    /// Whether it serves: once a table is loaded, until it leaves.
    pub fn ready_check(&self) -> ReadyCheck {
        let (tables, leaving) = (Arc::clone(&self.tables), Arc::clone(&self.leaving));
        Arc::new(move || {
            if leaving.load(Ordering::Relaxed) {
                Err("draining".to_owned())
            } else if tables.load().is_loaded() {
                Ok(())
            } else {
                Err("waiting for the first snapshot of the store".to_owned())
            }
        })
    }

    /// Ends: readiness fails first, and while edges take notice all is served; then the listeners
    /// close, and exchanges end within the deadline.
    pub async fn drain(&self, drain: Drain) {
        self.leaving.store(true, Ordering::Relaxed);
        self.end(drain).await;
    }

    /// Accepts no more: another process has the same listeners and serves.
    pub async fn stop_accepting(&self) {
        self.shards.stop_accepting().await;
    }

    /// Ends after [`stop_accepting`](Self::stop_accepting). Readiness does not fail: edges ask about
    /// the address, and there it goes on.
    pub async fn drain_relieved(&self, drain: Drain) {
        self.end(drain).await;
    }

    async fn end(&self, drain: Drain) {
        self.shards.leave().await;
        tokio::time::sleep(drain.delay).await;
        let emptied = self.shards.drain(drain.timeout).await;
        let in_flight = self.shards.exchanges();
        // Connections alone are clients that have their answer and don't close.
        if !emptied && in_flight > 0 {
            tracing::warn!(
                exchanges = in_flight,
                "the drain deadline came before the last exchange ended"
            );
        }
        let ended = self.metrics.totals();
        tracing::info!(
            complete = ended.complete,
            left = ended.left,
            cut = ended.cut,
            answers = ended.answers,
            in_flight,
            "drained"
        );
        self.tables.mirrors().close_captures().await;
        if let Some(uploader) = &self.uploader {
            uploader.finish().await;
        }
        if let Some(log) = &self.access_log {
            log.flush();
        }
        if let Some(tracing) = &self.tracing {
            tracing.flush().await;
        }
        save_usage(&self.usage);
    }

    /// Waits until the autoscaler can have heard the last counts. Without, it would take what was in
    /// flight a moment ago for load until this proxy's lease ends.
    pub async fn report_last(&self) {
        tokio::time::sleep(2 * reporter::Settings::INTERVAL).await;
    }
}

/// The start's wall-clock time; grows with every start of a process.
fn epoch() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What uploads captures, where they are to be uploaded.
fn uploader(
    settings: &crate::settings::Settings,
    tables: &Tables,
) -> Result<Option<Uploader>, Failure> {
    let place = settings.capture_store.clone();
    let Some((bucket, dir)) = place.zip(settings.capture_dir.clone()) else {
        return Ok(None);
    };
    let spool = Arc::clone(tables.mirrors().spool());
    Uploader::start(bucket, dir, spool)
        .map(Some)
        .map_err(|error| {
            Failure::new(format!(
                "--capture-store: {error}; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, \
                 outside AWS, AWS_ENDPOINT say how to reach it"
            ))
        })
}

fn access_log(
    registry: &Registry,
    destination: Option<&Destination>,
) -> Result<Option<AccessLog>, Failure> {
    let Some(destination) = destination else {
        return Ok(None);
    };
    let log = AccessLog::open(destination.clone()).map_err(|error| {
        Failure::new(format!(
            "can't write the access log to {destination}: {error}; give `--access-log` a file that \
             can be written, or `-`"
        ))
    })?;
    let told = log.clone();
    readings::counter(
        registry,
        "fprs_proxy_access_log_lines_lost_total",
        "Lines of the access log that were not written as fast as they came, or not at all.",
        move || told.lost(),
    )?;
    Ok(Some(log))
}

/// What a proxy has in hand now, for operators.
fn load_metrics(
    registry: &Registry,
    demand: &Arc<Demand>,
    shards: &Shards<Proxy>,
) -> Result<(), Failure> {
    let (demand, connected, begun) = (Arc::clone(demand), shards.clone(), shards.clone());
    readings::gauge(
        registry,
        "fprs_proxy_exchanges_in_flight",
        "Exchanges with replicas begun and not ended.",
        move || demand.in_flight() as f64,
    )?;
    readings::gauge(
        registry,
        "fprs_proxy_connections",
        "Connections of clients that are open.",
        move || connected.connections() as f64,
    )?;
    readings::gauge(
        registry,
        "fprs_proxy_in_flight",
        "Exchanges with clients begun and not ended.",
        move || begun.exchanges() as f64,
    )
}
