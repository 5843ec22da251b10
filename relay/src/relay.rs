//! The relay role, put together: state directory, supervisor, and channel to control. It leaves no
//! program behind: on shutdown it stops them, on start it clears what a killed relay left.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_config::Worker;
use prometheus::Registry;
use tokio::sync::watch;

use crate::channel::{self, ControlChannel};
use crate::metrics::Metrics;
use crate::program::Worksite;
use crate::program::leftovers::RunNotes;
use crate::program::port::Ports;
use crate::replicas::ReplicaTable;
use crate::settings::RelaySettings;
use crate::state::StateDir;
use crate::supervisor::Supervisor;

/// A worker's relay, ready to run.
#[derive(Debug)]
pub struct Relay {
    table: Arc<ReplicaTable>,
    supervisor: Arc<Supervisor>,
    channel: ControlChannel,
    finish: watch::Sender<bool>,
    shutdown_timeout: Duration,
    /// Ours until nothing runs any more.
    state: StateDir,
}

/// Why a relay can't be.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The state directory can't be used.
    #[error("cannot use state directory `{path}`: {source}; give one that is writable")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two relays would kill each other's programs.
    #[error("state directory `{0}` is used by another relay; give each its own")]
    StateDirTaken(PathBuf),
    /// Nobody to ask what to run.
    #[error("no control address given; give at least one, like 127.0.0.1:9090")]
    NoControl,
    /// Not an address.
    #[error("control address `{0}` is neither host:port nor a URL")]
    ControlAddress(String),
    /// The token can't be sent in a header.
    #[error("the admin token has characters that no token has; was it cut or pasted wrongly?")]
    Token,
    /// A program needs room.
    #[error("capacity is 0; a worker runs at least one replica")]
    NoCapacity,
    /// Two relays on one registry, or a name taken.
    #[error("cannot register the relay's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// For the last words to reach control after every program has ended.
const PART_WITHIN: Duration = Duration::from_secs(2);

impl Relay {
    /// Takes the state directory, kills what a killed relay left running by it, and registers the
    /// metrics. Blocks on the disk.
    ///
    /// # Errors
    /// A setting is wrong, or the state directory is unusable or another relay's.
    pub fn new(settings: RelaySettings, registry: &Registry) -> Result<Self, RelayError> {
        if settings.capacity == 0 {
            return Err(RelayError::NoCapacity);
        }
        let endpoints = endpoints(&settings.control)?;
        let authorization = format!("Bearer {}", settings.token)
            .parse()
            .map_err(|_| RelayError::Token)?;
        let state = StateDir::take(&settings.state_dir)?;
        let notes = clear_leftovers(&state)
            .map_err(|error| RelayError::state_dir(&settings.state_dir, error))?;
        let worker = Worker {
            id: settings.worker_id.map_or_else(|| state.worker_id(), Ok)?,
            address: settings.data_address,
            compute_region: settings.compute_region,
            capacity: settings.capacity,
            epoch: epoch(),
            draining: false,
            egress: settings.reached_by,
            made_for: settings.pod.as_ref().map(|pod| pod.made_for.clone()),
        };
        let site = Worksite {
            ports: Ports::default(),
            notes,
            kill_after: settings.kill_after,
            beside: settings.pod.map(|pod| pod.program),
        };
        let metrics = Metrics::new(registry)?;
        let table = Arc::new(ReplicaTable::new());
        let supervisor = Supervisor::new(Arc::clone(&table), site, metrics.clone());
        let (finish, finishing) = watch::channel(false);
        Ok(Self {
            channel: ControlChannel {
                endpoints,
                authorization,
                worker,
                supervisor: Arc::clone(&supervisor),
                metrics,
                attached: watch::Sender::new(false),
                finish: finishing,
            },
            table,
            supervisor,
            finish,
            shutdown_timeout: settings.shutdown_timeout,
            state,
        })
    }

    /// The replicas that run, for the data path.
    pub fn table(&self) -> Arc<ReplicaTable> {
        Arc::clone(&self.table)
    }

    /// The worker's name in the plane.
    pub fn worker_id(&self) -> &str {
        &self.channel.worker.id
    }

    /// Turns true when control has welcomed this relay for the first time.
    pub fn attached(&self) -> watch::Receiver<bool> {
        self.channel.attached.subscribe()
    }

    /// Runs what control says until `shutdown`, then stops all programs, within the shutdown
    /// timeout, and tells control. Dropped instead, it kills them.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            supervisor,
            channel,
            finish,
            shutdown_timeout,
            state,
            ..
        } = self;
        let _abandoned = Abandoned(&supervisor);
        let stopping = async {
            shutdown.await;
            tracing::info!("relay stops its programs");
            supervisor.stop_all(shutdown_timeout).await;
            finish.send_replace(true);
            tokio::time::sleep(PART_WITHIN).await;
        };
        tokio::select! {
            () = channel.run() => {}
            () = stopping => tracing::debug!("control did not close the channel in time"),
        }
        drop(state);
    }
}

/// Kills what still runs when the relay is let go of in the middle.
struct Abandoned<'a>(&'a Supervisor);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.kill_all();
    }
}

impl RelayError {
    pub(crate) fn state_dir(path: &Path, source: io::Error) -> Self {
        Self::StateDir {
            path: path.to_owned(),
            source,
        }
    }
}

fn endpoints(addresses: &[String]) -> Result<Vec<tonic::transport::Endpoint>, RelayError> {
    if addresses.is_empty() {
        return Err(RelayError::NoControl);
    }
    addresses
        .iter()
        .map(|address| {
            channel::endpoint(address).map_err(|_| RelayError::ControlAddress(address.clone()))
        })
        .collect()
}

fn clear_leftovers(state: &StateDir) -> io::Result<RunNotes> {
    let notes = RunNotes::open(state.programs())?;
    let programs = notes.clear()?;
    if programs > 0 {
        tracing::warn!(
            programs,
            "killed programs that an earlier relay left running"
        );
    }
    Ok(notes)
}

/// Differs from that of every earlier process on this worker.
fn epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(1, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}
