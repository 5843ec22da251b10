//! PURE. How often a source may present wrong credentials, counted by one core: a bucket of tokens a
//! source, in a table of fixed size. It spares us the signatures of JWTs that are made up, and logs
//! their owners; secrets of 256 bits need no protection from guessing.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::net::IpAddr;

/// Wrong credentials a source may present at once: a page of parallel requests with a key that has
/// expired, a few times over.
pub const BURST: u32 = 100;

/// And per second from then on.
pub const PER_SECOND: u32 = 10;

/// Sources one core counts; 24 bytes each.
const SOURCES: usize = 4096;

/// Places a source may be counted in: the one that was full soonest makes room.
const WAYS: usize = 4;

const MILLIS_PER_TOKEN: u64 = 1_000 / PER_SECOND as u64;

/// One core's counts.
#[derive(Debug)]
pub struct Throttle {
    hasher: foldhash::fast::RandomState,
    buckets: RefCell<Box<[Bucket]>>,
}

/// A bucket told by when it will be full again: one number instead of a level and a time.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    source: u64,
    full_at_ms: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            hasher: foldhash::fast::RandomState::default(),
            buckets: RefCell::new(vec![Bucket::default(); SOURCES].into()),
        }
    }
}

impl Throttle {
    /// The source has no wrong credential left at that time of a clock that doesn't go back.
    pub fn is_over(&self, source: IpAddr, now_ms: u64) -> bool {
        let name = self.name(source);
        let buckets = self.buckets.borrow();
        let ways = buckets.chunks_exact(WAYS).nth(set(name));
        let mut ways = ways.into_iter().flatten();
        ways.any(|bucket| bucket.source == name && bucket.full_at_ms > now_ms + over())
    }

    /// The source presented a wrong credential.
    pub fn failed(&self, source: IpAddr, now_ms: u64) {
        let name = self.name(source);
        let mut buckets = self.buckets.borrow_mut();
        let Some(ways) = buckets.chunks_exact_mut(WAYS).nth(set(name)) else {
            return;
        };
        let bucket = match ways.iter().position(|bucket| bucket.source == name) {
            Some(place) => ways.get_mut(place),
            None => ways.iter_mut().min_by_key(|bucket| bucket.full_at_ms),
        };
        let Some(bucket) = bucket else { return };
        if bucket.source != name {
            *bucket = Bucket {
                source: name,
                full_at_ms: now_ms,
            };
        }
        let full_at = bucket.full_at_ms.max(now_ms) + MILLIS_PER_TOKEN;
        // Failing on while over the limit makes it no longer.
        bucket.full_at_ms = full_at.min(now_ms + over() + MILLIS_PER_TOKEN);
    }

    /// An IPv4 address, or the IPv6 network that one host can choose its addresses from.
    fn name(&self, source: IpAddr) -> u64 {
        let network = match source.to_canonical() {
            IpAddr::V4(address) => u64::from(u32::from(address)),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                let parts = [a, b, c, d].map(u64::from);
                // The high bit keeps it apart from IPv4, which has 32.
                parts.into_iter().fold(0, |sum, part| sum << 16 | part) | 1 << 63
            }
        };
        // Nobody outside can tell which sources share places.
        self.hasher.hash_one(network)
    }
}

/// How far ahead a bucket's fullness is when the burst is used up.
const fn over() -> u64 {
    (BURST as u64 - 1) * MILLIS_PER_TOKEN
}

#[expect(clippy::cast_possible_truncation, reason = "below SOURCES")]
const fn set(name: u64) -> usize {
    (name % (SOURCES / WAYS) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(throttle: &Throttle, source: &str, times: u32, now_ms: u64) -> u32 {
        let source = source.parse().unwrap();
        let let_in = (0..times).filter(|_| {
            let over = throttle.is_over(source, now_ms);
            throttle.failed(source, now_ms);
            !over
        });
        u32::try_from(let_in.count()).unwrap()
    }

    #[test]
    fn a_source_may_fail_a_burst_and_then_at_a_rate() {
        let throttle = Throttle::default();
        assert_eq!(fail(&throttle, "10.0.0.1", 1_000, 5_000), BURST);
        assert_eq!(fail(&throttle, "10.0.0.2", 1, 5_000), 1, "another source");
        assert_eq!(fail(&throttle, "10.0.0.1", 1_000, 6_000), PER_SECOND);
        assert_eq!(fail(&throttle, "10.0.0.1", 1_000, 60_000), BURST);
    }

    #[test]
    fn hosts_of_one_ipv6_network_are_one_source() {
        let throttle = Throttle::default();
        assert_eq!(fail(&throttle, "2001:db8::1", 60, 0), 60);
        assert_eq!(fail(&throttle, "2001:db8::2", 60, 0), 40);
        assert_eq!(fail(&throttle, "2001:db8:0:1::2", 60, 0), 60);
    }

    #[test]
    fn any_number_of_sources_takes_the_same_room() {
        let throttle = Throttle::default();
        for source in 0..100_000_u32 {
            throttle.failed(IpAddr::from(source.to_be_bytes()), 1);
        }
        assert_eq!(throttle.buckets.borrow().len(), SOURCES);
        assert_eq!(fail(&throttle, "10.0.0.1", 200, 2), BURST);
    }
}
