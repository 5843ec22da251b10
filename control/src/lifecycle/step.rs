//! PURE. One replica's next step, from its state in the store and what its relay says. The table in
//! the tests is the whole of it.

use fprs_config::ReplicaState;

use crate::fleet::{Phase, Running};

/// What is known of a placed replica beyond its record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing<'a> {
    /// Its worker is unheard of, or it never had one.
    Gone,
    /// Its worker is away, within its lease.
    Away,
    /// Its worker is attached and doesn't run it.
    Lost,
    /// Its worker is attached and says this of it.
    Runs(&'a Running),
}

/// What happens to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Keep,
    /// Its record says that it failed, and why.
    Fail(String),
    /// Its record goes.
    Delete,
    /// Its record says that it is ready.
    Ready {
        /// From start to ready.
        startup_ms: u64,
    },
    /// Its relay is told to let it end.
    Stop,
}

/// The next step of a replica that was placed. `Requested` ones are placement's business.
pub(crate) fn step(state: ReplicaState, standing: &Standing<'_>) -> Step {
    use ReplicaState::{Draining, Failed, Ready, Requested, Starting, Stopping};
    match (state, standing) {
        (Requested | Failed, _) | (_, Standing::Away) => Step::Keep,
        (_, Standing::Gone) | (Draining | Stopping, Standing::Lost) => Step::Delete,
        (Starting | Ready, Standing::Lost) => Step::Fail(LOST.to_owned()),
        (_, Standing::Runs(running)) => match (state, &running.phase) {
            (Draining | Stopping, Phase::Failed { .. } | Phase::Stopped) => Step::Delete,
            (Stopping, _) if !running.stop_told => Step::Stop,
            (Starting, Phase::Ready { startup_ms }) => Step::Ready {
                startup_ms: *startup_ms,
            },
            (Starting | Ready, Phase::Failed { reason }) => Step::Fail(reason.clone()),
            (Starting | Ready, Phase::Stopped) => Step::Fail(STOPPED_UNASKED.to_owned()),
            _ => Step::Keep,
        },
    }
}

/// Why a replica failed whose relay came back without it.
pub(crate) const LOST: &str = "lost: its worker came back without it";
/// Why a replica failed that its relay stopped although nobody asked.
pub(crate) const STOPPED_UNASKED: &str = "its worker stopped it unasked";

#[cfg(test)]
mod tests {
    use super::*;

    fn running(phase: Phase) -> Running {
        Running {
            phase,
            ..Running::default()
        }
    }

    #[test]
    fn every_state_meets_every_word_of_the_relay() {
        use ReplicaState::{Draining, Failed, Ready, Requested, Starting, Stopping};
        let starting = running(Phase::Starting);
        let ready = running(Phase::Ready { startup_ms: 7 });
        let failed = running(Phase::Failed {
            reason: "why".into(),
        });
        let stopped = running(Phase::Stopped);
        let standings = [
            Standing::Gone,
            Standing::Away,
            Standing::Lost,
            Standing::Runs(&starting),
            Standing::Runs(&ready),
            Standing::Runs(&failed),
            Standing::Runs(&stopped),
        ];
        // In the order of the standings above.
        let table = [
            (Requested, "keep keep keep keep keep keep keep"),
            (Starting, "delete keep fail keep ready fail fail"),
            (Ready, "delete keep fail keep keep fail fail"),
            (Draining, "delete keep delete keep keep delete delete"),
            (Stopping, "delete keep delete stop stop delete delete"),
            (Failed, "keep keep keep keep keep keep keep"),
        ];
        for (state, row) in table {
            for (standing, expected) in standings.iter().zip(row.split(' ')) {
                let word = match step(state, standing) {
                    Step::Keep => "keep",
                    Step::Fail(_) => "fail",
                    Step::Delete => "delete",
                    Step::Ready { startup_ms: 7 } => "ready",
                    Step::Ready { .. } => "ready after another time",
                    Step::Stop => "stop",
                };
                assert_eq!(word, expected, "{state:?} {standing:?}");
            }
        }
        let says = |standing| step(Ready, &standing);
        assert_eq!(says(Standing::Lost), Step::Fail(LOST.to_owned()));
        assert_eq!(says(Standing::Runs(&failed)), Step::Fail("why".to_owned()));
    }

    #[test]
    fn a_relay_is_told_to_stop_a_replica_once() {
        let told = Running {
            phase: Phase::Ready { startup_ms: 7 },
            stop_told: true,
            in_flight: 1,
        };
        assert_eq!(
            step(ReplicaState::Stopping, &Standing::Runs(&told)),
            Step::Keep
        );
    }
}
