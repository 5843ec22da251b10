//! The last decisions about every server, for people who ask why. Bounded: repeats are one entry,
//! and only the newest entries stay.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fprs_config::Millis;
use serde::Serialize;

use crate::decide::Decision;

/// Entries per server: a scale-up and the way back, with what happened in between.
const KEPT: usize = 32;

/// A decision, for as long as it stayed the same but for its inputs, which are the last ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// When it was made first.
    pub from_unix_ms: Millis,
    /// When it was made last.
    pub until_unix_ms: Millis,
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
}

/// The last decisions about every server.
#[derive(Debug, Default)]
pub(crate) struct Explanations {
    servers: Mutex<HashMap<Arc<str>, VecDeque<Explained>>>,
}

impl Explanations {
    pub(crate) fn add(&self, server: &Arc<str>, decision: Decision, now_unix_ms: Millis) {
        let mut servers = self.servers();
        let entries = servers.entry(Arc::clone(server)).or_default();
        let outcome = |decision: &Decision| (decision.wanted, decision.current, decision.rule);
        if let Some(last) = entries.back_mut()
            && outcome(&last.decision) == outcome(&decision)
        {
            last.until_unix_ms = now_unix_ms;
            last.decision = decision;
            return;
        }
        if entries.len() >= KEPT {
            entries.pop_front();
        }
        entries.push_back(Explained {
            from_unix_ms: now_unix_ms,
            until_unix_ms: now_unix_ms,
            decision,
        });
    }

    /// The oldest first.
    pub(crate) fn of(&self, server: &str) -> Vec<Explained> {
        let servers = self.servers();
        let entries = servers.get(server).into_iter().flatten();
        entries.cloned().collect()
    }

    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.servers().retain(|server, _| keep(server));
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<Arc<str>, VecDeque<Explained>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Inputs, Rule};

    fn decision(wanted: u32, average: f64) -> Decision {
        Decision {
            wanted,
            current: 1,
            rule: Rule::Target,
            inputs: Inputs {
                average,
                in_flight: 0,
                waiting: 0,
                unserved: 0,
                target: Some(4.0),
                tick: wanted,
                up: wanted,
                down: wanted,
            },
        }
    }

    #[test]
    fn decisions_that_repeat_are_one_entry_with_the_last_inputs() {
        let explanations = Explanations::default();
        let server: Arc<str> = "s".into();
        for (now, wanted, average) in [(1, 1, 0.5), (2, 1, 0.6), (3, 2, 5.0)] {
            explanations.add(&server, decision(wanted, average), now);
        }
        let [first, second] = &explanations.of("s")[..] else {
            panic!("two entries");
        };
        assert_eq!((first.from_unix_ms, first.until_unix_ms), (1, 2));
        assert_eq!(first.decision.inputs.average, 0.6);
        assert_eq!(second.decision.wanted, 2);
        let json = serde_json::to_value(second).expect("JSON");
        assert_eq!(json["rule"], "target");
        assert_eq!(json["wanted"], 2);
        assert_eq!(json["inputs"]["average"], 5.0);
    }

    #[test]
    fn only_the_newest_entries_stay() {
        let explanations = Explanations::default();
        let server: Arc<str> = "s".into();
        for now in 0..100 {
            let wanted = u32::try_from(now).expect("small");
            explanations.add(&server, decision(wanted, 0.0), now);
        }
        let entries = explanations.of("s");
        assert_eq!(entries.len(), KEPT);
        assert_eq!(entries.last().map(|last| last.from_unix_ms), Some(99));
        explanations.retain(|_| false);
        assert!(explanations.of("s").is_empty());
    }
}
