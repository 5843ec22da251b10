//! Who records the decisions about which server. A reader that is slow is let go rather than waited
//! for; without any, a tick pays for one look at a number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fprs_config::{Scaling, ScalingChange};
use tokio::sync::mpsc;

use crate::decide::{Decision, History};
use crate::trace::Line;

/// Recordings at once, of all servers.
const RECORDERS: usize = 16;

/// Lines a reader may be behind: three minutes of ticks.
const LINES_QUEUED: usize = 1_024;

/// The recordings that go on.
#[derive(Debug, Default)]
pub(crate) struct Recorders {
    count: AtomicUsize,
    servers: Mutex<HashMap<Arc<str>, Vec<Recorder>>>,
}

#[derive(Debug)]
struct Recorder {
    lines: mpsc::Sender<Line>,
    /// The settings told last; `None` before the first line.
    told: Option<Scaling>,
}

impl Recorders {
    /// The lines about a server from its next decision on, until the receiver is dropped or too far
    /// behind; `None` if too many record already.
    pub(crate) fn begin(&self, server: &str) -> Option<mpsc::Receiver<Line>> {
        let mut servers = self.servers();
        servers.retain(|_, recorders| {
            recorders.retain(|recorder| !recorder.lines.is_closed());
            !recorders.is_empty()
        });
        let count: usize = servers.values().map(Vec::len).sum();
        if count >= RECORDERS {
            return None;
        }
        let (lines, read) = mpsc::channel(LINES_QUEUED);
        let recorders = servers.entry(server.into()).or_default();
        recorders.push(Recorder { lines, told: None });
        self.count.store(count + 1, Ordering::Relaxed);
        Some(read)
    }

    /// Whether nobody records anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Tells of a decision. `history` is that after it; `fresh`: that before it knew nothing.
    pub(crate) fn tell(
        &self,
        server: &str,
        at_ms: u64,
        decision: &Decision,
        scaling: &Scaling,
        history: &History,
        fresh: bool,
    ) {
        let mut servers = self.servers();
        if let Some(recorders) = servers.get_mut(server) {
            recorders
                .retain_mut(|recorder| recorder.tell(at_ms, decision, scaling, history, fresh));
            if recorders.is_empty() {
                servers.remove(server);
            }
            let count = servers.values().map(Vec::len).sum();
            self.count.store(count, Ordering::Relaxed);
        }
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Recorder>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Whether somebody still reads.
    fn tell(
        &mut self,
        at_ms: u64,
        decision: &Decision,
        scaling: &Scaling,
        history: &History,
        fresh: bool,
    ) -> bool {
        let settings = (self.told != Some(*scaling)).then(|| ScalingChange::whole(scaling));
        let line = if self.told.is_none() && !fresh {
            // What comes next can be decided again from here.
            Line {
                at_ms,
                settings,
                history: Some(history.clone()),
                ..Line::default()
            }
        } else {
            Line {
                settings,
                history: fresh.then(|| History::new(at_ms, decision.current)),
                ..Line::of(at_ms, decision)
            }
        };
        self.told = Some(*scaling);
        self.lines.try_send(line).is_ok()
    }
}
