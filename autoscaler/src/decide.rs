//! PURE. How many replicas a server should have, from the history of its load.
//!
//! `wanted(t) = ceil(average in flight over the tick ÷ target)`, plus the buffer while there is
//! traffic. The pool grows to the smallest of these within the scale-up window, shrinks to the
//! largest within the scale-down window, by no more in a minute than its rate limits say, and always
//! stays within min and max. A request that found no replica wants one at once.

mod rate;
mod window;

use std::time::Duration;

use fprs_config::Scaling;
use serde::{Deserialize, Serialize};

use self::rate::Rate;
use self::window::Window;
use crate::demand::Load;

/// A request that found no replica wants one for at least this long, however short the scale-down
/// window is: a client that comes back after a `Retry-After` of a second must find it starting.
const UNSERVED_HOLD: Duration = Duration::from_secs(2);

/// The share of one replica that an average may exceed a whole number of them by. Reports catch a
/// constant load a few microseconds early or late; that must not want a replica more.
const SLACK: f64 = 0.01;

/// How many replicas a server should have, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// Replicas it should have.
    pub wanted: u32,
    /// Replicas it has: requested, starting or ready, in the generation that has more of them.
    pub current: u32,
    /// The rule that bound `wanted`.
    pub rule: Rule,
    /// What it was decided by.
    pub inputs: Inputs,
}

/// What a decision was made by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inputs {
    /// Exchanges in flight and requests waiting, averaged over the tick.
    pub average: f64,
    /// Exchanges in flight at the newest reports.
    pub in_flight: u64,
    /// Requests waiting for a replica.
    pub waiting: u64,
    /// Requests that found no replica during the tick.
    pub unserved: u64,
    /// Exchanges in flight a replica should have; `None`: not autoscaled.
    pub target: Option<f64>,
    /// What this tick alone wants.
    pub tick: u32,
    /// The smallest that any tick within the scale-up window wanted.
    pub up: u32,
    /// The largest that any tick within the scale-down window wanted.
    pub down: u32,
}

/// Which rule bound a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// The load divided by the target.
    Target,
    /// The load, and the buffer on top of it.
    Buffer,
    /// More is wanted, but not for the whole scale-up window yet.
    ScaleUpWindow,
    /// Fewer are wanted, but more were within the scale-down window.
    ScaleDownWindow,
    /// More are wanted, but as many as the rate limit allows were added within the last minute.
    ScaleUpRate,
    /// Fewer are wanted, but as many as the rate limit allows went within the last minute.
    ScaleDownRate,
    /// Scaling is paused.
    Paused,
    /// Fewer are wanted, but less than a whole scale-down window has been seen.
    ColdHistory,
    /// A request found no replica.
    ZeroToOne,
    /// `min_replicas`.
    Min,
    /// `max_replicas`.
    Max,
}

/// What the decisions about one server need of its past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    up: Window,
    down: Window,
    /// Since when every tick was seen.
    since_ms: u64,
    scaledown_ms: u64,
    demanded_ms: Option<u64>,
    added: Rate,
    removed: Rate,
    wanted: u32,
}

impl History {
    /// The history of a server with `current` replicas, whose ticks are seen from `now_ms` of a
    /// monotonic clock on.
    pub fn new(now_ms: u64, current: u32) -> Self {
        Self {
            up: Window::smallest(),
            down: Window::largest(),
            since_ms: now_ms,
            scaledown_ms: 0,
            demanded_ms: None,
            added: Rate::default(),
            removed: Rate::default(),
            wanted: current,
        }
    }

    /// Adds a tick and decides. The pool moves from what was wanted last, not from `current`, which
    /// the decision only states: replicas that fail to start don't make it smaller.
    pub fn decide(
        &mut self,
        now_ms: u64,
        load: &Load,
        scaling: &Scaling,
        current: u32,
    ) -> Decision {
        let inputs = self.inputs(now_ms, load, scaling);
        let (wanted, rule) = if scaling.paused {
            (self.wanted, Rule::Paused)
        } else {
            self.by_demand(now_ms, &inputs, scaling)
        };
        let max = ceiling(scaling);
        let (wanted, rule) = if wanted > max {
            (max, Rule::Max)
        } else if wanted < scaling.min_replicas {
            (scaling.min_replicas, Rule::Min)
        } else {
            (wanted, rule)
        };
        self.added.take(now_ms, wanted.saturating_sub(self.wanted));
        self.removed
            .take(now_ms, self.wanted.saturating_sub(wanted));
        self.wanted = wanted;
        Decision {
            wanted,
            current,
            rule,
            inputs,
        }
    }

    /// What was wanted last.
    pub const fn wanted(&self) -> u32 {
        self.wanted
    }

    fn inputs(&mut self, now_ms: u64, load: &Load, scaling: &Scaling) -> Inputs {
        if load.waiting > 0 || load.unserved > 0 {
            self.demanded_ms = Some(now_ms);
        }
        let scaledown_ms = millis(scaling.scaledown_window);
        if scaledown_ms > self.scaledown_ms {
            // What left the shorter window is gone: of the longer one only this much was seen.
            self.since_ms = self.since_ms.max(now_ms.saturating_sub(self.scaledown_ms));
        }
        self.scaledown_ms = scaledown_ms;
        let tick = of_tick(load, scaling);
        let scaleup_ms = millis(scaling.scaleup_window);
        let up = self.up.push(now_ms, tick, scaleup_ms);
        let up_seen = now_ms.saturating_sub(self.since_ms) >= scaleup_ms;
        Inputs {
            average: load.average,
            in_flight: load.in_flight,
            waiting: load.waiting,
            unserved: load.unserved,
            target: target(scaling),
            tick,
            up: if up_seen { up } else { 0 },
            down: self.down.push(now_ms, tick, scaledown_ms),
        }
    }

    /// The pool by load and by requests that found no replica.
    fn by_demand(&mut self, now_ms: u64, inputs: &Inputs, scaling: &Scaling) -> (u32, Rule) {
        let floor = u32::from(self.demanded(now_ms, scaling));
        let (wanted, rule) = self.pool(now_ms, inputs, scaling, floor);
        let (wanted, rule) = self.limited(now_ms, wanted, rule, scaling);
        let first = self.wanted == 0 && wanted == floor;
        if floor > 0 && (wanted < floor || first) {
            (floor, Rule::ZeroToOne)
        } else {
            (wanted, rule)
        }
    }

    /// The pool no further from the last one than the rate limits allow.
    fn limited(&mut self, now_ms: u64, wanted: u32, rule: Rule, scaling: &Scaling) -> (u32, Rule) {
        let last = self.wanted;
        if wanted > last {
            let left = self.added.left(now_ms, scaling.scaleup_rate_limit);
            if wanted - last > left {
                return (last.saturating_add(left), Rule::ScaleUpRate);
            }
        } else if wanted < last {
            let left = self.removed.left(now_ms, scaling.scaledown_rate_limit);
            if last - wanted > left {
                return (last.saturating_sub(left), Rule::ScaleDownRate);
            }
        }
        (wanted, rule)
    }

    /// The pool by the windows alone.
    fn pool(&self, now_ms: u64, inputs: &Inputs, scaling: &Scaling, floor: u32) -> (u32, Rule) {
        let by_load = if buffer(inputs.tick, scaling) > 0 {
            Rule::Buffer
        } else {
            Rule::Target
        };
        let last = self.wanted;
        if inputs.up > last {
            return (inputs.up, by_load);
        }
        if inputs.down.max(floor) < last {
            let cold = now_ms.saturating_sub(self.since_ms) < self.scaledown_ms;
            return if cold {
                (last, Rule::ColdHistory)
            } else {
                (inputs.down, by_load)
            };
        }
        let rule = match inputs.tick.cmp(&last) {
            std::cmp::Ordering::Greater => Rule::ScaleUpWindow,
            std::cmp::Ordering::Less => Rule::ScaleDownWindow,
            std::cmp::Ordering::Equal => by_load,
        };
        (last, rule)
    }

    /// Whether a request lately found no replica.
    fn demanded(&self, now_ms: u64, scaling: &Scaling) -> bool {
        let hold_ms = millis(scaling.scaledown_window.max(UNSERVED_HOLD));
        self.demanded_ms
            .is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < hold_ms)
    }
}

/// What one tick wants, never above the ceiling, so that histories stay small.
fn of_tick(load: &Load, scaling: &Scaling) -> u32 {
    let average = if load.average.is_finite() {
        load.average.max(0.0)
    } else {
        0.0
    };
    if average == 0.0 && load.in_flight == 0 && load.waiting == 0 && load.unserved == 0 {
        return 0;
    }
    let ceiling = ceiling(scaling);
    let by_load =
        target(scaling).map_or(1, |target| whole(average / target - SLACK, ceiling).max(1));
    by_load
        .saturating_add(buffer(by_load, scaling))
        .min(ceiling)
}

/// Extra replicas while there is traffic.
const fn buffer(tick: u32, scaling: &Scaling) -> u32 {
    if tick > 0 && scaling.target_concurrency.is_some() {
        scaling.buffer_replicas
    } else {
        0
    }
}

/// The most replicas the server may have: one if it is not autoscaled, unless its minimum is more.
fn ceiling(scaling: &Scaling) -> u32 {
    let max = scaling.max_replicas.max(1);
    if target(scaling).is_some() {
        max
    } else {
        max.min(scaling.min_replicas.max(1))
    }
}

/// The target, if there is one that can be divided by.
fn target(scaling: &Scaling) -> Option<f64> {
    scaling
        .target_concurrency
        .filter(|target| target.is_finite() && *target > 0.0)
}

/// Rounded up, at most `most`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 0 to `most`"
)]
fn whole(value: f64, most: u32) -> u32 {
    value.ceil().clamp(0.0, f64::from(most)) as u32
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
