//! PURE. Who gives way while one core has more to do than it can: in rounds, each tenant gets credit
//! for as much as every other one that wants it, by weight, and what some leave the others share
//! (weighted max-min). A tenant that asks for less than its share is never refused, nor one that is
//! alone: whoever asks for more than there is waits for nobody but itself.
//!
//! What is to be had is found by measuring: while tasks wait longer than [`TARGET_US`] even at the best
//! moment of a round, less is granted in the next; otherwise more.

use std::collections::HashMap;

/// A core is late when the least that any task waited in a whole round was this: a burst is over
/// sooner, a queue that stays is too much work. Five times that is what an exchange's steps add up to.
pub const TARGET_US: u64 = 5_000;

/// A round: long enough for a share of tens of requests, short enough to give way before clients
/// notice.
pub const ROUND_US: u64 = 50_000;

/// A round without a look for so long was none: the core had nothing to do.
const LONGEST_ROUND_US: u64 = 4 * ROUND_US;

/// Of what was granted in a late round, what is granted in the next.
const LESS: f64 = 0.85;

/// More, after a round that wasn't late.
const MORE: f64 = 1.1;

/// Never less than this part of the most that was granted in a round: what refusals cost a core is not
/// to be taken from those who are within their share.
const FLOOR: f64 = 0.25;

/// Rounds in which nobody was refused and no task was late, until it is over: a second.
const CALM_ROUNDS: u32 = 20;

/// Rounds of its share that a tenant may owe for bytes it was granted.
const DEBT_ROUNDS: f64 = 20.0;

/// Rounds of its share that a tenant may save: requests within a share come in bursts.
const SAVED_ROUNDS: f64 = 4.0;

/// Tenants that are told apart on one core; more share the last one's place.
const TENANTS: usize = 4_096;

/// One core's fair share.
#[derive(Debug, Default)]
pub struct Share {
    round: Round,
    late: Option<Late>,
}

#[derive(Debug, Default)]
struct Round {
    began_us: u64,
    /// The least that a task waited in it.
    least_us: Option<u64>,
}

/// What is known while the core is late.
#[derive(Debug)]
struct Late {
    tenants: HashMap<u32, Tenure, foldhash::fast::RandomState>,
    /// Credit of one unit of weight in this round; infinite: everybody has enough.
    level: f64,
    /// What is to be granted in a round.
    capacity: f64,
    /// The most that was.
    most: f64,
    granted: f64,
    refused: bool,
    calm_rounds: u32,
}

/// One tenant in the rounds of a late core.
#[derive(Debug)]
struct Tenure {
    weight: f64,
    /// What it asked for in this round.
    asked: f64,
    /// As of `at_us`. It comes evenly over the round: in one lump, a flood would fill the core with it
    /// at once, and again in the next.
    credit: f64,
    at_us: u64,
}

impl Share {
    /// Nobody is refused: [`ask`](Self::ask) needs not be asked.
    pub const fn is_calm(&self) -> bool {
        self.late.is_none()
    }

    /// A task waited so long for its turn.
    pub fn waited(&mut self, now_us: u64, wait_us: u64) {
        let least = self.round.least_us.get_or_insert(wait_us);
        *least = wait_us.min(*least);
        self.roll(now_us);
    }

    /// A tenant asks for something of that cost, 1 for a small request; `false`: it is over its share.
    pub fn ask(&mut self, tenant: u32, weight: u32, cost: f64, now_us: u64) -> bool {
        self.roll(now_us);
        let Some(late) = &mut self.late else {
            return true;
        };
        let level = late.level;
        let tenure = late.tenure(tenant, weight, now_us);
        tenure.asked += cost;
        tenure.renew(level, now_us);
        let granted = level.is_infinite() || tenure.credit > 0.0;
        if granted {
            tenure.credit -= cost;
            late.granted += cost;
        } else {
            late.refused = true;
        }
        granted
    }

    /// What was granted to a tenant turned out to cost more.
    pub fn charge(&mut self, tenant: u32, weight: u32, cost: f64) {
        if let Some(late) = &mut self.late {
            late.granted += cost;
            let tenure = late.tenure(tenant, weight, self.round.began_us);
            tenure.asked += cost;
            tenure.credit -= cost;
        }
    }

    /// Ends the round where it is time.
    fn roll(&mut self, now_us: u64) {
        let lasted = now_us.saturating_sub(self.round.began_us);
        if lasted < ROUND_US {
            return;
        }
        let is_late = self.round.least_us.is_some_and(|least| least >= TARGET_US);
        self.round = Round {
            began_us: now_us,
            least_us: None,
        };
        let over = match &mut self.late {
            None if is_late => {
                self.late = Some(Late::new());
                false
            }
            None => false,
            Some(_) if lasted >= LONGEST_ROUND_US && !is_late => true,
            Some(late) => late.next(is_late, now_us),
        };
        if over {
            self.late = None;
        }
    }
}

impl Late {
    /// Nothing is known yet: the first round only counts.
    fn new() -> Self {
        Self {
            tenants: HashMap::default(),
            level: f64::INFINITY,
            capacity: f64::INFINITY,
            most: 0.0,
            granted: 0.0,
            refused: false,
            calm_rounds: 0,
        }
    }

    fn tenure(&mut self, tenant: u32, weight: u32, now_us: u64) -> &mut Tenure {
        let tenant = if self.tenants.len() < TENANTS || self.tenants.contains_key(&tenant) {
            tenant
        } else {
            u32::MAX
        };
        let weight = f64::from(weight.max(1));
        let level = self.level;
        let tenure = self.tenants.entry(tenant).or_insert_with(|| Tenure {
            weight,
            asked: 0.0,
            credit: first_credit(weight, level),
            at_us: now_us,
        });
        tenure.weight = weight;
        tenure
    }

    /// The next round; `true`: there need be none, it is over.
    fn next(&mut self, is_late: bool, now_us: u64) -> bool {
        self.most = self.most.max(self.granted);
        if is_late {
            self.capacity = (self.granted * LESS).max(self.most * FLOOR);
        } else {
            self.capacity *= MORE;
        }
        let calm = !is_late && !self.refused;
        self.calm_rounds = if calm { self.calm_rounds + 1 } else { 0 };
        let mut demands: Vec<Demand> = self
            .tenants
            .values()
            .filter(|tenure| tenure.asked > 0.0)
            .map(|tenure| (tenure.asked, tenure.weight))
            .collect();
        // What the round earned is earned at its own level.
        let before = std::mem::replace(
            &mut self.level,
            if demands.len() < 2 {
                // Nobody waits behind one that is alone.
                f64::INFINITY
            } else {
                level(&mut demands, self.capacity)
            },
        );
        self.granted = 0.0;
        self.refused = false;
        self.tenants
            .retain(|_, tenure| tenure.asked > 0.0 || tenure.credit < 0.0);
        for tenure in self.tenants.values_mut() {
            tenure.asked = 0.0;
            tenure.renew(before, now_us);
            if before.is_infinite() {
                tenure.credit = first_credit(tenure.weight, self.level);
            }
        }
        self.calm_rounds >= CALM_ROUNDS
    }
}

impl Tenure {
    /// Adds what came since, as far as it may be saved; what is owed is bounded too.
    fn renew(&mut self, level: f64, now_us: u64) {
        let passed = now_us.saturating_sub(self.at_us) as f64 / ROUND_US as f64;
        self.at_us = now_us;
        if level.is_infinite() {
            self.credit = 0.0;
            return;
        }
        let share = self.weight * level;
        self.credit = (self.credit + passed * share)
            .clamp(-DEBT_ROUNDS * share, (SAVED_ROUNDS * share).max(1.0));
    }
}

/// Of a tenant that asks for the first time: a round's share, and at least one request.
fn first_credit(weight: f64, level: f64) -> f64 {
    if level.is_infinite() {
        0.0
    } else {
        (weight * level).max(1.0)
    }
}

/// What a tenant asks for, and its weight.
type Demand = (f64, f64);

/// How much one unit of weight gets, so that all together get `capacity`, and nobody more than it asks
/// for while another gets less than it asks for; infinite when there is enough for all.
fn level(demands: &mut [Demand], capacity: f64) -> f64 {
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
mod tests;
