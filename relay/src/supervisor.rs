//! Every replica of this worker: which ones run, what control is to know of them, and their output.
//! A replica has one life here: its id starts one program at most, however often it is told.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fprs_config::Version;
use fprs_proto::worker::{Heartbeat, InFlight, Phase, ReplicaUpdate};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::program::Worksite;
use crate::program::capture::{Output, Tail};
use crate::program::ending::End;
use crate::program::life::{Life, Witness};
use crate::replicas::{ReplicaTable, Running};
use crate::told::{Cursor, Told};

/// Starts and stops replicas, and knows what became of them.
#[derive(Debug)]
pub(crate) struct Supervisor {
    table: Arc<ReplicaTable>,
    site: Arc<Worksite>,
    metrics: Metrics,
    book: Mutex<Book>,
    /// Changes with every new word for control.
    news: watch::Sender<()>,
    /// A stopping replica's last exchange has ended.
    drained: Notify,
    lives: TaskTracker,
}

#[derive(Debug, Default)]
struct Book {
    told: Told,
    runs: HashMap<Arc<str>, Run>,
    /// Output of replicas that ended, newest last: why they failed.
    outputs: VecDeque<(Arc<str>, Arc<Output>)>,
    /// The relay ends: nothing more is started.
    closed: bool,
}

#[derive(Debug)]
struct Run {
    stop: watch::Sender<bool>,
    output: Arc<Output>,
    abort: Option<AbortHandle>,
}

/// Ended replicas whose output is kept: 8 MiB of the longest.
const MAX_ENDED_OUTPUTS: usize = 32;

impl Supervisor {
    pub(crate) fn new(table: Arc<ReplicaTable>, site: Worksite, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            table,
            site: Arc::new(site),
            metrics,
            book: Mutex::default(),
            news: watch::Sender::new(()),
            drained: Notify::new(),
            lives: TaskTracker::new(),
        })
    }

    /// Starts a replica. One that runs or has ended is not started again: what became of it is told
    /// once more.
    pub(crate) fn start(self: &Arc<Self>, id: &str, server: &str, version: Version) {
        let told_at = Instant::now();
        let id: Arc<str> = id.into();
        let mut book = self.book();
        if book.runs.contains_key(&id) || book.told.has_ended(&id) {
            book.told.repeat(&id);
            drop(book);
            self.news.send_replace(());
            return;
        }
        if book.closed {
            drop(book);
            self.refuse(&id, "the worker is shutting down".to_owned());
            return;
        }
        let (stop, stopped) = watch::channel(false);
        let life = Life {
            replica: Running::starting(Arc::clone(&id), server.into(), version.h2),
            version: Arc::new(version),
            output: Output::new(),
            site: Arc::clone(&self.site),
            stop: stopped,
        };
        let output = Arc::clone(&life.output);
        self.metrics.started();
        book.told.note(&id, update(&id, Phase::Starting));
        let abort = None;
        book.runs.insert(
            Arc::clone(&id),
            Run {
                stop,
                output,
                abort,
            },
        );
        let task = self.lives.spawn(Arc::clone(self).live(life, told_at));
        if let Some(run) = book.runs.get_mut(&id) {
            run.abort = Some(task.abort_handle());
        }
        drop(book);
        self.news.send_replace(());
    }

    /// A replica that can't even be tried has failed.
    pub(crate) fn refuse(&self, id: &str, reason: String) {
        self.tell(&id.into(), failed(id, reason));
    }

    /// Stops a replica. One that doesn't run is told to be stopped at once.
    pub(crate) fn stop(&self, id: &str) {
        let book = self.book();
        if let Some(run) = book.runs.get(id) {
            run.stop.send_replace(true);
            return;
        }
        let known = book.told.has_ended(id);
        drop(book);
        if known {
            self.book().told.repeat(id);
            self.news.send_replace(());
        } else {
            self.tell(&id.into(), update(id, Phase::Stopped));
        }
    }

    /// Stops all, starts nothing more, and waits until nothing is left; after that time, kills what
    /// is.
    pub(crate) async fn stop_all(&self, within: Duration) {
        {
            let mut book = self.book();
            book.closed = true;
            for run in book.runs.values() {
                run.stop.send_replace(true);
            }
        }
        self.lives.close();
        if tokio::time::timeout(within, self.lives.wait())
            .await
            .is_ok()
        {
            return;
        }
        tracing::warn!(
            ?within,
            "programs still run at the end of the shutdown, killing them"
        );
        self.kill_all();
        self.lives.wait().await;
    }

    /// Kills all, without waiting for their ends.
    pub(crate) fn kill_all(&self) {
        let left: Vec<(Arc<str>, Run)> = {
            let mut book = self.book();
            book.closed = true;
            book.runs.drain().collect()
        };
        for (id, run) in &left {
            if let Some(abort) = &run.abort {
                abort.abort();
            }
            self.tell(id, update(id, Phase::Stopped));
        }
    }

    /// The end of a replica's output, and the way to what comes; `None` if it isn't known here.
    pub(crate) fn tail(&self, id: &str, lines: usize) -> Option<Tail> {
        let book = self.book();
        let output = match book.runs.get(id) {
            Some(run) => &run.output,
            None => &book.outputs.iter().find(|(ended, _)| **ended == *id)?.1,
        };
        Some(output.tail(lines))
    }

    /// What control is to know that came after that place.
    pub(crate) fn since(&self, cursor: Cursor) -> (Vec<ReplicaUpdate>, Cursor) {
        self.book().told.since(cursor)
    }

    /// Changes whenever [`Self::since`] has more.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Returns when a stopping replica's last exchange has ended.
    pub(crate) async fn drained(&self) {
        self.drained.notified().await;
    }

    /// What every replica has in flight.
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        let replicas = self.table.load();
        let in_flight = replicas.values().map(|replica| InFlight {
            replica: replica.id().to_string(),
            count: replica.in_flight(),
        });
        Heartbeat {
            in_flight: in_flight.collect(),
        }
    }

    async fn live(self: Arc<Self>, life: Life, told_at: Instant) {
        let replica = Arc::clone(&life.replica);
        let id = Arc::clone(replica.id());
        let server = Arc::clone(replica.server());
        let _listed = Listed::new(&self, &replica);
        let story = Story {
            supervisor: &self,
            id: &id,
            told_at,
        };
        match life.live(&story).await {
            End::Stopped => {
                tracing::info!(replica = %id, %server, "replica stopped");
                self.tell(&id, update(&id, Phase::Stopped));
            }
            End::Failed { cause, reason } => {
                tracing::warn!(replica = %id, %server, reason, "replica failed");
                self.metrics.failed(cause);
                self.tell(&id, failed(&id, reason));
            }
        }
    }

    fn tell(&self, id: &Arc<str>, update: ReplicaUpdate) {
        self.book().told.note(id, update);
        self.news.send_replace(());
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A replica's place in the table and the book; leaving them can't be forgotten, even when the life
/// is aborted.
struct Listed<'a> {
    supervisor: &'a Supervisor,
    replica: &'a Running,
}

impl<'a> Listed<'a> {
    fn new(supervisor: &'a Supervisor, replica: &'a Arc<Running>) -> Self {
        supervisor.table.insert(replica);
        Self {
            supervisor,
            replica,
        }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let id = self.replica.id();
        self.replica.close();
        self.supervisor.table.remove(id);
        self.supervisor.metrics.ended();
        let mut book = self.supervisor.book();
        let Some(run) = book.runs.remove(id) else {
            return;
        };
        run.output.close();
        book.outputs.push_back((Arc::clone(id), run.output));
        if book.outputs.len() > MAX_ENDED_OUTPUTS {
            book.outputs.pop_front();
        }
    }
}

/// Tells of one replica's life as it goes on.
struct Story<'a> {
    supervisor: &'a Supervisor,
    id: &'a Arc<str>,
    told_at: Instant,
}

impl Witness for Story<'_> {
    fn launched(&self) {
        self.supervisor.metrics.launched(self.told_at.elapsed());
    }

    fn ready(&self, startup: Duration) {
        self.supervisor.metrics.ready(startup);
        tracing::info!(replica = %self.id, ?startup, "replica is ready");
        let startup_ms = u64::try_from(startup.as_millis()).unwrap_or(u64::MAX);
        let ready = ReplicaUpdate {
            startup_ms,
            ..update(self.id, Phase::Ready)
        };
        self.supervisor.tell(self.id, ready);
    }

    fn drained(&self) {
        self.supervisor.drained.notify_one();
    }
}

fn update(id: &str, phase: Phase) -> ReplicaUpdate {
    ReplicaUpdate {
        replica: id.to_owned(),
        phase: phase.into(),
        ..ReplicaUpdate::default()
    }
}

fn failed(id: &str, reason: String) -> ReplicaUpdate {
    ReplicaUpdate {
        reason,
        ..update(id, Phase::Failed)
    }
}
