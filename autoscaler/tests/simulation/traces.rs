//! The decision alone over loads of every shape, ten thousand of them, each from one seed: held
//! against a plain reading of its rules that keeps every tick and knows no windows.

use std::time::Duration;

use fprs_autoscaler::decide::{Decision, History, Rule};
use fprs_autoscaler::demand::Load;
use fprs_config::{Scaling, samples};

const TICK_MS: u64 = 200;
const MINUTE_MS: u64 = 60_000;
const CHANGING_TICKS: u64 = 90;
/// Longer than both windows and the hold of an unserved request together.
const CONSTANT_TICKS: u64 = 60;

/// A server whose pool follows its decisions, and all that was decided.
pub(crate) struct Trace {
    rng: fastrand::Rng,
    history: History,
    scaling: Scaling,
    now_ms: u64,
    wanted: u32,
    /// When, and what that tick alone wanted.
    ticks: Vec<(u64, u32)>,
    /// When, and by how many the pool grew or shrank.
    grown: Vec<(u64, u32)>,
    shrunk: Vec<(u64, u32)>,
}

impl Trace {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let scaling = scaling(&mut rng);
        let wanted = rng.u32(scaling.min_replicas..=scaling.max_replicas);
        Self {
            history: History::new(0, wanted),
            rng,
            scaling,
            now_ms: 0,
            wanted,
            ticks: Vec::new(),
            grown: Vec::new(),
            shrunk: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self) {
        let mut load = self.rng.f64() * 30.0;
        for tick in 0..CHANGING_TICKS {
            load = self.next(load, tick);
            self.tick(load, self.wanted == 0 && load > 0.0);
        }
        // A whole number of replicas is where noise could make one more of it.
        let whole = f64::from(self.rng.u32(..12)) * self.scaling.target_concurrency.unwrap_or(1.0);
        let constant = [0.0, self.rng.f64() * 30.0, whole][self.rng.usize(..3)];
        self.stays(constant);
    }

    /// What comes after a load: the same, a jump, a little more or less, a wave, or nothing.
    fn next(&mut self, load: f64, tick: u64) -> f64 {
        match self.rng.u8(..20) {
            0 => self.rng.f64() * 30.0,
            1 => 0.0,
            2..6 => (load + self.rng.f64() * 4.0 - 2.0).max(0.0),
            6..9 => 15.0 + 15.0 * (tick as f64 / 10.0).sin(),
            _ => load,
        }
    }

    /// A load that no longer changes moves the pool in one direction, to what it asks for.
    fn stays(&mut self, load: f64) {
        let (mut up, mut down) = (false, false);
        let mut last = None;
        for tick in 0..CONSTANT_TICKS {
            let before = self.wanted;
            // The noise of reports that catch an exchange early or late.
            let noise = if tick % 2 == 0 { 1e-5 } else { -1e-5 };
            let decision = self.tick((load * (1.0 + noise)).max(0.0), false);
            // What was before may still decide for the longest of windows.
            up |= decision.wanted > before;
            down |= decision.wanted < before;
            last = Some(decision);
        }
        assert!(!(up && down), "up and down on a constant load");
        let decision = last.expect("at least one tick");
        let limits = self.scaling;
        if limits.scaleup_rate_limit.is_none() && limits.scaledown_rate_limit.is_none() {
            let asked = decision.inputs.tick;
            let expected = asked.clamp(limits.min_replicas, limits.max_replicas);
            assert_eq!(decision.wanted, expected, "{decision:?}");
        }
    }

    fn tick(&mut self, average: f64, unserved: bool) -> Decision {
        let load = Load {
            average,
            in_flight: u64::from(average > 0.0),
            unserved: u64::from(unserved),
            ..Load::default()
        };
        let before = self.wanted;
        let decision = self
            .history
            .decide(self.now_ms, &load, &self.scaling, before);
        self.wanted = decision.wanted;
        self.ticks.push((self.now_ms, decision.inputs.tick));
        let (grown, shrunk) = (
            decision.wanted.saturating_sub(before),
            before.saturating_sub(decision.wanted),
        );
        self.grown.push((self.now_ms, grown));
        self.shrunk.push((self.now_ms, shrunk));
        self.check(&decision, before);
        self.now_ms += TICK_MS;
        decision
    }

    fn check(&self, decision: &Decision, before: u32) {
        let Scaling {
            min_replicas: min,
            max_replicas: max,
            ..
        } = self.scaling;
        assert!((min..=max).contains(&decision.wanted), "{decision:?}");
        let up = self.window(self.scaling.scaleup_window);
        let least = up.clone().map(|&(_, tick)| tick).min().unwrap_or(0);
        let up_seen = self.now_ms >= millis(self.scaling.scaleup_window);
        if up_seen && self.scaling.scaleup_rate_limit.is_none() {
            assert!(
                decision.wanted >= least.min(max),
                "the window is over and the pool did not grow: {decision:?}"
            );
        }
        if decision.wanted > before && !matches!(decision.rule, Rule::ZeroToOne | Rule::Min) {
            assert!(
                decision.wanted <= least,
                "up inside the window: {decision:?}"
            );
            within(&self.grown, self.now_ms, self.scaling.scaleup_rate_limit);
        }
        if decision.wanted < before {
            let down = self.window(self.scaling.scaledown_window);
            let most = down.map(|&(_, tick)| tick).max().unwrap_or(0);
            assert!(
                decision.wanted >= most,
                "down inside the window: {decision:?}"
            );
            let seen = self.now_ms >= millis(self.scaling.scaledown_window);
            assert!(seen, "down before a whole window was seen: {decision:?}");
            within(&self.shrunk, self.now_ms, self.scaling.scaledown_rate_limit);
        }
    }

    /// The ticks of a window before now, this one always.
    fn window(&self, span: Duration) -> impl Iterator<Item = &(u64, u32)> + Clone {
        let (now_ms, span_ms) = (self.now_ms, millis(span));
        let ticks = self.ticks.iter().rev().enumerate();
        ticks
            .take_while(move |(back, (at_ms, _))| *back == 0 || now_ms - at_ms < span_ms)
            .map(|(_, tick)| tick)
    }
}

/// No more moved within the last minute than the limit.
fn within(moves: &[(u64, u32)], now_ms: u64, limit: Option<u32>) {
    let Some(limit) = limit else { return };
    let moves = moves.iter().rev();
    let moves = moves.take_while(|(at_ms, _)| now_ms - at_ms < MINUTE_MS);
    let moved: u32 = moves.map(|&(_, count)| count).sum();
    assert!(moved <= limit, "{moved} in a minute, limit {limit}");
}

fn scaling(rng: &mut fastrand::Rng) -> Scaling {
    let min_replicas = [0, 0, 1, 3][rng.usize(..4)];
    let limit = |rng: &mut fastrand::Rng| (rng.u8(..4) == 0).then(|| rng.u32(1..6));
    Scaling {
        target_concurrency: Some([0.7, 1.0, 2.5, 8.0][rng.usize(..4)]),
        min_replicas,
        max_replicas: min_replicas + rng.u32(1..30),
        buffer_replicas: [0, 0, 0, 2][rng.usize(..4)],
        scaleup_window: Duration::from_millis([0, 0, 600, 2_000][rng.usize(..4)]),
        scaledown_window: Duration::from_millis([0, 1_000, 3_000, 4_000][rng.usize(..4)]),
        scaleup_rate_limit: limit(rng),
        scaledown_rate_limit: limit(rng),
        ..samples::scaling()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("small")
}
