//! How much one core invites one peer to send ahead on each stream. Half as much for every MiB that
//! the core's exchanges with that peer hold and can't pass on: one that stalls costs a whole window,
//! the hundredth a small one, and no other peer's streams notice.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::limits;

/// What is granted to one peer.
#[derive(Debug)]
pub(crate) struct Credit {
    window: Cell<u32>,
    changes: Cell<u32>,
    /// Counted so far by the look that is under way.
    held: Cell<usize>,
    /// Whoever drives the peer's connections.
    drivers: RefCell<Vec<Waker>>,
}

impl Default for Credit {
    fn default() -> Self {
        Self {
            window: Cell::new(limits::STREAM_WINDOW),
            changes: Cell::new(0),
            held: Cell::new(0),
            drivers: RefCell::default(),
        }
    }
}

impl Credit {
    /// The window of a stream now, in bytes.
    pub(crate) const fn window(&self) -> u32 {
        self.window.get()
    }

    /// Has this task woken at the next change, unless it will be: `seen` is what it was told last.
    pub(crate) fn wake_on_change(&self, seen: &mut Option<u32>, cx: &Context<'_>) {
        let changes = Some(self.changes.get());
        if *seen != changes {
            *seen = changes;
            self.drivers.borrow_mut().push(cx.waker().clone());
        }
    }

    /// An exchange with the peer holds that much. `true` for the first one of a look.
    pub(super) fn count(&self, bytes: usize) -> bool {
        self.held.replace(self.held.get() + bytes) == 0
    }

    /// The look has ended. `true` while the window is narrower than it can be.
    pub(super) fn settle(&self) -> bool {
        let window = window(self.held.take());
        if self.window.replace(window) != window {
            self.changes.set(self.changes.get().wrapping_add(1));
            for driver in self.drivers.take() {
                driver.wake();
            }
        }
        window < limits::STREAM_WINDOW
    }
}

/// The credits whose windows are to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Narrowed(Vec<Rc<Credit>>);

impl Narrowed {
    /// An exchange that can't go on holds that much of what the peer sent.
    pub(super) fn count(&mut self, credit: &Rc<Credit>, bytes: usize) {
        if bytes > 0 && credit.count(bytes) && !self.0.iter().any(|known| Rc::ptr_eq(known, credit))
        {
            self.0.push(Rc::clone(credit));
        }
    }

    /// All of them were counted.
    pub(super) fn settle(&mut self) {
        self.0.retain(|credit| credit.settle());
    }
}

fn window(held: usize) -> u32 {
    let halvings = held / limits::CREDIT_STEP;
    let halved = u32::try_from(halvings)
        .ok()
        .and_then(|halvings| limits::STREAM_WINDOW.checked_shr(halvings));
    halved.unwrap_or(0).max(limits::NARROWEST_WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn it_is_halved_for_every_mebibyte_down_to_the_narrowest() {
        let windows = [
            0,
            MIB - 1,
            MIB,
            2 * MIB,
            3 * MIB,
            4 * MIB,
            9 * MIB,
            usize::MAX,
        ]
        .map(window);
        let expected = [256, 256, 128, 64, 32, 16, 16, 16].map(|kib| kib * 1024);
        assert_eq!(windows, expected);
    }

    #[test]
    fn a_peer_gets_its_whole_window_back_once_nothing_is_held() {
        let (stalls, other) = (Rc::new(Credit::default()), Rc::new(Credit::default()));
        let mut narrowed = Narrowed::default();
        for _ in 0..3 {
            narrowed.count(&stalls, MIB);
            narrowed.count(&other, 1);
        }
        narrowed.settle();
        assert_eq!(stalls.window(), limits::STREAM_WINDOW / 8);
        assert_eq!(other.window(), limits::STREAM_WINDOW);
        assert_eq!(
            narrowed.0.len(),
            1,
            "only the narrow one is looked at again"
        );
        narrowed.settle();
        assert_eq!(stalls.window(), limits::STREAM_WINDOW);
        assert!(narrowed.0.is_empty());
    }
}
