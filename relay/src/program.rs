//! One process group running a replica's command, from launch to nothing left of it. Whatever way
//! its owner lets go of it, the group is killed: [`Program::clear`] also waits and sweeps, a drop
//! only kills.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fprs_config::Version;
use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

mod beside;
pub(crate) mod capture;
pub(crate) mod ending;
mod group;
pub(crate) mod launch;
pub(crate) mod leftovers;
pub(crate) mod life;
mod listening;
pub(crate) mod port;
mod process;

use capture::Output;
use group::Group;
use launch::{Launch, LaunchError};
use leftovers::{RunNotes, RunToken};
use port::{HeldPort, Ports};

/// What programs are launched with on this worker.
#[derive(Debug)]
pub(crate) struct Worksite {
    pub(crate) ports: Ports,
    pub(crate) notes: RunNotes,
    /// From SIGTERM to SIGKILL.
    pub(crate) kill_after: Duration,
    /// Where the program listens that somebody else runs, in the container beside this one. `None`:
    /// programs are run here.
    pub(crate) beside: Option<SocketAddr>,
}

/// A launched command.
#[derive(Debug)]
pub(crate) struct Program {
    group: Group,
    child: Child,
    port: HeldPort,
    readers: JoinSet<()>,
    run: RunToken,
    site: Arc<Worksite>,
}

/// Pipes are at their end once every writer is dead; one that has left the group and the sweep's
/// sight may keep them open, and is not waited for.
const OUTPUT_LINGER: Duration = Duration::from_millis(200);
/// A process killed by SIGKILL that isn't reaped by then hangs in the kernel.
const REAP_WITHIN: Duration = Duration::from_secs(5);
/// How often a terminated group is looked at once its first process is gone.
const GROUP_POLL: Duration = Duration::from_millis(20);

impl Program {
    /// Starts the version's command in its own process group, on a port nobody else was given.
    ///
    /// # Errors
    /// No port is free, or the command can't be run.
    pub(crate) async fn launch(
        version: &Arc<Version>,
        site: &Arc<Worksite>,
        output: &Arc<Output>,
    ) -> Result<Self, LaunchError> {
        let (version, site) = (Arc::clone(version), Arc::clone(site));
        // A process start takes milliseconds in which its thread can do nothing else.
        let launched = tokio::task::spawn_blocking(move || Self::launch_blocking(&version, site));
        let mut program = launched
            .await
            .unwrap_or_else(|error| Err(LaunchError::Interrupted(error.to_string())))?;
        if let Some(stdout) = program.child.stdout.take() {
            program
                .readers
                .spawn(capture::read(stdout, Arc::clone(output)));
        }
        if let Some(stderr) = program.child.stderr.take() {
            program
                .readers
                .spawn(capture::read(stderr, Arc::clone(output)));
        }
        Ok(program)
    }

    fn launch_blocking(version: &Version, site: Arc<Worksite>) -> Result<Self, LaunchError> {
        let port = site.ports.pick().map_err(LaunchError::Port)?;
        let run = RunToken::random();
        let launch = Launch::of(version, port.number(), run)?;
        // Written before the start, so that a crash in between leaves a token to sweep by.
        site.notes.expect(run).map_err(LaunchError::RunNotes)?;
        let spawned = launch
            .command(std::env::vars_os().map(|(name, _)| name))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                site.notes.forget(run);
                return Err(launch.refused(&error));
            }
        };
        let group = Group::led_by(&child).ok_or_else(|| launch.gone())?;
        site.notes.started(run, group.leader());
        Ok(Self {
            group,
            child,
            port,
            readers: JoinSet::new(),
            run,
            site,
        })
    }

    /// The port it was given.
    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Waits until that port accepts connections; the address is the one that did.
    pub(crate) async fn listening(port: u16) -> SocketAddr {
        listening::accepting(port).await
    }

    /// Waits for the end of its first process. May be dropped and called again.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        match self.child.wait().await {
            Ok(status) => status,
            Err(error) => {
                // Not for a child of ours; if it were, it is as good as gone.
                tracing::error!(%error, "cannot wait for a program");
                ExitStatus::default()
            }
        }
    }

    /// Asks the group to end and waits until it has, at most the worksite's `kill_after`.
    pub(crate) async fn terminate(&mut self) {
        self.group.signal(Signal::SIGTERM);
        let kill_after = self.site.kill_after;
        let ended = timeout(kill_after, async {
            if self.child.wait().await.is_err() {
                return;
            }
            // A shell that forwards nothing dies at once; what it started still has its time.
            while !self.group.is_empty() {
                sleep(GROUP_POLL).await;
            }
        });
        if ended.await.is_err() {
            tracing::info!(
                group = self.group.leader(),
                ?kill_after,
                "program ignores SIGTERM, killing it"
            );
        }
    }

    /// Kills what is left of it, descendants that left the group included, and takes in the rest of
    /// its output. Then its port is free again.
    pub(crate) async fn clear(mut self) {
        self.group.signal(Signal::SIGKILL);
        if timeout(REAP_WITHIN, self.child.wait()).await.is_err() {
            tracing::error!(
                group = self.group.leader(),
                "killed program does not end: it hangs in the kernel"
            );
        }
        let run = self.run;
        let swept = tokio::task::spawn_blocking(move || process::sweep(&[run])).await;
        if let Ok(strays @ 1..) = swept {
            tracing::info!(
                strays,
                "killed processes that had left their program's group"
            );
        }
        let readers = &mut self.readers;
        let drained = timeout(OUTPUT_LINGER, async {
            while readers.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::debug!("program's output stays open after its end");
        }
        self.group.released();
        self.site.notes.forget(run);
    }
}
