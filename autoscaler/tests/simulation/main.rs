//! Runs the real decision and plan in simulated worlds: replicas take their time, fail and crash,
//! load jumps, users deploy good and bad versions, proxies acknowledge late or never. Every world
//! is one seed; a failure prints the line that replays it.
//!
//! `FPRS_SIM_SEEDS=10000` runs more worlds, `FPRS_SIM_SEED=N` one.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test"
)]

mod world;

use world::World;

const SEEDS: u64 = 3_000;

#[test]
fn pools_stay_in_bounds_and_converge_in_every_simulated_world() {
    if let Some(seed) = number("FPRS_SIM_SEED") {
        run(seed);
        return;
    }
    let seeds = number("FPRS_SIM_SEEDS").unwrap_or(SEEDS);
    let threads = 2;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || (thread..seeds).step_by(2).for_each(run));
        }
    });
}

fn run(seed: u64) {
    let replay = Replay(seed);
    let mut world = World::new(seed);
    world.run();
    drop(replay);
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
