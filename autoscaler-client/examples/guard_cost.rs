//! Measures what counting one exchange costs, on one thread and on two that share a gauge.
//! `cargo run --release -p fprs-autoscaler-client --example guard_cost`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use fprs_autoscaler_client::{Gauge, clock};

const ROUNDS: u32 = 5_000_000;

fn main() {
    let gauge = Arc::new(Gauge::new());
    show("clock read", each(clock::now_us));
    show("guard, begin to drop", each(|| gauge.begin()));
    let now_us = clock::now_us();
    show(
        "guard, time of begin given",
        each(|| gauge.begin_at(now_us)),
    );
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let each = each(|| gauge.begin());
                show("guard, two threads on one gauge", each);
            });
        }
    });
}

/// Nanoseconds per call.
fn each<T>(call: impl Fn() -> T) -> f64 {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| {
        black_box(call());
    });
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

#[allow(clippy::print_stdout, reason = "the example's output")]
fn show(what: &str, nanoseconds: f64) {
    println!("{what:32} {nanoseconds:6.1} ns");
}
