//! What a simulation makes of a trace, and how its decision compares with another's.

use super::*;
use crate::trace::Sample;

const TICK_MS: u64 = 200;

fn line(at_ms: u64, load: f64) -> Line {
    Line {
        at_ms,
        load: Some(Sample {
            average: load,
            waiting: 0,
            ..Sample::default()
        }),
        ..Line::default()
    }
}

fn settings(words: &[&str]) -> ScalingChange {
    ScalingChange::from_words(words.iter().copied()).expect("settings")
}

#[test]
fn other_settings_make_another_pool_of_the_same_load() {
    let mut lines: Vec<Line> = (0..100).map(|tick| line(tick * TICK_MS, 16.0)).collect();
    lines[0].settings = Some(settings(&["target_concurrency=4", "max_replicas=8"]));
    let startup = Duration::from_secs(1);
    let as_recorded = simulate(&lines, &ScalingChange::default(), startup).expect("valid");
    assert_eq!((as_recorded.most(), as_recorded.moves()), (4, (0, 0)));
    assert_eq!(as_recorded.steps[4].ready, 0);
    assert_eq!(as_recorded.steps[5].ready, 4);
    let (replicas, crowded) = as_recorded.cost();
    assert!((replicas - 4.0 * 19.8).abs() < 1e-6, "{replicas}");
    assert!((crowded - 1.0).abs() < 1e-6, "{crowded}");
    let other = simulate(&lines, &settings(&["target_concurrency=2"]), startup).expect("valid");
    assert_eq!(other.most(), 8);
    assert!(simulate(&lines, &settings(&["max_replicas=0"]), startup).is_err());
}

#[test]
fn a_pool_gives_up_what_is_starting_before_what_is_ready() {
    let mut pool = Pool::new(Duration::from_secs(1));
    assert_eq!(pool.follow(0, 2), 0);
    assert_eq!(pool.follow(1_000, 4), 2);
    assert_eq!(pool.follow(1_500, 3), 2);
    assert_eq!(pool.follow(2_000, 3), 3);
    assert_eq!(pool.follow(2_100, 1), 1);
}

/// Milliseconds until that many requests at once, on nothing, are all on ready replicas.
fn served_after(burst: f64, target: f64, mut decide: impl FnMut(u64, u32) -> u32) -> u64 {
    let mut pool = Pool::new(Duration::from_millis(300));
    let mut ready = 0;
    for at_ms in (0..60_000).step_by(100) {
        let wanted = decide(at_ms, ready);
        ready = pool.follow(at_ms, wanted);
        if f64::from(ready) * target >= burst {
            return at_ms;
        }
    }
    u64::MAX
}

#[test]
fn a_burst_from_zero_is_served_several_times_sooner_than_by_knatives_algorithm() {
    let (burst, target) = (200.0, 8.0);
    let scaling = settings(&["target_concurrency=8", "max_replicas=100"])
        .apply(&Scaling::default())
        .expect("valid");
    let mut history = History::new(0, 0);
    let mut wanted = 0;
    let ours = served_after(burst, target, |at_ms, _| {
        // The first look rushes and knows only that they wait; ticks know how many.
        if at_ms % TICK_MS == 0 {
            let waiting = Sample {
                average: if at_ms == 0 { 0.0 } else { burst },
                waiting: 200,
                ..Sample::default()
            };
            wanted = history.decide(at_ms, &waiting.load(), &scaling, 0).wanted;
        }
        wanted
    });
    let mut knative = Knative::new(target, 100);
    let theirs = served_after(burst, target, |at_ms, ready| {
        knative.decide(at_ms, burst, ready)
    });
    println!("200 requests at once on a start-up of 300 ms: {ours} ms, Knative {theirs} ms");
    assert!(ours <= 500, "{ours}");
    assert!(ours * 3 < theirs, "{ours} {theirs}");
}

#[test]
fn a_picture_has_a_curve_for_everything_that_was_counted() {
    let lines: Vec<Line> = (0..50).map(|tick| line(tick * TICK_MS, 3.0)).collect();
    let change = settings(&["target_concurrency=1"]);
    let simulated = simulate(&lines, &change, Duration::ZERO).expect("valid");
    let counts = vec![2; 50];
    let svg = svg(&simulated, Some(("knative", &counts)));
    for word in ["load", "wanted", "ready", "knative", "</svg>"] {
        assert!(svg.contains(word), "{word}");
    }
    assert!(!svg.contains("NaN"));
}
