//! Runs the real decision and plan in simulated worlds: replicas take their time, fail and crash,
//! load jumps, users deploy good and bad versions, proxies acknowledge late or never. Every world
//! is one seed; a failure prints the line that replays it.
//!
//! `FPRS_SIM_SEEDS=10000` runs more worlds, `FPRS_SIM_SEED=N` one. Traces are loads alone, without a
//! world around the decision.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test"
)]

mod traces;
mod world;

use traces::Trace;
use world::World;

const SEEDS: u64 = 2_000;
const TRACES: u64 = 10_000;

#[test]
fn pools_stay_in_bounds_and_converge_in_every_simulated_world() {
    each(SEEDS, |seed| World::new(seed).run());
}

#[test]
fn ten_thousand_traces_stay_in_bounds_keep_their_windows_and_come_to_rest() {
    each(TRACES, |seed| Trace::new(seed).run());
}

fn each(seeds: u64, run: impl Fn(u64) + Sync) {
    let one = |seed| {
        let replay = Replay(seed);
        run(seed);
        drop(replay);
    };
    if let Some(seed) = number("FPRS_SIM_SEED") {
        one(seed);
        return;
    }
    let seeds = number("FPRS_SIM_SEEDS").unwrap_or(seeds);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || (thread..seeds).step_by(2).for_each(one));
        }
    });
}

/// Says how to replay a world that broke.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "replay: FPRS_SIM_SEED={} cargo test -p fprs-autoscaler --test simulation",
                self.0
            );
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
