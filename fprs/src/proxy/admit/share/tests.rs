//! One core, simulated: tasks in the order they came, each as long as it costs.

use std::collections::VecDeque;
use std::time::Duration;

use super::late::{CALM_ROUNDS, TENANTS};
use super::*;

/// What one request costs the core, carried or refused.
const CARRIED_US: u64 = 100;
const REFUSED_US: u64 = 5;

/// Requests a second that the core can carry.
const CAPACITY: f64 = 1e6 / CARRIED_US as f64;

/// Requests of one tenant that may wait; a client has only so many streams.
const OUTSTANDING: usize = 200;

/// A tenant: its weight and how many times the core's capacity it asks for.
#[derive(Clone, Copy, Debug)]
struct Load {
    weight: u32,
    asks: f64,
}

/// What came of a tenant's requests.
#[derive(Clone, Debug, Default)]
struct Came {
    carried: u64,
    refused: u64,
    /// Microseconds from its coming to its turn, of each.
    waits: Vec<u64>,
}

/// Serves for so many seconds; counts from the second one on.
fn serve(loads: &[Load], seconds: u64, seed: u64) -> Vec<Came> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut arrivals = Vec::new();
    for (tenant, load) in loads.iter().enumerate() {
        let mean = 1e6 / (CAPACITY * load.asks);
        let mut at = 0.0;
        while at < seconds as f64 * 1e6 {
            // Exponential gaps: requests that know nothing of each other.
            at += -mean * (1.0 - random.f64()).ln();
            arrivals.push((Duration::from_secs_f64(at / 1e6), tenant));
        }
    }
    arrivals.sort_unstable();
    let mut share = Share::default();
    let mut came = vec![Came::default(); loads.len()];
    let mut waiting = vec![VecDeque::<u64>::new(); loads.len()];
    let (mut free, mut looked) = (0, 0);
    for (number, (at, tenant)) in arrivals.into_iter().enumerate() {
        let at = u64::try_from(at.as_micros()).unwrap();
        let outstanding = &mut waiting[tenant];
        while outstanding.front().is_some_and(|ended| *ended <= at) {
            outstanding.pop_front();
        }
        if outstanding.len() >= OUTSTANDING {
            continue;
        }
        let start = free.max(at);
        if number % 16 == 0 && at >= looked {
            share.waited(start, start - at);
            looked = start;
        }
        let carried = share.ask(
            u32::try_from(tenant).unwrap(),
            loads[tenant].weight,
            1.0,
            start,
        );
        free = start + if carried { CARRIED_US } else { REFUSED_US };
        waiting[tenant].push_back(free);
        if at > 1_000_000 {
            let came = &mut came[tenant];
            came.waits.push(start - at);
            if carried {
                came.carried += 1;
            } else {
                came.refused += 1;
            }
        }
    }
    came
}

/// 1: all equal; 1/n: one has everything.
fn jain(of: &[f64]) -> f64 {
    let sum: f64 = of.iter().sum();
    let squares: f64 = of.iter().map(|one| one * one).sum();
    sum * sum / (of.len() as f64 * squares)
}

fn carried(came: &[Came]) -> Vec<f64> {
    came.iter().map(|came| came.carried as f64).collect()
}

#[test]
fn ten_equal_tenants_get_equal_shares_however_much_each_asks_for() {
    for seed in 0..3 {
        let loads: Vec<Load> = (1..=10)
            .map(|number| Load {
                weight: 1,
                asks: 0.15 * f64::from(number),
            })
            .collect();
        let carried = carried(&serve(&loads, 6, seed));
        let jain = jain(&carried);
        println!("{carried:?}: {jain:.3}");
        assert!(jain >= 0.95, "{jain}");
        let used = carried.iter().sum::<f64>() / (5.0 * CAPACITY);
        assert!(used > 0.4, "the core carries, not only refuses: {used:.2}");
    }
}

#[test]
fn weights_are_respected() {
    let loads = [1, 2, 4, 8].map(|weight| Load { weight, asks: 1.0 });
    let came = serve(&loads, 6, 7);
    let carried = carried(&came);
    let unit = carried.iter().sum::<f64>() / 15.0;
    for (load, carried) in loads.iter().zip(&carried) {
        let ratio = carried / unit / f64::from(load.weight);
        println!("weight {}: {ratio:.3} of its share", load.weight);
        assert!((0.9..=1.1).contains(&ratio), "{load:?}: {ratio:.3}");
    }
}

#[test]
fn who_asks_for_less_than_its_share_is_never_refused_and_hardly_waits() {
    for seed in 0..3 {
        let flood = Load {
            weight: 1,
            asks: 10.0,
        };
        let modest = Load {
            weight: 1,
            asks: 0.05,
        };
        let came = serve(&[flood, modest], 6, seed);
        let [flood, modest] = &came[..] else {
            unreachable!("two tenants")
        };
        let mut waits = modest.waits.clone();
        waits.sort_unstable();
        let median = waits[waits.len() / 2];
        println!(
            "refused {} and {}, median wait {median} µs",
            flood.refused, modest.refused
        );
        assert_eq!(modest.refused, 0);
        assert!(flood.refused > flood.carried);
        assert!(median < 2 * TARGET_US, "{median} µs");
    }
}

#[test]
fn a_tenant_that_is_alone_is_never_refused() {
    let load = Load {
        weight: 1,
        asks: 3.0,
    };
    assert_eq!(serve(&[load], 3, 1)[0].refused, 0);
}

#[test]
fn without_overload_nobody_is_refused() {
    let loads = [0.5, 0.2, 0.1].map(|asks| Load { weight: 1, asks });
    let came = serve(&loads, 6, 2);
    assert!(came.iter().all(|came| came.refused == 0), "{came:?}");
}

#[test]
fn it_is_over_a_second_after_the_last_late_round() {
    let mut share = Share::default();
    for round in 1..=3 {
        share.waited(round * ROUND_US, ROUND_US / 2);
    }
    assert!(!share.is_calm());
    let mut rounds = 0;
    while !share.is_calm() {
        rounds += 1;
        // One alone, which nobody refuses.
        assert!(share.ask(1, 1, 1.0, (3 + rounds) * ROUND_US));
        share.waited((3 + rounds) * ROUND_US, 0);
    }
    assert!(rounds <= u64::from(CALM_ROUNDS) + 2, "{rounds}");
}

#[test]
fn a_core_that_had_nothing_to_do_is_late_no_more() {
    let mut share = Share::default();
    share.waited(ROUND_US, ROUND_US / 2);
    assert!(!share.is_calm());
    assert!(!share.is_calm());
    share.pass(100 * ROUND_US);
    assert!(share.is_calm());
}

#[test]
fn what_was_granted_is_paid_by_its_bytes() {
    let mut share = Share {
        late: Some(Late::at(10.0)),
        ..Share::default()
    };
    assert!(share.ask(1, 1, 1.0, 0));
    share.charge(1, 1, 50.0);
    assert!(!share.ask(1, 1, 1.0, 0));
    assert!(share.ask(2, 1, 1.0, 0));
}

#[test]
fn tenants_without_number_share_one_place() {
    let mut share = Share {
        late: Some(Late::at(1.0)),
        ..Share::default()
    };
    for tenant in 0..2 * u32::try_from(TENANTS).unwrap() {
        share.ask(tenant, 1, 1.0, 0);
    }
    assert_eq!(share.late.unwrap().tenants.len(), TENANTS + 1);
}
