//! PURE. Which replica takes a request: the least loaded of a few, one of two random ones of many.

use std::sync::Arc;

use crate::proxy::table::Replica;

/// Up to this many replicas all are looked at; among more, two random ones (power of two choices)
/// spread load nearly as well at a fixed price.
const SCANNED: usize = 4;

/// The replica for the next request, none of `tried`. `random` is any 64 random bits.
pub fn choose<'a>(
    replicas: &'a [Arc<Replica>],
    tried: &[Arc<str>],
    now_ms: u64,
    random: u64,
) -> Option<&'a Arc<Replica>> {
    let fit = |replica: &&Arc<Replica>| !replica.is_ejected(now_ms) && !tried.contains(&replica.id);
    let untried = |replica: &&Arc<Replica>| !tried.contains(&replica.id);
    if replicas.len() <= SCANNED || !tried.is_empty() {
        // With all of them ejected, one that may be back is better than none.
        return least(replicas.iter().filter(fit), now_ms, random)
            .or_else(|| least(replicas.iter().filter(untried), now_ms, random));
    }
    let (first, second) = two(replicas.len(), random);
    let pair = [replicas.get(first), replicas.get(second)];
    least(pair.into_iter().flatten().filter(fit), now_ms, random)
        .or_else(|| least(replicas.iter().filter(fit), now_ms, random))
        .or_else(|| least(replicas.iter(), now_ms, random))
}

/// The least loaded; among equals a random one, so that idle replicas share.
fn least<'a>(
    replicas: impl Iterator<Item = &'a Arc<Replica>>,
    now_ms: u64,
    random: u64,
) -> Option<&'a Arc<Replica>> {
    let mut best: Option<(&Arc<Replica>, u64)> = None;
    let mut equals = 1;
    for replica in replicas {
        let load = replica.load(now_ms);
        match best {
            Some((_, least)) if load > least => {}
            Some((_, least)) if load == least => {
                equals += 1;
                if random.is_multiple_of(equals) {
                    best = Some((replica, load));
                }
            }
            Some(_) | None => {
                equals = 1;
                best = Some((replica, load));
            }
        }
    }
    best.map(|(replica, _)| replica)
}

/// Two different numbers below `count`, which is at least 2.
fn two(count: usize, random: u64) -> (usize, usize) {
    let count = count as u64;
    let below = |bits: u64, bound: u64| ((bits & 0xffff_ffff) * bound) >> 32;
    let first = below(random, count);
    let second = (first + 1 + below(random >> 32, count - 1)) % count;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below a length, which is a usize"
    )]
    (first as usize, second as usize)
}
