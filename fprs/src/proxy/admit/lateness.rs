//! How long a task of this core waits for its turn: a task of its own is woken now and then and looks
//! at the clock when its turn comes. It costs a request a look at a cell; a core without requests has
//! no timer and sleeps.

use std::cell::Cell;
use std::rc::Rc;

use fprs_autoscaler_client::clock;
use tokio::sync::Notify;

use super::Gate;
use super::share::TARGET_US;

/// Requests between two looks of a core that is not late.
const EVERY: u32 = 16;

/// What the look needs.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    requests: Cell<u32>,
    /// When the task was woken; 0: it is not waiting for its turn.
    woken_us: Cell<u64>,
    started: Cell<bool>,
    wake: Notify,
}

impl Lateness {
    /// The task waits for its turn.
    pub(super) const fn waits(&self) -> bool {
        self.woken_us.get() > 0
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
        lateness.wake.notify_one();
    }

    async fn look(self: Rc<Self>) {
        let lateness = &self.lateness;
        loop {
            lateness.wake.notified().await;
            let mut late = true;
            while late {
                let now_us = clock::now_us();
                let wait_us = now_us.saturating_sub(lateness.woken_us.get());
                self.waited(now_us, wait_us);
                // While it is late it looks again and again: a core can be kept busy by few requests.
                late = wait_us >= TARGET_US;
                if late {
                    lateness.woken_us.set(now_us.max(1));
                    tokio::task::yield_now().await;
                }
            }
            lateness.woken_us.set(0);
        }
    }
}
