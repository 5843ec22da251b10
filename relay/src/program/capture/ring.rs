//! PURE. The last lines of a program's output, within a count and a size.

use std::collections::VecDeque;
use std::sync::Arc;

/// Keeps the newest lines.
#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
}

/// What `fprs logs` can show of a program that isn't followed.
const MAX_LINES: usize = 1_000;
/// Memory per replica, however long its lines.
const MAX_BYTES: usize = 256 * 1024;

impl Ring {
    /// Adds a line and lets go of the oldest beyond the bounds.
    pub(super) fn push(&mut self, line: Arc<str>) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
        }
    }

    /// At most that many of the newest lines, oldest first.
    pub(super) fn last(&self, lines: usize) -> Vec<Arc<str>> {
        let skipped = self.lines.len().saturating_sub(lines);
        self.lines.iter().skip(skipped).map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_lines_within_the_count() {
        let mut ring = Ring::default();
        for number in 0..MAX_LINES + 5 {
            ring.push(number.to_string().into());
        }
        let kept = ring.last(usize::MAX);
        assert_eq!((kept.len(), &*kept[0]), (MAX_LINES, "5"));
        assert_eq!(ring.last(1), [(MAX_LINES + 4).to_string().into()]);
    }

    #[test]
    fn keeps_the_newest_lines_within_the_size() {
        let mut ring = Ring::default();
        let long = "x".repeat(8 * 1024);
        for _ in 0..100 {
            ring.push(long.as_str().into());
        }
        assert_eq!(ring.last(usize::MAX).len(), MAX_BYTES / long.len());
        assert!(ring.bytes <= MAX_BYTES);
    }
}
