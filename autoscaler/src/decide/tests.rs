//! Which pool a history of load comes to, and which rule binds it.

use proptest::prelude::*;

use super::*;

const TICK_MS: u64 = 200;

fn scaling() -> Scaling {
    Scaling {
        target_concurrency: Some(4.0),
        min_replicas: 0,
        max_replicas: 8,
        buffer_replicas: 0,
        scaleup_window: Duration::ZERO,
        scaledown_window: Duration::from_secs(10),
        scaleup_rate_limit: None,
        scaledown_rate_limit: None,
        paused: false,
    }
}

fn load(average: f64) -> Load {
    Load {
        average,
        ..Load::default()
    }
}

fn unserved() -> Load {
    Load {
        unserved: 1,
        ..Load::default()
    }
}

/// A server whose pool follows its decisions at once.
struct Pool {
    history: History,
    scaling: Scaling,
    now_ms: u64,
    current: u32,
}

impl Pool {
    fn new(scaling: Scaling) -> Self {
        Self::with(scaling, 0)
    }

    fn with(scaling: Scaling, current: u32) -> Self {
        Self {
            history: History::new(0, current),
            scaling,
            now_ms: 0,
            current,
        }
    }

    fn tick(&mut self, load: &Load) -> Decision {
        let decision = self
            .history
            .decide(self.now_ms, load, &self.scaling, self.current);
        self.now_ms += TICK_MS;
        self.current = decision.wanted;
        decision
    }

    fn ticks(&mut self, load: &Load, seconds: u64) -> Decision {
        let last = self.now_ms + seconds * 1_000;
        let mut decision = self.tick(load);
        while self.now_ms < last {
            decision = self.tick(load);
        }
        decision
    }
}

#[test]
fn the_pool_is_the_load_over_the_target_rounded_up() {
    for (average, wanted) in [
        (0.5, 1),
        (4.0, 1),
        (4.1, 2),
        (16.0, 4),
        (16.01, 4),
        (17.0, 5),
    ] {
        let decision = Pool::new(scaling()).tick(&load(average));
        assert_eq!(
            (decision.wanted, decision.rule),
            (wanted, Rule::Target),
            "{average}"
        );
    }
}

#[test]
fn a_fractional_target_is_kept_exactly() {
    let scaling = Scaling {
        target_concurrency: Some(1.5),
        ..scaling()
    };
    assert_eq!(Pool::new(scaling).tick(&load(4.5)).wanted, 3);
}

#[test]
fn the_pool_grows_once_the_load_lasted_the_scale_up_window() {
    let mut pool = Pool::new(Scaling {
        scaleup_window: Duration::from_secs(2),
        ..scaling()
    });
    pool.ticks(&load(1.0), 4);
    assert_eq!(pool.current, 1);
    let decision = pool.tick(&load(16.0));
    assert_eq!((decision.wanted, decision.rule), (1, Rule::ScaleUpWindow));
    pool.ticks(&load(16.0), 1);
    pool.tick(&load(1.0));
    let decision = pool.ticks(&load(16.0), 1);
    assert_eq!(decision.wanted, 1, "a dip begins the window anew");
    assert_eq!(pool.ticks(&load(16.0), 1).wanted, 4);
}

#[test]
fn the_pool_shrinks_once_the_load_was_gone_for_the_scale_down_window() {
    let mut pool = Pool::new(scaling());
    pool.ticks(&load(16.0), 20);
    let decision = pool.ticks(&load(1.0), 9);
    assert_eq!((decision.wanted, decision.rule), (4, Rule::ScaleDownWindow));
    pool.tick(&load(8.0));
    assert_eq!(
        pool.ticks(&load(1.0), 8).wanted,
        2,
        "to the largest within the window"
    );
    assert_eq!(pool.ticks(&load(1.0), 3).wanted, 1);
    assert_eq!(pool.ticks(&Load::default(), 11).wanted, 0);
}

#[test]
fn a_request_that_found_no_replica_wants_one_at_once_whatever_the_window() {
    let mut pool = Pool::new(Scaling {
        scaleup_window: Duration::from_secs(60),
        ..scaling()
    });
    let decision = pool.tick(&unserved());
    assert_eq!((decision.wanted, decision.rule), (1, Rule::ZeroToOne));
    assert_eq!(pool.ticks(&Load::default(), 9).wanted, 1);
    assert_eq!(pool.ticks(&Load::default(), 2).wanted, 0);
}

#[test]
fn an_unserved_request_is_held_for_a_retry_even_without_a_scale_down_window() {
    let mut pool = Pool::new(Scaling {
        scaledown_window: Duration::ZERO,
        ..scaling()
    });
    pool.tick(&unserved());
    assert_eq!(pool.ticks(&Load::default(), 1).wanted, 1);
    assert_eq!(pool.ticks(&Load::default(), 2).wanted, 0);
}

#[test]
fn a_waiting_request_keeps_wanting_one() {
    let mut pool = Pool::new(scaling());
    let waiting = Load {
        waiting: 1,
        ..Load::default()
    };
    assert_eq!(pool.ticks(&waiting, 60).wanted, 1);
}

#[test]
fn the_buffer_is_added_while_there_is_traffic_and_stays_inside_the_maximum() {
    let mut pool = Pool::new(Scaling {
        buffer_replicas: 2,
        ..scaling()
    });
    let decision = pool.tick(&load(4.0));
    assert_eq!((decision.wanted, decision.rule), (3, Rule::Buffer));
    assert_eq!(pool.tick(&load(30.0)).wanted, 8);
    assert_eq!(pool.ticks(&Load::default(), 11).wanted, 0);
}

#[test]
fn the_bounds_of_the_settings_are_never_left() {
    let mut pool = Pool::new(Scaling {
        min_replicas: 2,
        ..scaling()
    });
    let decision = pool.tick(&Load::default());
    assert_eq!((decision.wanted, decision.rule), (2, Rule::Min));
    pool.ticks(&load(400.0), 1);
    assert_eq!(pool.current, 8);
    pool.scaling.max_replicas = 3;
    let decision = pool.tick(&load(400.0));
    assert_eq!((decision.wanted, decision.rule), (3, Rule::Max));
}

#[test]
fn a_server_without_a_target_has_one_replica_while_there_is_demand() {
    let mut pool = Pool::new(Scaling {
        target_concurrency: None,
        buffer_replicas: 3,
        ..scaling()
    });
    assert_eq!(pool.tick(&load(400.0)).wanted, 1);
    assert_eq!(pool.ticks(&Load::default(), 9).wanted, 1);
    assert_eq!(pool.ticks(&Load::default(), 2).wanted, 0);
}

#[test]
fn numbers_that_are_none_want_nothing_wild() {
    for target in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        let scaling = Scaling {
            target_concurrency: Some(target),
            ..scaling()
        };
        assert_eq!(Pool::new(scaling).tick(&load(400.0)).wanted, 1, "{target}");
    }
    for average in [f64::NAN, f64::INFINITY, -3.0] {
        assert_eq!(
            Pool::new(scaling()).tick(&load(average)).wanted,
            0,
            "{average}"
        );
    }
    let scaling = Scaling {
        target_concurrency: Some(f64::MIN_POSITIVE),
        ..scaling()
    };
    assert_eq!(Pool::new(scaling).tick(&load(400.0)).wanted, 8);
}

#[test]
fn after_a_restart_nothing_shrinks_before_a_whole_window_was_seen() {
    let mut pool = Pool::with(scaling(), 6);
    let decision = pool.ticks(&load(4.0), 9);
    assert_eq!((decision.wanted, decision.rule), (6, Rule::ColdHistory));
    pool.ticks(&load(4.0), 2);
    assert_eq!(pool.current, 1);
}

#[test]
fn a_longer_scale_down_window_applies_to_what_was_seen_of_it() {
    let mut pool = Pool::new(scaling());
    pool.ticks(&load(16.0), 1);
    pool.ticks(&load(4.0), 5);
    pool.scaling.scaledown_window = Duration::from_secs(30);
    pool.ticks(&load(4.0), 15);
    assert_eq!(pool.current, 4);
    pool.ticks(&load(4.0), 16);
    assert_eq!(pool.current, 1);
}

#[test]
fn the_pool_grows_and_shrinks_by_no_more_in_a_minute_than_its_limits() {
    let mut pool = Pool::new(Scaling {
        scaleup_rate_limit: Some(3),
        scaledown_rate_limit: Some(2),
        ..scaling()
    });
    let decision = pool.ticks(&load(32.0), 59);
    assert_eq!((decision.wanted, decision.rule), (3, Rule::ScaleUpRate));
    assert_eq!(pool.ticks(&load(32.0), 2).wanted, 6);
    assert_eq!(pool.ticks(&load(32.0), 60).wanted, 8);
    let decision = pool.ticks(&load(4.0), 40);
    assert_eq!((decision.wanted, decision.rule), (6, Rule::ScaleDownRate));
    assert_eq!(pool.ticks(&load(4.0), 31).wanted, 4);
}

#[test]
fn no_rate_limit_keeps_a_server_at_zero_that_is_asked_for() {
    let mut pool = Pool::new(Scaling {
        scaleup_rate_limit: Some(1),
        scaledown_window: Duration::ZERO,
        ..scaling()
    });
    pool.ticks(&load(1.0), 1);
    pool.ticks(&Load::default(), 3);
    assert_eq!(pool.current, 0);
    let decision = pool.tick(&load(1.0));
    assert_eq!((decision.wanted, decision.rule), (0, Rule::ScaleUpRate));
    assert_eq!(pool.tick(&unserved()).rule, Rule::ZeroToOne);
    assert_eq!(pool.current, 1);
}

#[test]
fn a_paused_pool_stays_as_it_is_within_its_bounds() {
    let mut pool = Pool::new(scaling());
    pool.ticks(&load(12.0), 1);
    pool.scaling.paused = true;
    let decision = pool.ticks(&load(32.0), 5);
    assert_eq!((decision.wanted, decision.rule), (3, Rule::Paused));
    assert_eq!(pool.ticks(&Load::default(), 30).wanted, 3);
    pool.scaling.max_replicas = 2;
    assert_eq!(pool.tick(&unserved()).wanted, 2);
    pool.scaling.paused = false;
    assert_eq!(pool.tick(&load(8.0)).wanted, 2);
}

#[test]
fn a_history_goes_through_text_and_decides_the_same() {
    let mut pool = Pool::new(Scaling {
        scaleup_rate_limit: Some(3),
        ..scaling()
    });
    pool.ticks(&load(32.0), 30);
    let text = serde_json::to_string(&pool.history).expect("JSON");
    let mut copy = Pool {
        history: serde_json::from_str(&text).expect("a history"),
        ..pool
    };
    pool.history = serde_json::from_str(&text).expect("a history");
    for step in 0..600_u32 {
        let load = load(f64::from(step % 40));
        assert_eq!(pool.tick(&load), copy.tick(&load));
    }
}

proptest! {
    #[test]
    fn constant_load_never_makes_the_pool_move_twice(
        average in 0.0_f64..50.0,
        target in 0.1_f64..20.0,
        buffer in 0_u32..3,
        scaleup in 0_u64..5,
        scaledown in 0_u64..5,
        start in 0_u32..9,
    ) {
        let scaling = Scaling {
            target_concurrency: Some(target),
            buffer_replicas: buffer,
            scaleup_window: Duration::from_secs(scaleup),
            scaledown_window: Duration::from_secs(scaledown),
            ..scaling()
        };
        let mut pool = Pool::with(scaling, start);
        let mut moves = 0;
        for tick in 0..100 {
            let before = pool.current;
            // The noise of reports that catch an exchange early or late.
            let noise = if tick % 2 == 0 { 1e-6 } else { -1e-6 };
            let noise = if average / target % 1.0 < 0.02 { 0.0 } else { noise };
            pool.tick(&load(average + noise));
            moves += u32::from(pool.current != before);
        }
        prop_assert!(moves <= 1, "{moves} moves");
    }

    #[test]
    fn no_pool_shrinks_below_what_any_tick_of_the_window_wanted(
        loads in prop::collection::vec(0.0_f64..40.0, 1..300),
        scaledown in 0_u64..20,
    ) {
        let mut pool = Pool::new(Scaling {
            scaledown_window: Duration::from_secs(scaledown),
            ..scaling()
        });
        let mut wanted: Vec<(u64, u32)> = Vec::new();
        for average in loads {
            let (now_ms, before) = (pool.now_ms, pool.current);
            let decision = pool.tick(&load(average));
            wanted.push((now_ms, decision.inputs.tick));
            if decision.wanted < before {
                let within = wanted.iter().filter(|&&(at, _)| now_ms - at < scaledown * 1_000);
                let most = within.map(|&(_, tick)| tick).max().unwrap_or(0);
                prop_assert!(decision.wanted >= most);
                prop_assert!(now_ms >= scaledown * 1_000);
            }
        }
    }
}
