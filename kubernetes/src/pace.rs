//! PURE. When a version's objects may be written to again: one write at a time, no second one on what
//! the first has changed before that is seen, and ever later after failures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fprs_config::MadeFor;

/// How a version's writes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    /// Everything was written.
    Well,
    /// Somebody changed an object meanwhile.
    Conflict,
    /// Not at all.
    Wrong,
}

/// The pace of every version that was written lately.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    of: BTreeMap<MadeFor, Pace>,
}

#[derive(Debug)]
struct Pace {
    writing: bool,
    /// Not before, unless something is heard of it where `hearing` ends it.
    until: Instant,
    hearing: bool,
    failures: u32,
}

/// For what was written to be seen; a watch tells within milliseconds.
const SEEN_WITHIN: Duration = Duration::from_secs(1);
/// After a conflict: the change is on its way here.
const CONFLICT_PAUSE: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Paces {
    /// It may be written to now.
    pub(crate) fn allows(&self, version: &MadeFor, now: Instant) -> bool {
        let pace = self.of.get(version);
        pace.is_none_or(|pace| !pace.writing && now >= pace.until)
    }

    /// A write begins.
    pub(crate) fn begin(&mut self, version: &MadeFor, now: Instant) {
        let pace = self.of.entry(version.clone()).or_insert(Pace {
            writing: false,
            until: now,
            hearing: false,
            failures: 0,
        });
        pace.writing = true;
        pace.until = now;
    }

    /// A write has ended; how many failed in a row.
    pub(crate) fn end(&mut self, version: &MadeFor, went: Went, now: Instant) -> u32 {
        let Some(pace) = self.of.get_mut(version) else {
            return 0;
        };
        pace.writing = false;
        pace.hearing = went != Went::Wrong;
        match went {
            Went::Well => {
                pace.failures = 0;
                pace.until = now + SEEN_WITHIN;
            }
            Went::Conflict => pace.until = now + CONFLICT_PAUSE,
            Went::Wrong => {
                pace.failures = pace.failures.saturating_add(1);
                let doubled = 1_u32 << (pace.failures - 1).min(6);
                pace.until = now + (FIRST_PAUSE * doubled).min(LONGEST_PAUSE);
            }
        }
        pace.failures
    }

    /// Something of it was heard.
    pub(crate) fn heard(&mut self, version: &MadeFor, now: Instant) {
        if let Some(pace) = self.of.get_mut(version)
            && pace.hearing
            && !pace.writing
        {
            pace.until = pace.until.min(now);
        }
    }

    /// When the next pause ends; forgets those that are over and went well.
    pub(crate) fn wake(&mut self, now: Instant) -> Option<Instant> {
        self.of
            .retain(|_, pace| pace.writing || pace.failures > 0 || now < pace.until);
        let waiting = self
            .of
            .values()
            .filter(|pace| !pace.writing && now < pace.until);
        waiting.map(|pace| pace.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_twice_before_it_is_seen_and_failures_are_tried_ever_later() {
        let (mut paces, now) = (Paces::default(), Instant::now());
        let version = MadeFor {
            server: "s".into(),
            generation: 1,
        };
        assert!(paces.allows(&version, now));
        paces.begin(&version, now);
        assert!(!paces.allows(&version, now), "it is being written");
        paces.end(&version, Went::Well, now);
        assert!(!paces.allows(&version, now), "it was not seen yet");
        paces.heard(&version, now);
        assert!(paces.allows(&version, now));
        let mut at = now;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            paces.begin(&version, at);
            paces.end(&version, Went::Wrong, at);
            paces.heard(&version, at);
            assert!(!paces.allows(&version, at), "a failure is not heard away");
            at += Duration::from_secs(pause);
            assert!(paces.allows(&version, at), "{pause}");
        }
        paces.begin(&version, at);
        assert_eq!(paces.end(&version, Went::Well, at), 0);
    }
}
