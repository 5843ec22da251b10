//! PURE. The smallest or largest of the values seen within a span before now, in O(1) amortised a
//! value: what a later value overrules is dropped at once, so the kept ones are in strict order and
//! never more than there are distinct values.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    keeps: Keeps,
    /// Time in milliseconds and value; the extreme first, the newest last.
    values: VecDeque<(u64, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Keeps {
    Smallest,
    Largest,
}

impl Keeps {
    /// How a kept value compares with every later one.
    const fn ordering(self) -> Ordering {
        match self {
            Self::Smallest => Ordering::Less,
            Self::Largest => Ordering::Greater,
        }
    }
}

impl Window {
    pub(super) const fn smallest() -> Self {
        Self {
            keeps: Keeps::Smallest,
            values: VecDeque::new(),
        }
    }

    pub(super) const fn largest() -> Self {
        Self {
            keeps: Keeps::Largest,
            values: VecDeque::new(),
        }
    }

    /// Adds a value at `now_ms`, forgets those of `span_ms` ago or longer, and returns the extreme.
    /// The value just added always counts.
    pub(super) fn push(&mut self, now_ms: u64, value: u32, span_ms: u64) -> u32 {
        while let Some(&(_, last)) = self.values.back()
            && last.cmp(&value) != self.keeps.ordering()
        {
            self.values.pop_back();
        }
        self.values.push_back((now_ms, value));
        while let Some(&(at_ms, _)) = self.values.front()
            && self.values.len() > 1
            && now_ms.saturating_sub(at_ms) >= span_ms
        {
            self.values.pop_front();
        }
        self.values.front().map_or(value, |&(_, extreme)| extreme)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_span_of_zero_sees_only_the_value_just_added() {
        let mut window = Window::largest();
        assert_eq!(window.push(0, 9, 0), 9);
        assert_eq!(window.push(200, 1, 0), 1);
    }

    #[test]
    fn equal_values_are_kept_once_so_that_memory_stays_bounded() {
        let mut window = Window::largest();
        for tick in 0..10_000 {
            window.push(
                tick * 200,
                u32::try_from(tick % 5).expect("small"),
                u64::MAX,
            );
        }
        assert!(window.values.len() <= 5);
    }

    proptest! {
        #[test]
        fn the_extreme_equals_that_of_a_plain_scan(
            values in prop::collection::vec((0_u64..500, 0_u32..20), 1..200),
            span_ms in 0_u64..3_000,
        ) {
            let (mut least, mut most) = (Window::smallest(), Window::largest());
            let mut seen = Vec::new();
            let mut now_ms = 0;
            for (step, value) in values {
                now_ms += step;
                seen.push((now_ms, value));
                let recent = seen.iter().enumerate().filter(|&(index, &(at, _))| {
                    index + 1 == seen.len() || now_ms - at < span_ms
                }).map(|(_, &(_, value))| value);
                prop_assert_eq!(Some(least.push(now_ms, value, span_ms)), recent.clone().min());
                prop_assert_eq!(Some(most.push(now_ms, value, span_ms)), recent.max());
            }
        }
    }
}
