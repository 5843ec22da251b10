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
    let fit =
        |replica: &&Arc<Replica>| !replica.is_ejected(now_ms) && !tried.contains(replica.id());
    let untried = |replica: &&Arc<Replica>| !tried.contains(replica.id());
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

#[cfg(test)]
mod tests {
    use fprs_config::ReplicaState;

    use super::*;
    use crate::proxy::testing::{World, replica, server};

    fn replicas(count: usize) -> Vec<Arc<Replica>> {
        let mut world = World::new();
        let mut changes = vec![server("s")];
        changes.extend(
            (0..count).map(|place| replica(&format!("r{place}"), "s", ReplicaState::Ready)),
        );
        world.commit(changes);
        world.tables.load().route("s").unwrap().ready.to_vec()
    }

    #[test]
    fn the_least_loaded_of_a_few_is_chosen() {
        let replicas = replicas(4);
        let busy: Vec<_> = [0, 0, 1, 3].map(|place| replicas[place].begin_at(0)).into();
        for random in 0..100 {
            let chosen = choose(&replicas, &[], 0, random).unwrap();
            assert!(Arc::ptr_eq(chosen, &replicas[2]), "the only idle one");
        }
        drop(busy);
    }

    #[test]
    fn idle_replicas_share() {
        let replicas = replicas(3);
        let mut counts = [0; 3];
        for _ in 0..3_000 {
            let chosen = choose(&replicas, &[], 0, fastrand::u64(..)).unwrap();
            counts[replicas
                .iter()
                .position(|replica| Arc::ptr_eq(replica, chosen))
                .unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (700..1_300).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn among_many_load_evens_out() {
        let replicas = replicas(50);
        let held: Vec<_> = (0..5_000)
            .map(|_| {
                choose(&replicas, &[], 0, fastrand::u64(..))
                    .unwrap()
                    .begin_at(0)
            })
            .collect();
        let most = replicas
            .iter()
            .map(|replica| replica.in_flight())
            .max()
            .unwrap();
        assert!(
            most <= 110,
            "100 each would be even, the fullest has {most}"
        );
        drop(held);
    }

    #[test]
    fn ejected_and_tried_replicas_are_passed_over_while_there_are_others() {
        let replicas = replicas(3);
        replicas[0].eject(0);
        let tried = [Arc::clone(replicas[1].id())];
        for random in 0..100 {
            let chosen = choose(&replicas, &tried, 10, random).unwrap();
            assert!(Arc::ptr_eq(chosen, &replicas[2]));
        }
        replicas[2].eject(0);
        let last = choose(&replicas, &tried, 10, 0).unwrap();
        assert!(
            !Arc::ptr_eq(last, &replicas[1]),
            "an ejected one is better than none"
        );
        let all: Vec<_> = replicas
            .iter()
            .map(|replica| Arc::clone(replica.id()))
            .collect();
        assert!(choose(&replicas, &all, 10, 0).is_none());
    }

    #[test]
    fn two_choices_are_two_and_below_the_count() {
        for count in [5, 6, 1_000] {
            for _ in 0..1_000 {
                let (first, second) = two(count, fastrand::u64(..));
                assert!(first != second && first < count && second < count);
            }
        }
    }
}
