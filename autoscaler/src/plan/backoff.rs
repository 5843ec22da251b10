//! PURE. When a replica that failed to start may be tried again: a second later, then two, doubling
//! up to a minute, by the failed records of its generation.

use std::collections::BTreeMap;

use fprs_config::{Millis, ReplicaState, ServerView};

const FIRST_MS: Millis = 1_000;
const LAST_MS: Millis = 60_000;

/// A replica that was ready this long proves its generation can run: failures start over.
const HEALTHY_MS: Millis = 10_000;

/// Longer than any delay, so that a retry still counts as one.
const LATELY_MS: Millis = 2 * LAST_MS;

/// The failures of one server by generation.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    generations: BTreeMap<u64, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    /// Rounds of failed starts in a row. Replicas that fail together are one round.
    rounds: u32,
    last_unix_ms: Millis,
}

impl Backoff {
    /// Takes note of the server's failed records. Whatever was known before a restart is in them,
    /// except for rounds beyond the records that are kept.
    pub fn observe(&mut self, view: &ServerView, now_unix_ms: Millis) {
        let mut failed: BTreeMap<u64, Vec<Millis>> = BTreeMap::new();
        let mut healthy = Vec::new();
        for replica in view.replicas() {
            let age_ms = now_unix_ms.saturating_sub(replica.since_unix_ms);
            match replica.state {
                ReplicaState::Failed => {
                    let times = failed.entry(replica.generation).or_default();
                    times.push(replica.since_unix_ms);
                }
                ReplicaState::Ready if age_ms >= HEALTHY_MS => healthy.push(replica.generation),
                _ => {}
            }
        }
        self.generations
            .retain(|generation, _| failed.contains_key(generation));
        for (generation, mut times) in failed {
            times.sort_unstable();
            for at_unix_ms in times {
                self.generations
                    .entry(generation)
                    .and_modify(|failures| failures.add(at_unix_ms))
                    .or_insert(Failures {
                        rounds: 1,
                        last_unix_ms: at_unix_ms,
                    });
            }
            if let Some(failures) = self.generations.get_mut(&generation)
                && healthy.contains(&generation)
            {
                failures.rounds = 1;
            }
        }
    }

    /// Whether there is a failed record of that generation.
    pub fn failed(&self, generation: u64) -> bool {
        self.generations.contains_key(&generation)
    }

    /// Whether a replica of that generation failed lately, so that the next one may fail as well.
    pub fn failing(&self, generation: u64, now_unix_ms: Millis) -> bool {
        self.generations
            .get(&generation)
            .is_some_and(|failures| now_unix_ms.abs_diff(failures.last_unix_ms) < LATELY_MS)
    }

    /// Whether a replica of that generation may be requested now. A clock that was set back does
    /// not block it for longer than the delay.
    pub fn allows(&self, generation: u64, now_unix_ms: Millis) -> bool {
        self.generations.get(&generation).is_none_or(|failures| {
            now_unix_ms.abs_diff(failures.last_unix_ms) >= failures.delay_ms()
        })
    }
}

impl Failures {
    const fn add(&mut self, at_unix_ms: Millis) {
        if at_unix_ms <= self.last_unix_ms {
            return;
        }
        if at_unix_ms - self.last_unix_ms >= FIRST_MS {
            self.rounds = self.rounds.saturating_add(1);
        }
        self.last_unix_ms = at_unix_ms;
    }

    fn delay_ms(self) -> Millis {
        let doubled = FIRST_MS.checked_shl(self.rounds.saturating_sub(1).min(16));
        doubled.map_or(LAST_MS, |delay| delay.min(LAST_MS))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fprs_config::Revision;

    use super::*;
    use crate::plan::tests::{replica, view};

    const NOW: Millis = 1_000_000_000;

    fn fail(view: &mut ServerView, id: &str, at_unix_ms: Millis) {
        let mut failed = replica(id, 1, ReplicaState::Failed);
        failed.since_unix_ms = at_unix_ms;
        view.put(Arc::new(failed), Revision(1));
    }

    /// How long after its last failure the generation may be tried again.
    fn delay(backoff: &Backoff, failed_unix_ms: Millis) -> Millis {
        (0..=LAST_MS)
            .find(|after| backoff.allows(1, failed_unix_ms + after))
            .expect("allowed within the longest delay")
    }

    #[test]
    fn every_round_of_failures_doubles_the_delay_up_to_a_minute() {
        let (mut backoff, mut view) = (Backoff::default(), view(Vec::new()));
        assert!(backoff.allows(1, NOW));
        let mut at = NOW;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            at += 100_000;
            fail(&mut view, "same", at);
            backoff.observe(&view, at);
            backoff.observe(&view, at + 200);
            assert_eq!(delay(&backoff, at), seconds * 1_000);
        }
    }

    #[test]
    fn replicas_that_fail_together_are_one_round() {
        let (mut backoff, mut view) = (Backoff::default(), view(Vec::new()));
        for (id, after) in [("a", 0), ("b", 50), ("c", 900)] {
            fail(&mut view, id, NOW + after);
        }
        backoff.observe(&view, NOW + 1_000);
        assert_eq!(delay(&backoff, NOW + 900), 1_000);
    }

    #[test]
    fn a_replica_that_ran_well_lets_failures_start_over() {
        let (mut backoff, mut view) = (Backoff::default(), view(Vec::new()));
        for (id, after) in [("a", 0), ("b", 5_000), ("c", 20_000)] {
            fail(&mut view, id, NOW + after);
        }
        backoff.observe(&view, NOW + 20_000);
        assert_eq!(delay(&backoff, NOW + 20_000), 4_000);
        let mut ready = replica("d", 1, ReplicaState::Ready);
        ready.since_unix_ms = NOW + 30_000;
        view.put(Arc::new(ready), Revision(1));
        backoff.observe(&view, NOW + 30_000 + HEALTHY_MS);
        assert_eq!(delay(&backoff, NOW + 20_000), 1_000);
    }

    #[test]
    fn another_generation_is_not_held_back() {
        let (mut backoff, mut view) = (Backoff::default(), view(Vec::new()));
        fail(&mut view, "a", NOW);
        backoff.observe(&view, NOW);
        assert!(!backoff.allows(1, NOW));
        assert!(backoff.allows(2, NOW));
        assert!(backoff.failing(1, NOW) && !backoff.failing(2, NOW));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_block_retries() {
        let (mut backoff, mut view) = (Backoff::default(), view(Vec::new()));
        fail(&mut view, "a", NOW);
        backoff.observe(&view, NOW);
        assert!(backoff.allows(1, NOW - 3_600_000));
    }
}
