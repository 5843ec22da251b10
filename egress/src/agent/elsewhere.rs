//! PURE. Where new connections of a pool leave: by its own static IP while a gateway holds it, and, where the
//! pool prefers what is available, by another one that is held once its own has not been for long enough
//! to be no move.

use std::time::Duration;

use crate::limits;

/// What is remembered of it. `now` is the time since the agent began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Elsewhere {
    /// Since when no gateway holds the own one.
    unheld: Option<Duration>,
    /// The interface that is left by instead.
    by: Option<u32>,
}

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    /// Leave by that interface.
    By(u32),
    /// Leave by the own address again.
    Back,
}

impl Elsewhere {
    /// Whether another address is left by.
    pub(super) const fn away(self) -> bool {
        self.by.is_some()
    }

    /// Decides after a look. `others`: the interfaces of other addresses that are held, the preferred
    /// first.
    pub(super) fn look(
        &mut self,
        held: bool,
        mut others: impl Iterator<Item = u32>,
        now: Duration,
    ) -> Option<Go> {
        if held {
            self.unheld = None;
            return self.by.take().map(|_| Go::Back);
        }
        let since = *self.unheld.get_or_insert(now);
        if now.saturating_sub(since) < limits::AWAY_AFTER {
            return None;
        }
        let first = others.next()?;
        // What is left by stays while it is held: connections hang on it.
        let stays = |by: u32| by == first || others.any(|other| other == by);
        if self.by.is_some_and(stays) {
            return None;
        }
        self.by = Some(first);
        Some(Go::By(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = limits::PROBE_EVERY;

    #[test]
    fn a_move_sends_nobody_elsewhere_and_an_address_that_is_lost_does() {
        let mut elsewhere = Elsewhere::default();
        let mut now = Duration::ZERO;
        assert_eq!(elsewhere.look(true, [7].into_iter(), now), None);
        while now < limits::AWAY_AFTER {
            assert_eq!(elsewhere.look(false, [7].into_iter(), now), None);
            now += LOOK;
        }
        assert_eq!(
            elsewhere.look(false, [7, 8].into_iter(), now),
            Some(Go::By(7))
        );
        assert!(elsewhere.away());
        // It stays, also when a preferred one is there.
        assert_eq!(elsewhere.look(false, [8, 7].into_iter(), now), None);
        assert_eq!(elsewhere.look(false, [8].into_iter(), now), Some(Go::By(8)));
        // With none the route stays: packets are lost in a tunnel, and never leave elsewhere.
        assert_eq!(elsewhere.look(false, [].into_iter(), now), None);
        assert_eq!(elsewhere.look(true, [8].into_iter(), now), Some(Go::Back));
        assert_eq!(elsewhere.look(true, [8].into_iter(), now), None);
        assert!(!elsewhere.away());
    }

    #[test]
    fn a_strict_pool_goes_nowhere() {
        let mut elsewhere = Elsewhere::default();
        for n in 0..1_000 {
            assert_eq!(elsewhere.look(false, [].into_iter(), n * LOOK), None);
        }
    }
}
