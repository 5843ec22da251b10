//! PURE. What the origin does later, in the order of time.

use std::{cmp::Reverse, collections::BinaryHeap};

/// What to do on a connection (its token) and stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// Answer a request; the last field says whether it had a body.
    Answer(u64, u32, bool),
    /// Send the next event.
    Event(u64, u32),
}

/// All pending wakes.
#[derive(Clone, Debug, Default)]
pub struct Timers(BinaryHeap<Reverse<(u64, Wake)>>);

impl Timers {
    /// Wakes at `due` ns.
    pub fn add(&mut self, due: u64, wake: Wake) {
        self.0.push(Reverse((due, wake)));
    }

    /// The earliest time, ns.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes the earliest wake, with its time, if that has come.
    pub fn due(&mut self, now: u64) -> Option<(u64, Wake)> {
        self.next().filter(|due| *due <= now)?;
        self.0.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_come_in_the_order_of_time_and_never_early() {
        let mut timers = Timers::default();
        timers.add(30, Wake::Event(1, 1));
        timers.add(10, Wake::Answer(2, 3, false));
        assert_eq!(timers.due(9), None);
        assert_eq!(timers.due(40), Some((10, Wake::Answer(2, 3, false))));
        assert_eq!(timers.due(40), Some((30, Wake::Event(1, 1))));
        assert_eq!(timers.next(), None);
    }
}
