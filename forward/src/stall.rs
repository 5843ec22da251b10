//! One core's exchanges in which nothing moves. Looked through once a second by one task, so that an
//! exchange pays no timer of its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::deadlines::Deadlines;

/// How often stalls are looked for; a limit is kept to within this.
const TICK: Duration = Duration::from_secs(1);

/// One core's exchanges.
#[derive(Debug, Default)]
pub struct Stalls {
    now: Cell<u64>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
    deadlines: Deadlines,
}

#[derive(Debug, Default)]
struct Slot {
    /// The tick at which it gives up; `None`: not waiting.
    deadline: Option<u64>,
    waker: Option<Waker>,
}

/// One exchange among them.
#[derive(Debug)]
pub struct Watched {
    stalls: Rc<Stalls>,
    slot: usize,
    /// The tick at which something moved last.
    moved: u64,
}

impl Stalls {
    /// Without an exchange so far; clients are held to `deadlines`.
    pub fn new(deadlines: Deadlines) -> Self {
        Self {
            deadlines,
            ..Self::default()
        }
    }

    /// What clients are held to.
    pub const fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Looks for stalls until dropped.
    pub async fn watch(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let now = self.now.get() + 1;
            self.now.set(now);
            for slot in &mut *self.slots.borrow_mut() {
                if slot.deadline.is_some_and(|deadline| deadline <= now)
                    && let Some(waker) = slot.waker.take()
                {
                    waker.wake();
                }
            }
        }
    }

    /// Adds an exchange.
    pub fn add(self: &Rc<Self>) -> Watched {
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut slots = self.slots.borrow_mut();
            slots.push(Slot::default());
            slots.len() - 1
        });
        Watched {
            stalls: Rc::clone(self),
            slot,
            moved: self.now.get(),
        }
    }
}

impl Watched {
    /// Something moved.
    pub fn moved(&mut self) {
        self.moved = self.stalls.now.get();
    }

    /// Ready when nothing has moved for that long.
    pub fn poll(&mut self, limit: Duration, cx: &Context<'_>) -> Poll<()> {
        // The tick that is under way doesn't count as a whole one.
        let deadline = self.moved + limit.as_secs() + 1;
        if self.stalls.now.get() >= deadline {
            return Poll::Ready(());
        }
        if let Some(slot) = self.stalls.slots.borrow_mut().get_mut(self.slot) {
            slot.deadline = Some(deadline);
            if !slot
                .waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                slot.waker = Some(cx.waker().clone());
            }
        }
        Poll::Pending
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(slot) = self.stalls.slots.borrow_mut().get_mut(self.slot) {
            *slot = Slot::default();
        }
        self.stalls.free.borrow_mut().push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_exchange_that_moves_is_left_alone_and_one_that_stalls_is_told() {
        let stalls = Rc::new(Stalls::default());
        let exchange = async {
            let mut watched = stalls.add();
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                watched.moved();
                let polled = poll_fn(|cx| Poll::Ready(watched.poll(Duration::from_secs(3), cx)));
                assert!(polled.await.is_pending(), "it moved a moment ago");
            }
            let stalled = tokio::time::Instant::now();
            poll_fn(|cx| watched.poll(Duration::from_secs(3), cx)).await;
            let after = stalled.elapsed();
            assert!(
                after >= Duration::from_secs(3) && after <= Duration::from_secs(5),
                "{after:?}"
            );
        };
        tokio::select! {
            () = exchange => {}
            () = Rc::clone(&stalls).watch() => {}
        }
        assert_eq!(stalls.free.borrow().len(), 1, "the slot is given back");
    }
}
