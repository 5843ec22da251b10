//! Log requests of one connection, each a task that ends with the connection. A slow control makes
//! a follower lose lines, which are counted, and nothing else wait.

use std::collections::HashMap;
use std::sync::Arc;

use fprs_proto::worker::{FromWorker, LogLines, TailLogs, from_worker};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::supervisor::Supervisor;

/// The log requests control has open.
pub(super) struct Tails {
    supervisor: Arc<Supervisor>,
    up: mpsc::Sender<FromWorker>,
    tasks: JoinSet<()>,
    requests: HashMap<u64, AbortHandle>,
}

/// People who look at logs at the same time, through one control.
const MAX_TAILS: usize = 64;
/// Lines of one message: half a MiB of the longest.
const MAX_BATCH: usize = 64;

impl Tails {
    pub(super) fn new(supervisor: Arc<Supervisor>, up: mpsc::Sender<FromWorker>) -> Self {
        Self {
            supervisor,
            up,
            tasks: JoinSet::new(),
            requests: HashMap::new(),
        }
    }

    /// Begins to send what was asked for. A replica that isn't known has no lines.
    pub(super) fn begin(&mut self, asked: TailLogs) {
        while self.tasks.try_join_next().is_some() {}
        self.requests.retain(|_, task| !task.is_finished());
        let request = asked.request;
        let sender = Sender {
            up: self.up.clone(),
            request,
        };
        if self.requests.len() >= MAX_TAILS {
            let line =
                format!("… {MAX_TAILS} log requests are open on this worker; try again later");
            self.tasks.spawn(async move {
                sender.send(vec![line], true).await;
            });
            return;
        }
        let supervisor = Arc::clone(&self.supervisor);
        let task = self.tasks.spawn(tail(supervisor, asked, sender));
        if let Some(replaced) = self.requests.insert(request, task) {
            replaced.abort();
        }
    }

    /// Control wants no more of it. Nothing happens if it is over.
    pub(super) fn cancel(&mut self, request: u64) {
        if let Some(task) = self.requests.remove(&request) {
            task.abort();
        }
    }
}

struct Sender {
    up: mpsc::Sender<FromWorker>,
    request: u64,
}

impl Sender {
    /// False once the connection is gone.
    async fn send(&self, lines: Vec<String>, end: bool) -> bool {
        let lines = LogLines {
            request: self.request,
            lines,
            end,
        };
        let message = FromWorker {
            message: Some(from_worker::Message::Logs(lines)),
        };
        self.up.send(message).await.is_ok()
    }
}

async fn tail(supervisor: Arc<Supervisor>, asked: TailLogs, sender: Sender) {
    let lines = usize::try_from(asked.lines).unwrap_or(usize::MAX);
    let Some(tail) = supervisor.tail(&asked.replica, lines) else {
        sender.send(Vec::new(), true).await;
        return;
    };
    for batch in tail.lines.chunks(MAX_BATCH) {
        let batch = batch.iter().map(ToString::to_string).collect();
        if !sender.send(batch, false).await {
            return;
        }
    }
    if let Some(follow) = tail.follow.filter(|_| asked.follow) {
        pass_on(follow, &sender).await;
    }
    sender.send(Vec::new(), true).await;
}

async fn pass_on(mut follow: Receiver<Arc<str>>, sender: &Sender) {
    loop {
        let mut batch = match follow.recv().await {
            Ok(line) => vec![line.to_string()],
            Err(RecvError::Lagged(lost)) => vec![dropped(lost)],
            Err(RecvError::Closed) => return,
        };
        while batch.len() < MAX_BATCH {
            match follow.try_recv() {
                Ok(line) => batch.push(line.to_string()),
                Err(TryRecvError::Lagged(lost)) => batch.push(dropped(lost)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if !sender.send(batch, false).await {
            return;
        }
    }
}

fn dropped(lost: u64) -> String {
    format!("… {lost} lines dropped")
}
