//! PURE. How many replicas of a server run.

use std::time::Duration;

use fprs_proto::record as wire;

use super::check::{self, Invalid};
use super::millis;
use crate::limits;

/// How many replicas run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Exchanges in flight a replica should have, above 0; `None`: no autoscaling above one replica.
    pub target_concurrency: Option<f64>,
    /// Never fewer.
    pub min_replicas: u32,
    /// Never more, the buffer included; at least 1 and at least `min_replicas`.
    pub max_replicas: u32,
    /// Extra while there is traffic.
    pub buffer_replicas: u32,
    /// Load must stay this long before the pool grows.
    pub scaleup_window: Duration,
    /// Load must be gone this long before the pool shrinks.
    pub scaledown_window: Duration,
    /// Replicas that load may add in any minute, at least 1; `None`: no limit.
    pub scaleup_rate_limit: Option<u32>,
    /// Replicas that may be taken away in any minute, at least 1; `None`: no limit.
    pub scaledown_rate_limit: Option<u32>,
    /// The pool stays as large as it is, within min and max.
    pub paused: bool,
}

impl Scaling {
    /// Checks settings that were changed one by one.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        if let Some(target) = self.target_concurrency
            && !(limits::TARGET_CONCURRENCY_MIN..=limits::TARGET_CONCURRENCY).contains(&target)
        {
            return Err(Invalid::new(
                "target_concurrency",
                format!(
                    "is {target}: must be {} to {}, or left out for no autoscaling",
                    limits::TARGET_CONCURRENCY_MIN,
                    limits::TARGET_CONCURRENCY
                ),
            ));
        }
        if self.max_replicas == 0 || self.max_replicas > limits::REPLICAS_PER_SERVER {
            return Err(Invalid::new(
                "max_replicas",
                format!(
                    "is {}: must be 1 to {}",
                    self.max_replicas,
                    limits::REPLICAS_PER_SERVER
                ),
            ));
        }
        if self.min_replicas > self.max_replicas {
            return Err(Invalid::new(
                "min_replicas",
                format!(
                    "is {}, above `max_replicas`, which is {}",
                    self.min_replicas, self.max_replicas
                ),
            ));
        }
        if self.buffer_replicas > limits::REPLICAS_PER_SERVER {
            return Err(Invalid::new(
                "buffer_replicas",
                format!(
                    "is {}: the limit is {}",
                    self.buffer_replicas,
                    limits::REPLICAS_PER_SERVER
                ),
            ));
        }
        for (field, limit) in [
            ("scaleup_rate_limit", self.scaleup_rate_limit),
            ("scaledown_rate_limit", self.scaledown_rate_limit),
        ] {
            if limit == Some(0) {
                return Err(Invalid::new(
                    field,
                    "is 0: must be at least 1, or left out for no limit",
                ));
            }
        }
        let window = limits::SCALING_WINDOW;
        check::at_most("scaleup_window", self.scaleup_window, window)?;
        check::at_most("scaledown_window", self.scaledown_window, window)
    }

    pub(super) const fn from_wire(wire: &wire::Scaling) -> Self {
        Self {
            target_concurrency: wire.target_concurrency,
            min_replicas: wire.min_replicas,
            max_replicas: wire.max_replicas,
            buffer_replicas: wire.buffer_replicas,
            scaleup_window: Duration::from_millis(wire.scaleup_window_ms),
            scaledown_window: Duration::from_millis(wire.scaledown_window_ms),
            scaleup_rate_limit: wire.scaleup_rate_limit,
            scaledown_rate_limit: wire.scaledown_rate_limit,
            paused: wire.paused,
        }
    }

    pub(super) fn to_wire(self) -> wire::Scaling {
        wire::Scaling {
            target_concurrency: self.target_concurrency,
            min_replicas: self.min_replicas,
            max_replicas: self.max_replicas,
            buffer_replicas: self.buffer_replicas,
            scaleup_window_ms: millis(self.scaleup_window),
            scaledown_window_ms: millis(self.scaledown_window),
            scaleup_rate_limit: self.scaleup_rate_limit,
            scaledown_rate_limit: self.scaledown_rate_limit,
            paused: self.paused,
        }
    }
}
