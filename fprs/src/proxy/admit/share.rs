//! PURE. Who gives way while one core has more to do than it can: each tenant gets credit for as much
//! as every other one that wants it, by weight, and what some leave the others share (weighted
//! max-min). A tenant that asks for less than its share is not refused, nor one that is alone: whoever
//! asks for more than there is waits for nobody but itself.
//!
//! What there is is found by measuring, in rounds: when tasks waited [`TARGET_US`] and longer for most
//! of one, less is granted in the next; otherwise more.

mod late;
mod level;

use self::late::Late;

/// A core is late when tasks wait this long, and longer, for half of a round: a burst is over sooner, a
/// queue that stays is too much work. An exchange takes about five turns.
pub const TARGET_US: u64 = 5_000;

/// A round, at least: long enough for tens of requests, short enough to give way before clients notice.
pub const ROUND_US: u64 = 50_000;

/// A round in which nobody looked for so long was none: the core had nothing to do.
const LONGEST_ROUND_US: u64 = 4 * ROUND_US;

/// One core's fair share.
#[derive(Debug, Default)]
pub struct Share {
    round: Round,
    late: Option<Late>,
}

#[derive(Debug, Default)]
struct Round {
    began_us: u64,
    /// For how long of it tasks waited too long.
    late_us: u64,
}

impl Share {
    /// Nobody is refused: [`ask`](Self::ask) needs not be asked.
    pub const fn is_calm(&self) -> bool {
        self.late.is_none()
    }

    /// A task waited so long for its turn, after the one that was told before had its own.
    pub fn waited(&mut self, now_us: u64, wait_us: u64) {
        if wait_us >= TARGET_US {
            self.round.late_us += wait_us;
        }
        self.pass(now_us);
    }

    /// Time has passed, and no task waits that will be told of.
    pub fn pass(&mut self, now_us: u64) {
        let lasted_us = now_us.saturating_sub(self.round.began_us);
        if lasted_us < ROUND_US {
            return;
        }
        let is_late = 2 * self.round.late_us >= lasted_us;
        self.round = Round {
            began_us: now_us,
            late_us: 0,
        };
        let over = match &mut self.late {
            None if is_late => {
                self.late = Some(Late::default());
                false
            }
            None => false,
            Some(_) if lasted_us >= LONGEST_ROUND_US && !is_late => true,
            Some(late) => late.next(is_late, lasted_us, now_us),
        };
        if over {
            self.late = None;
        }
    }

    /// A tenant asks for something of that cost, 1 for a small request; `false`: it is over its share.
    pub fn ask(&mut self, tenant: u32, weight: u32, cost: f64, now_us: u64) -> bool {
        match &mut self.late {
            Some(late) => late.ask(tenant, weight, cost, now_us),
            None => true,
        }
    }

    /// What was granted to a tenant turned out to cost more.
    pub fn charge(&mut self, tenant: u32, weight: u32, cost: f64) {
        if let Some(late) = &mut self.late {
            late.charge(tenant, weight, cost, self.round.began_us);
        }
    }
}

#[cfg(test)]
mod tests;
