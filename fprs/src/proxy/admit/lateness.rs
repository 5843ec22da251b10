//! How long a task of this core waits for its turn: a task of its own is woken now and then and looks
//! at the clock when its turn comes. It costs a request a look at a cell. Only once it had to wait does
//! it look by a timer, since a core may be kept busy by few requests, or by many that come in lumps; a
//! core with nothing to do has no timer and sleeps.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fprs_autoscaler_client::clock;

use super::Gate;
use super::share::{ROUND_US, TARGET_US};

/// Requests between two looks of a core that is not late.
const EVERY: u32 = 16;

/// Between two looks by the timer: its own resolution.
const PAUSE_US: u64 = 1_000;

/// For how long the timer looks on after a wait that was too long: some rounds.
const WATCHED_US: u64 = 4 * ROUND_US;

/// What the look needs.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    requests: Cell<u32>,
    /// When the task was woken; 0: it waits for requests.
    woken_us: Cell<u64>,
    started: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Lateness {
    /// The task waits for its turn, or looks by the timer.
    pub(super) const fn waits(&self) -> bool {
        self.woken_us.get() > 0
    }

    fn poll_woken(&self, cx: &Context<'_>) -> Poll<()> {
        if self.waits() {
            return Poll::Ready(());
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Gate {
    /// A request has come: looks, every now and then.
    pub(super) fn watch(self: &Rc<Self>) {
        let lateness = &self.lateness;
        let requests = lateness.requests.get() + 1;
        if requests < EVERY {
            lateness.requests.set(requests);
            return;
        }
        if lateness.waits() {
            return;
        }
        lateness.requests.set(0);
        if !lateness.started.replace(true) {
            tokio::task::spawn_local(Rc::clone(self).look());
        }
        lateness.woken_us.set(clock::now_us().max(1));
        if let Some(waker) = lateness.waker.take() {
            waker.wake();
        }
    }

    async fn look(self: Rc<Self>) {
        let lateness = &self.lateness;
        loop {
            poll_fn(|cx| lateness.poll_woken(cx)).await;
            let mut now_us = clock::now_us();
            if self.waited_since(lateness.woken_us.get(), now_us) {
                let mut until_us = now_us + WATCHED_US;
                while now_us < until_us {
                    let due_us = now_us + PAUSE_US;
                    tokio::time::sleep(Duration::from_micros(PAUSE_US)).await;
                    now_us = clock::now_us();
                    if self.waited_since(due_us, now_us) {
                        until_us = now_us + WATCHED_US;
                    }
                }
            }
            lateness.woken_us.set(0);
        }
    }

    /// Tells of a wait; whether it was too long.
    fn waited_since(&self, since_us: u64, now_us: u64) -> bool {
        let wait_us = now_us.saturating_sub(since_us);
        self.waited(now_us, wait_us);
        wait_us >= TARGET_US
    }
}
