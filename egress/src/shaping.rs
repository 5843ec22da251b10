//! PURE. How the kernel is told of a rate: the options of its HTB queue and classes, byte for byte,
//! since no crate encodes them. A packet's class is its priority, which the rules set: no filter is
//! needed.

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

/// Our queue's number, on whichever interface.
pub const QUEUE: u16 = 1;

/// What a class may send at once: this long at its rate, and at least so many bytes.
const BURST_MILLISECONDS: u64 = 10;
const BURST_BYTES: u64 = 64 * 1024;
/// What one class sends before another's turn, bytes.
const QUANTUM: u32 = 20_000;

impl Rate {
    /// So many megabits a second.
    pub const fn megabits(megabits: u32) -> Self {
        Self(megabits as u64 * 1_000_000 / 8)
    }

    /// So fast that it slows nothing down.
    pub const FREE: Self = Self::megabits(100_000);

    const fn burst(self) -> u64 {
        let burst = self.0 / 1000 * BURST_MILLISECONDS;
        if burst < BURST_BYTES {
            BURST_BYTES
        } else {
            burst
        }
    }
}

/// `TCA_OPTIONS` of a queue: what has no class goes to `default`, or unshaped if that is 0.
pub fn queue(default: u16) -> Vec<u8> {
    const VERSION: u32 = 3;
    const RATE_TO_QUANTUM: u32 = 10;
    const TCA_HTB_INIT: u16 = 2;
    let words = [VERSION, RATE_TO_QUANTUM, u32::from(default), 0, 0];
    attribute(TCA_HTB_INIT, &words.map(u32::to_ne_bytes).concat())
}

/// `TCA_OPTIONS` of a class that sends at that rate and never faster.
pub fn class(rate: Rate) -> Vec<u8> {
    const TCA_HTB_PARMS: u16 = 1;
    const TCA_HTB_RATE64: u16 = 6;
    const TCA_HTB_CEIL64: u16 = 7;
    // Time that the burst takes, in the kernel's ticks of 64 ns.
    let nanoseconds = rate.burst().saturating_mul(1_000_000_000) / rate.0.max(1);
    let ticks = u32::try_from(nanoseconds / 64).unwrap_or(u32::MAX);
    let mut parms = [specification(rate), specification(rate)].concat();
    let (level, priority) = (0, 0);
    for word in [ticks, ticks, QUANTUM, level, priority] {
        parms.extend(u32::to_ne_bytes(word));
    }
    [
        attribute(TCA_HTB_PARMS, &parms),
        attribute(TCA_HTB_RATE64, &rate.0.to_ne_bytes()),
        attribute(TCA_HTB_CEIL64, &rate.0.to_ne_bytes()),
    ]
    .concat()
}

/// `struct tc_ratespec`.
fn specification(rate: Rate) -> Vec<u8> {
    const ETHERNET: u8 = 1;
    // cell_log, linklayer, overhead, cell_align, mpu: no tables, the kernel computes.
    let mut bytes = vec![0, ETHERNET, 0, 0, 0, 0, 0, 0];
    // More than fits is in the 64-bit attribute, and this says so.
    let short = u32::try_from(rate.0).unwrap_or(u32::MAX);
    bytes.extend(short.to_ne_bytes());
    bytes
}

/// One netlink attribute, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    const HEADER: usize = 4;
    let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `tc qdisc add … htb default 0x1` sends it, on a little-endian machine.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_queue_is_as_tc_writes_it() {
        let expected = [
            24, 0, 2, 0, 3, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(queue(1), expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_class_has_its_rate_twice_and_in_64_bits() {
        let bytes = class(Rate::megabits(80));
        assert_eq!(bytes.len(), 48 + 12 + 12);
        let rate = 10_000_000_u32.to_le_bytes();
        assert_eq!(bytes[12..16], rate, "rate");
        assert_eq!(bytes[24..28], rate, "ceiling");
        // 100,000 bytes take 10 ms.
        assert_eq!(bytes[28..32], (10_000_000_u32 / 64).to_le_bytes(), "burst");
        assert_eq!(bytes[52..60], 10_000_000_u64.to_le_bytes(), "64 bits");
    }

    #[test]
    fn rates_above_32_bits_are_whole_in_the_64() {
        let bytes = class(Rate::megabits(100_000));
        assert_eq!(bytes[12..16], u32::MAX.to_ne_bytes());
        assert_eq!(bytes[52..60], 12_500_000_000_u64.to_ne_bytes());
    }
}
