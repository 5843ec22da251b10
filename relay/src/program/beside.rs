//! A replica whose program somebody else runs, in the container beside this one. It is known by its port
//! alone: ready when that accepts, dead when that refuses for a while. Nothing here stops it: whoever
//! made the pod does, once the replica has ended.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::ending::{Cause, End};
use super::life::{Life, Witness};
use super::listening;
use crate::flag::raised;

/// Between two looks at a program that serves.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks in a row that were refused: the program is gone, and the container with it or started again.
const REFUSALS: u32 = 3;

impl Life {
    /// Lives it to its end.
    pub(super) async fn beside(
        mut self,
        program: SocketAddr,
        witness: &impl Witness,
        started: Instant,
    ) -> End {
        witness.launched();
        self.output
            .say("the output of a pod's program is with Kubernetes: kubectl logs POD -c program");
        tokio::select! {
            biased;
            () = raised(&mut self.stop) => return End::Stopped,
            () = listening::accepting_at(program) => {}
            () = sleep_until(started + self.version.startup_timeout) => {
                return End::Failed {
                    cause: Cause::StartupTimeout,
                    reason: format!(
                        "the container did not listen on $PORT ({}) within {:?} after the relay \
                         beside it began; `kubectl describe pod` says whether its image was found, \
                         `kubectl logs -c program` what it wrote",
                        program.port(),
                        self.version.startup_timeout
                    ),
                };
            }
        }
        self.replica.ready(program);
        witness.ready(started.elapsed());
        tokio::select! {
            biased;
            () = raised(&mut self.stop) => {}
            () = refusing(program) => {
                self.replica.close();
                return End::Failed {
                    cause: Cause::Died,
                    reason: format!(
                        "the container stopped listening on $PORT ({}); `kubectl logs --previous \
                         -c program` has its last output",
                        program.port()
                    ),
                };
            }
        }
        self.replica.close();
        tokio::select! {
            biased;
            () = self.drain(witness) => {}
            () = refusing(program) => {}
        }
        End::Stopped
    }
}

/// Waits until the program has refused for a while. One that only doesn't answer is busy, not dead.
async fn refusing(program: SocketAddr) {
    let mut refusals = 0;
    while refusals < REFUSALS {
        sleep(LOOK_EVERY).await;
        refusals = match listening::look(program).await {
            listening::Look::Refused => refusals + 1,
            listening::Look::Accepts | listening::Look::Silent => 0,
        };
    }
}
