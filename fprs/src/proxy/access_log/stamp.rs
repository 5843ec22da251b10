//! PURE. The time of a line as text, RFC 3339 with microseconds in UTC. The second is written once for
//! all lines in it: a calendar would be a tenth of what a line costs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The text of the last second, kept for the next line.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    /// Seconds since the Unix epoch; of no second: `text` is empty.
    second: u64,
    /// Up to the dot.
    text: String,
}

impl Stamp {
    /// Writes the text of a time, which is not before 1970, behind what is there.
    pub(super) fn write(&mut self, at: SystemTime, line: &mut Vec<u8>) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.text.is_empty() || self.second != since.as_secs() {
            self.second = since.as_secs();
            let second = UNIX_EPOCH + Duration::from_secs(self.second);
            self.text = humantime::format_rfc3339_seconds(second).to_string();
            // Its zone comes behind the part of the second.
            self.text.pop();
        }
        line.extend_from_slice(self.text.as_bytes());
        let mut rest = since.subsec_micros();
        let mut digits = *b".000000Z";
        for digit in digits.iter_mut().skip(1).take(6).rev() {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        line.extend_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_reads_as_its_calendar_says(times in prop::collection::vec(0_u64..4_000_000_000_000_000, 1..4)) {
            let mut stamp = Stamp::default();
            for micros in times.iter().flat_map(|micros| [*micros, micros + 1]) {
                let at = UNIX_EPOCH + Duration::from_micros(micros);
                let mut line = Vec::new();
                stamp.write(at, &mut line);
                let expected = humantime::format_rfc3339_micros(at).to_string();
                prop_assert_eq!(String::from_utf8(line).unwrap(), expected);
            }
        }
    }
}
