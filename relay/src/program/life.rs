//! One replica from launch to end: started, found listening, watched, drained. It ends with nothing
//! of the program left, and restarts nothing: a dead replica is the autoscaler's to replace.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::Version;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::capture::Output;
use super::ending::{End, QUOTED_LINES, says_port_taken};
use super::{Program, Worksite};
use crate::flag::raised;
use crate::replicas::Running;

/// A replica to bring to life.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) replica: Arc<Running>,
    pub(crate) version: Arc<Version>,
    pub(crate) output: Arc<Output>,
    pub(crate) site: Arc<Worksite>,
    /// Turns true when the replica is to stop; stays so.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What is to be told as it happens; the end is the return value.
pub(crate) trait Witness: Send + Sync {
    /// The process runs.
    fn launched(&self);
    /// Its port accepts, so long after the start.
    fn ready(&self, startup: Duration);
    /// It is stopping and its last exchange has ended.
    fn drained(&self);
}

enum Startup {
    Listening(SocketAddr),
    Exited(ExitStatus),
    TimedOut,
    Stopped,
}

/// Launches when a program says that its port was taken, each on another port.
const PORT_ATTEMPTS: u32 = 3;
/// For WebSockets to be closed between two frames, once the grace is over.
const CLOSING: Duration = Duration::from_secs(1);

impl Life {
    /// Lives it to its end.
    pub(crate) async fn live(mut self, witness: &impl Witness) -> End {
        let started = Instant::now();
        if let Some(program) = self.site.beside {
            return self.beside(program, witness, started).await;
        }
        let mut attempt = 1;
        loop {
            let launched = Program::launch(&self.version, &self.site, &self.output).await;
            let mut program = match launched {
                Ok(program) => program,
                Err(error) => return End::not_launched(&error),
            };
            witness.launched();
            match self.startup(&mut program, started).await {
                Startup::Listening(address) => {
                    self.replica.ready(address);
                    witness.ready(started.elapsed());
                    return self.serve(program, witness).await;
                }
                Startup::Stopped => return stop(program).await,
                Startup::TimedOut => {
                    let port = program.port();
                    program.clear().await;
                    return End::startup_timeout(port, self.version.startup_timeout, &self.last());
                }
                Startup::Exited(status) => {
                    program.clear().await;
                    if attempt == PORT_ATTEMPTS || !says_port_taken(&self.last()) {
                        return End::exited_early(status, &self.last());
                    }
                    attempt += 1;
                }
            }
        }
    }

    async fn startup(&mut self, program: &mut Program, started: Instant) -> Startup {
        let deadline = started + self.version.startup_timeout;
        let port = program.port();
        tokio::select! {
            biased;
            () = raised(&mut self.stop) => Startup::Stopped,
            status = program.exited() => Startup::Exited(status),
            address = Program::listening(port) => Startup::Listening(address),
            () = tokio::time::sleep_until(deadline) => Startup::TimedOut,
        }
    }

    async fn serve(mut self, mut program: Program, witness: &impl Witness) -> End {
        tokio::select! {
            biased;
            () = raised(&mut self.stop) => {}
            status = program.exited() => {
                self.replica.close();
                program.clear().await;
                return End::died(status, &self.last());
            }
        }
        self.replica.close();
        tokio::select! {
            biased;
            () = self.drain(witness) => {}
            _ = program.exited() => {}
        }
        stop(program).await
    }

    /// Waits for the last exchange, for as long as that may take.
    pub(super) async fn drain(&self, witness: &impl Witness) {
        tokio::select! {
            biased;
            () = self.replica.idle() => witness.drained(),
            () = self.grace() => {}
        }
    }

    /// Ends when the program is to be stopped whatever it does: WebSockets, which may last for ever,
    /// have been closed by then.
    async fn grace(&self) {
        sleep(self.version.exit_grace).await;
        self.replica.end_tunnels();
        sleep(CLOSING).await;
        tracing::info!(
            replica = %self.replica.id(),
            in_flight = self.replica.in_flight(),
            "exit grace is over, stopping with exchanges in flight"
        );
    }

    fn last(&self) -> Vec<Arc<str>> {
        self.output.last(QUOTED_LINES)
    }
}

async fn stop(mut program: Program) -> End {
    program.terminate().await;
    program.clear().await;
    End::Stopped
}
