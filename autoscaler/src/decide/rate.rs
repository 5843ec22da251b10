//! PURE. How much of a limit per minute is left: never is more used in any minute than the limit,
//! wherever that minute begins.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What the limits of the settings are per, in milliseconds.
const SPAN_MS: u64 = 60_000;

/// What was used within the last minute: at most one entry a tick.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rate {
    used: VecDeque<(u64, u32)>,
}

impl Rate {
    /// What may be used now.
    pub(super) fn left(&mut self, now_ms: u64, limit: Option<u32>) -> u32 {
        while let Some(&(at_ms, _)) = self.used.front()
            && now_ms.saturating_sub(at_ms) >= SPAN_MS
        {
            self.used.pop_front();
        }
        let used = self.used.iter().map(|&(_, count)| count);
        let used = used.fold(0, u32::saturating_add);
        limit.map_or(u32::MAX, |limit| limit.saturating_sub(used))
    }

    /// Takes note of what was used.
    pub(super) fn take(&mut self, now_ms: u64, count: u32) {
        if count > 0 {
            self.used.push_back((now_ms, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_comes_back_a_minute_later() {
        let mut rate = Rate::default();
        assert_eq!(rate.left(0, Some(3)), 3);
        rate.take(0, 2);
        rate.take(30_000, 1);
        assert_eq!(rate.left(59_999, Some(3)), 0);
        assert_eq!(rate.left(60_000, Some(3)), 2);
        assert_eq!(rate.left(90_000, Some(3)), 3);
    }

    #[test]
    fn without_a_limit_there_is_always_more() {
        let mut rate = Rate::default();
        rate.take(0, 1_000);
        assert_eq!(rate.left(1, None), u32::MAX);
        assert_eq!(rate.left(1, Some(5)), 0);
    }
}
