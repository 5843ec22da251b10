//! PURE. What is known of tenants while a core is late, from round to round: what each asks for, what
//! there is to be had, and each one's credit.

use std::collections::HashMap;

use super::ROUND_US;
use super::level::{Demand, level};

/// Rounds that only count, before anybody is refused: what comes in lumps is seen whole.
const LEARNING: u32 = 3;

/// After those, how much the last round counts in what is known of the ones before.
const NEWEST: f64 = 0.25;

/// Of what was to be had in a late round, what is to be had in the next.
const LESS: f64 = 0.8;

/// More, after a round that wasn't late.
const MORE: f64 = 1.1;

/// Never less than this part of the most that was granted: refusals cost a core too, and whoever tries
/// again at once is not to leave the others nothing.
const FLOOR: f64 = 0.5;

/// Rounds in which nobody was refused and no task was late, until it is over: a second.
pub(super) const CALM_ROUNDS: u32 = 20;

/// Rounds of its share that a tenant may owe for bytes it was granted.
const DEBT_ROUNDS: f64 = 20.0;

/// Rounds of its share that a tenant may save: requests within a share come in bursts.
const SAVED_ROUNDS: f64 = 4.0;

/// Who asked for less than this in a round asks for nothing any more.
const NOTHING: f64 = 0.001;

/// Tenants that are told apart on one core; more share one place.
pub(super) const TENANTS: usize = 4_096;

/// A late core.
#[derive(Debug, Default)]
pub(super) struct Late {
    pub(super) tenants: HashMap<u32, Tenure, foldhash::fast::RandomState>,
    rounds: u32,
    level: Level,
    /// What was granted in this round, and in one of those before.
    granted: f64,
    usual: f64,
    /// The most that was usual.
    most: f64,
    refused: bool,
    calm_rounds: u32,
}

/// What there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// Credit of one unit of weight in a round; infinite: everybody has enough.
    pub(super) unit: f64,
    /// What is to be granted in a round altogether.
    capacity: f64,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            unit: f64::INFINITY,
            capacity: f64::INFINITY,
        }
    }
}

/// One tenant of a late core.
#[derive(Debug)]
pub(super) struct Tenure {
    weight: f64,
    /// What it asked for in this round, and in one of those before.
    asked: f64,
    usual: f64,
    /// As of `at_us`. It comes evenly over the round: in one lump, a flood would fill the core with it
    /// at once, and again in the next.
    credit: f64,
    at_us: u64,
}

impl Late {
    /// Whether that may be granted.
    pub(super) fn ask(&mut self, tenant: u32, weight: u32, cost: f64, now_us: u64) -> bool {
        let unit = self.level.unit;
        let tenure = self.tenure(tenant, weight, now_us);
        tenure.asked += cost;
        tenure.renew(unit, now_us);
        let granted = unit.is_infinite() || tenure.credit > 0.0;
        if granted {
            tenure.credit -= cost;
            self.granted += cost;
        } else {
            self.refused = true;
        }
        granted
    }

    /// What was granted costs more.
    pub(super) fn charge(&mut self, tenant: u32, weight: u32, cost: f64, now_us: u64) {
        self.granted += cost;
        let tenure = self.tenure(tenant, weight, now_us);
        tenure.asked += cost;
        tenure.credit -= cost;
    }

    fn tenure(&mut self, tenant: u32, weight: u32, now_us: u64) -> &mut Tenure {
        let tenant = if self.tenants.len() < TENANTS || self.tenants.contains_key(&tenant) {
            tenant
        } else {
            u32::MAX
        };
        let weight = f64::from(weight.max(1));
        let unit = self.level.unit;
        let tenure = self.tenants.entry(tenant).or_insert_with(|| Tenure {
            weight,
            asked: 0.0,
            usual: 0.0,
            credit: first_credit(weight, unit),
            at_us: now_us,
        });
        tenure.weight = weight;
        tenure
    }

    /// The next round, after one that lasted so long; `true`: there need be none, it is over.
    pub(super) fn next(&mut self, is_late: bool, lasted_us: u64, now_us: u64) -> bool {
        // Rounds end when the core comes to it: what was counted is for one of the usual length.
        let part = ROUND_US as f64 / lasted_us.max(1) as f64;
        self.rounds = self.rounds.saturating_add(1);
        let newest = (1.0 / f64::from(self.rounds)).max(NEWEST);
        self.usual += (self.granted * part - self.usual) * newest;
        for tenure in self.tenants.values_mut() {
            let newest = if tenure.usual == 0.0 { 1.0 } else { newest };
            tenure.usual += (tenure.asked * part - tenure.usual) * newest;
            tenure.asked = 0.0;
        }
        let calm = !is_late && !self.refused;
        self.calm_rounds = if calm { self.calm_rounds + 1 } else { 0 };
        self.granted = 0.0;
        self.refused = false;
        self.renew(is_late, now_us);
        self.calm_rounds >= CALM_ROUNDS
    }

    fn renew(&mut self, is_late: bool, now_us: u64) {
        let before = self.level.unit;
        if self.rounds >= LEARNING {
            self.most = self.most.max(self.usual);
            self.level = self.next_level(is_late);
        }
        let unit = self.level.unit;
        for tenure in self.tenants.values_mut() {
            // What the last round earned is earned at its own level.
            tenure.renew(before, now_us);
            if before.is_infinite() {
                tenure.credit = first_credit(tenure.weight, unit);
            }
        }
        self.tenants
            .retain(|_, tenure| tenure.usual > NOTHING || tenure.credit < 0.0);
    }

    fn next_level(&self, is_late: bool) -> Level {
        let capacity = if is_late {
            let last = self.level.capacity.min(self.usual);
            (last * LESS).max(self.most * FLOOR)
        } else {
            self.level.capacity * MORE
        };
        let mut demands: Vec<Demand> = self
            .tenants
            .values()
            .filter(|tenure| tenure.usual > NOTHING)
            .map(|tenure| (tenure.usual, tenure.weight))
            .collect();
        let unit = if demands.len() < 2 {
            // Nobody waits behind one that is alone.
            f64::INFINITY
        } else {
            level(&mut demands, capacity)
        };
        Level { unit, capacity }
    }

    /// With that credit for one unit of weight, for tests.
    #[cfg(test)]
    pub(super) fn at(unit: f64) -> Self {
        Self {
            level: Level {
                unit,
                capacity: f64::INFINITY,
            },
            ..Self::default()
        }
    }
}

impl Tenure {
    /// Adds what came since, as far as it may be saved; what is owed is bounded too.
    fn renew(&mut self, unit: f64, now_us: u64) {
        let passed = now_us.saturating_sub(self.at_us) as f64 / ROUND_US as f64;
        self.at_us = now_us.max(self.at_us);
        if unit.is_infinite() {
            self.credit = 0.0;
            return;
        }
        let share = self.weight * unit;
        self.credit = (self.credit + passed * share)
            .clamp(-DEBT_ROUNDS * share, (SAVED_ROUNDS * share).max(1.0));
    }
}

/// Of a tenant that asks for the first time: a round's share, and at least one request.
fn first_credit(weight: f64, unit: f64) -> f64 {
    if unit.is_infinite() {
        0.0
    } else {
        (weight * unit).max(1.0)
    }
}
