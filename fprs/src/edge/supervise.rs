//! Envoy's process: started, its words logged as ours, started again when it ends unasked, and ended.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::END_TIMEOUT;
use super::exec;
use super::program::Program;
use crate::failure::Failure;

/// Before it is started again; twice as long each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// One that ran for so long was well; the next pause is the first again.
const WELL: Duration = Duration::from_secs(30);

/// How it is started.
#[derive(Debug)]
pub(super) struct Envoy {
    pub(super) program: Program,
    pub(super) bootstrap: PathBuf,
    /// Threads that serve.
    pub(super) cores: usize,
}

/// One that runs.
#[derive(Debug)]
pub(super) struct Started {
    child: Child,
    log: Log,
}

/// The last thing it said, and whether it has ended.
#[derive(Clone, Debug)]
pub(super) struct Log {
    last: watch::Receiver<String>,
}

impl Envoy {
    /// Starts it. It is killed with this process, and Ctrl-C in a terminal is for us alone.
    pub(super) fn spawn(&self) -> Result<Started, Failure> {
        let mut command = Command::from(exec::command(self.program.path()));
        command
            .arg("-c")
            .arg(&self.bootstrap)
            .args(["--concurrency", &self.cores.to_string()])
            .args(["--drain-time-s", "5", "--drain-strategy", "immediate"])
            .args(["-l", "warning", "--log-format", "%l %v"])
            // People look at what was just asked.
            .args(["--file-flush-interval-msec", "1000"])
            .arg("--disable-hot-restart")
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| Failure::new(format!("can't start the edge: {error}")))?;
        let (said, last) = watch::channel(String::new());
        if let Some(lines) = child.stderr.take() {
            tokio::spawn(listen(lines, said));
        }
        Ok(Started {
            child,
            log: Log { last },
        })
    }
}

impl Started {
    pub(super) fn log(&self) -> Log {
        self.log.clone()
    }

    async fn end(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // One that is gone already is what we want.
            kill_process(pid, Signal::TERM).ok();
        }
        if timeout(END_TIMEOUT, self.child.wait()).await.is_err() {
            tracing::warn!("the edge does not end: killed");
            self.child.kill().await.ok();
        }
    }
}

impl Log {
    /// Waits until it says nothing more; what it said last.
    pub(super) async fn wait_for_end(&mut self) -> String {
        while self.last.changed().await.is_ok() {}
        self.last.borrow().clone()
    }
}

/// Keeps it running until told to stop.
pub(super) async fn run(envoy: Envoy, first: Started, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    let mut current = Some(first);
    loop {
        let begun = Instant::now();
        if let Some(mut started) = current.take() {
            tokio::select! {
                status = started.child.wait() => {
                    let status = status.map_or_else(|error| error.to_string(), |it| it.to_string());
                    tracing::error!(status, "the edge ended; it is started again");
                }
                () = stop.cancelled() => return started.end().await,
            }
        }
        if begun.elapsed() > WELL {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = sleep(pause) => pause = LONGEST_PAUSE.min(2 * pause),
            () = stop.cancelled() => return,
        }
        match envoy.spawn() {
            Ok(started) => current = Some(started),
            Err(error) => tracing::error!(%error, "the edge can't be started again"),
        }
    }
}

/// Logs what it says; a line begins with its level.
async fn listen(lines: ChildStderr, said: watch::Sender<String>) {
    let mut lines = BufReader::new(lines).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (level, message) = line.split_once(' ').unwrap_or(("", &line));
        match level {
            "error" | "critical" => tracing::error!("edge: {message}"),
            "trace" | "debug" | "info" => tracing::info!("edge: {message}"),
            "warning" => tracing::warn!("edge: {message}"),
            // Of a line that is not the first of what it says.
            _ => tracing::warn!("edge: {line}"),
        }
        said.send_replace(message.to_owned());
    }
}
