//! PURE. The live decision over a recorded load, with the settings of then or others. The load is as
//! it was recorded: clients that would have come back sooner or later are not made up.

mod knative;
mod plot;

use std::collections::VecDeque;
use std::time::Duration;

use fprs_config::record::Invalid;
use fprs_config::{Scaling, ScalingChange};

use crate::decide::History;
use crate::trace::{Decided, Line};

pub use knative::Knative;
pub use plot::svg;

/// What became of a load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Simulated {
    /// One for every decision.
    pub steps: Vec<Step>,
    /// The settings in the end.
    pub scaling: Scaling,
}

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// As in the trace.
    pub at_ms: u64,
    /// Exchanges in flight and requests waiting.
    pub load: f64,
    /// What was decided now.
    pub decided: Decided,
    /// What the trace says was decided then.
    pub recorded: Option<Decided>,
    /// Replicas that would have been ready.
    pub ready: u32,
}

/// Decides about every load of a trace, by its settings as `change` changes them, where a replica
/// takes `startup` from request to ready. Without a change, from the same past as was recorded.
///
/// # Errors
/// Names the setting that can't be used.
pub fn simulate(
    lines: &[Line],
    change: &ScalingChange,
    startup: Duration,
) -> Result<Simulated, Invalid> {
    let as_recorded = *change == ScalingChange::default();
    let mut simulated = Simulated {
        scaling: change.apply(&Scaling::default())?,
        ..Simulated::default()
    };
    let mut recorded = Scaling::default();
    let mut history: Option<History> = None;
    let mut pool = Pool::new(startup);
    for line in lines {
        if let Some(settings) = &line.settings {
            recorded = settings.apply(&recorded)?;
            simulated.scaling = change.apply(&recorded)?;
        }
        if let Some(known) = &line.history {
            pool.begin(line.at_ms, known.wanted());
            history = Some(if as_recorded {
                known.clone()
            } else {
                History::new(line.at_ms, known.wanted())
            });
        }
        let Some(load) = &line.load else {
            continue;
        };
        let history = history.get_or_insert_with(|| History::new(line.at_ms, 0));
        let current = line.decided.map_or(pool.wanted, |decided| decided.current);
        let decision = history.decide(line.at_ms, &load.load(), &simulated.scaling, current);
        simulated.steps.push(Step {
            at_ms: line.at_ms,
            load: load.average.max(load.waiting as f64),
            decided: Decided::of(&decision),
            recorded: line.decided,
            ready: pool.follow(line.at_ms, decision.wanted),
        });
    }
    Ok(simulated)
}

/// Replicas that follow what is wanted, each after its start-up.
#[derive(Debug)]
pub struct Pool {
    startup_ms: u64,
    wanted: u32,
    ready: u32,
    /// When how many get ready, in order.
    starting: VecDeque<(u64, u32)>,
}

impl Pool {
    /// An empty one.
    pub fn new(startup: Duration) -> Self {
        Self {
            startup_ms: u64::try_from(startup.as_millis()).unwrap_or(u64::MAX),
            wanted: 0,
            ready: 0,
            starting: VecDeque::new(),
        }
    }

    /// That many are ready already, unless there were more.
    fn begin(&mut self, now_ms: u64, count: u32) {
        if count > self.wanted {
            self.ready += count - self.wanted;
            self.wanted = count;
        }
        self.follow(now_ms, count);
    }

    /// How many are ready at `now_ms`, where that many are wanted from now on.
    pub fn follow(&mut self, now_ms: u64, wanted: u32) -> u32 {
        while let Some(&(at_ms, count)) = self.starting.front()
            && at_ms <= now_ms
        {
            self.ready += count;
            self.starting.pop_front();
        }
        if wanted > self.wanted {
            let at_ms = now_ms.saturating_add(self.startup_ms);
            self.starting.push_back((at_ms, wanted - self.wanted));
        }
        let mut surplus = self.wanted.saturating_sub(wanted);
        // What does not serve yet goes first, the newest of it before the others.
        while surplus > 0
            && let Some((at_ms, count)) = self.starting.pop_back()
        {
            let gone = surplus.min(count);
            surplus -= gone;
            if count > gone {
                self.starting.push_back((at_ms, count - gone));
            }
        }
        self.ready = self.ready.saturating_sub(surplus);
        self.wanted = wanted;
        self.ready
    }
}

impl Simulated {
    /// Decisions that the trace has too, and those of them that came out differently.
    pub fn compared(&self) -> (usize, usize) {
        let recorded = self.steps.iter().filter(|step| step.recorded.is_some());
        let differ = |step: &&Step| step.recorded != Some(step.decided);
        (recorded.clone().count(), recorded.filter(differ).count())
    }

    /// The most replicas that were wanted.
    pub fn most(&self) -> u32 {
        let wanted = self.steps.iter().map(|step| step.decided.wanted);
        wanted.max().unwrap_or(0)
    }

    /// Times the pool grew and times it shrank.
    pub fn moves(&self) -> (usize, usize) {
        let wanted = self.steps.iter().map(|step| step.decided.wanted);
        let pairs = wanted.clone().zip(wanted.skip(1));
        let ups = pairs.clone().filter(|(before, after)| after > before);
        let downs = pairs.clone().filter(|(before, after)| after < before);
        (ups.count(), downs.count())
    }

    /// Replicas × seconds that were wanted, and of the time the seconds in which the ready ones
    /// had more than their target.
    pub fn cost(&self) -> (f64, f64) {
        let target = self.scaling.target_concurrency.unwrap_or(f64::INFINITY);
        let pairs = self.steps.iter().zip(self.steps.iter().skip(1));
        pairs.fold((0.0, 0.0), |(replicas, crowded), (step, next)| {
            let seconds = next.at_ms.saturating_sub(step.at_ms) as f64 / 1_000.0;
            let over = step.load > f64::from(step.ready) * target;
            (
                replicas + f64::from(step.decided.wanted) * seconds,
                crowded + if over { seconds } else { 0.0 },
            )
        })
    }
}

#[cfg(test)]
mod tests;
