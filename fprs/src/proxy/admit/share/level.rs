//! PURE. Weighted max-min: what one unit of weight gets, when all together ask for more than there is.

/// What a tenant asks for, and its weight.
pub(super) type Demand = (f64, f64);

/// How much one unit of weight gets, so that all together get `capacity`, and nobody more than it asks
/// for while another gets less than it asks for; infinite when there is enough for all.
pub(super) fn level(demands: &mut [Demand], capacity: f64) -> f64 {
    demands.sort_unstable_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let mut left = capacity;
    let mut weights: f64 = demands.iter().map(|(_, weight)| weight).sum();
    for (asked, weight) in demands {
        if *asked * weights > left * *weight {
            return left / weights;
        }
        left -= *asked;
        weights -= *weight;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_of_it_is_given_and_nobody_gets_more_than_it_asks_for_or_than_its_share(
            demands in prop::collection::vec((1_u32..10_000, 1_u32..1_000), 1..50),
            part in 0.01_f64..1.5,
        ) {
            let mut demands: Vec<Demand> = demands
                .into_iter()
                .map(|(asked, weight)| (f64::from(asked), f64::from(weight)))
                .collect();
            let all: f64 = demands.iter().map(|(asked, _)| asked).sum();
            let capacity = all * part;
            let level = level(&mut demands, capacity);
            let granted: f64 = demands
                .iter()
                .map(|(asked, weight)| asked.min(weight * level))
                .sum();
            if part >= 1.001 {
                prop_assert!(level.is_infinite(), "enough for all");
            }
            if level.is_finite() {
                prop_assert!((granted - capacity).abs() <= capacity * 1e-9);
            } else {
                prop_assert!(all <= capacity * (1.0 + 1e-9));
            }
        }
    }
}
