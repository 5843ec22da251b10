//! The time of a core's turn. A core asks the system for the time once when it wakes and once for each
//! look at a connection, and all it does from there to the next is done at that time: of a dozen times
//! a request, at 50 ns each, a twelfth of the request would go into asking. Never goes back.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// How long the two clocks are taken to run alike before they are compared again: a step of the wall
/// clock is noticed within this.
const COMPARED: Duration = Duration::from_secs(1);

thread_local! {
    /// `None` on a thread that is no core's.
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    now: Instant,
    /// When the clocks were compared, by either.
    compared: (Instant, SystemTime),
    /// The core has woken for it just now.
    fresh: bool,
}

/// The time of this core's turn; on other threads, of the system.
pub fn now() -> Instant {
    TURN.get().map_or_else(Instant::now, |turn| turn.now)
}

/// The same by the wall clock, to the second in which that was set.
pub fn wall() -> SystemTime {
    TURN.get().map_or_else(SystemTime::now, |turn| {
        let (steady, wall) = turn.compared;
        wall + turn.now.saturating_duration_since(steady)
    })
}

/// This thread is a core's from now on.
pub(crate) fn arm() {
    let now = Instant::now();
    TURN.set(Some(Turn {
        now,
        compared: (now, SystemTime::now()),
        fresh: true,
    }));
}

/// The core has woken from its sleep.
pub(crate) fn wake() {
    begin(true);
}

/// The core looks at a connection. The first look after it woke is of the time it woke at.
pub(crate) fn look() {
    begin(false);
}

fn begin(woken: bool) {
    let Some(mut turn) = TURN.get() else { return };
    if woken || !std::mem::take(&mut turn.fresh) {
        turn.now = Instant::now();
        turn.fresh = woken;
        if turn.now.saturating_duration_since(turn.compared.0) >= COMPARED {
            turn.compared = (turn.now, SystemTime::now());
        }
    }
    TURN.set(Some(turn));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Until the system's clock has moved on.
    fn pass() {
        let before = Instant::now();
        while before.elapsed() < Duration::from_micros(50) {}
    }

    #[test]
    fn a_thread_that_is_no_cores_has_the_systems_time() {
        look();
        let before = now();
        pass();
        assert!(now() > before);
    }

    #[test]
    fn all_of_a_turn_is_done_at_one_time_and_the_next_is_later() {
        arm();
        let (steady, wall_before) = (now(), wall());
        pass();
        assert_eq!((now(), wall()), (steady, wall_before));
        look();
        assert_eq!(now(), steady, "the look that it woke for");
        look();
        assert!(now() > steady && wall() > wall_before);
        let second = now();
        wake();
        assert!(now() >= second);
    }

    #[test]
    fn a_step_of_the_wall_clock_is_noticed_within_a_second() {
        let now = Instant::now();
        let Some(long_ago) = now.checked_sub(COMPARED) else {
            return;
        };
        TURN.set(Some(Turn {
            now,
            compared: (long_ago, SystemTime::UNIX_EPOCH),
            fresh: false,
        }));
        look();
        let off = SystemTime::now().duration_since(wall());
        assert!(
            matches!(&off, Ok(off) if *off < Duration::from_secs(1)),
            "{off:?}"
        );
    }
}
