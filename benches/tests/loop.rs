//! The generator against the origin, over real sockets in one process.

#![allow(
    clippy::expect_used,
    reason = "helpers of tests: a failure is a failed test"
)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use fprs_benches::{
    backend::{Backend, Serve},
    load::{self, Outcome, Plan, Stop, pace::Pace, session::Protocol},
    wire::AUTHORITY,
};

fn origin(serve: Serve) -> SocketAddr {
    let backend = Backend::bind((Ipv4Addr::LOCALHOST, 0).into(), serve).expect("a free port");
    let address = backend.address().expect("bound");
    thread::spawn(move || backend.run());
    address
}

fn ticked_origin(serve: Serve) -> (SocketAddr, SocketAddr) {
    let mut backend = Backend::bind((Ipv4Addr::LOCALHOST, 0).into(), serve).expect("a free port");
    let ticks = backend
        .tick_at((Ipv4Addr::LOCALHOST, 0).into())
        .expect("a free port");
    let address = backend.address().expect("bound");
    thread::spawn(move || backend.run());
    (address, ticks)
}

fn plan(target: SocketAddr, protocol: Protocol) -> Plan {
    Plan {
        target,
        protocol,
        authority: AUTHORITY.to_owned(),
        connections: 4,
        streams: if protocol == Protocol::H2 { 8 } else { 1 },
        pace: Pace::Closed,
        stop: Stop::Requests(1_000),
        headers: vec![("user-agent".to_owned(), "test".to_owned())],
        post: false,
        websocket: false,
        stall: false,
        expect: Some(13),
        event: None,
        tick: None,
        watch: Vec::new(),
    }
}

fn run(plan: &Plan) -> Outcome {
    let outcome = load::run(plan).expect("the origin answers");
    assert_eq!((outcome.errors, outcome.error.as_deref()), (0, None));
    outcome
}

#[test]
fn every_request_of_a_closed_loop_is_answered_once() {
    for protocol in [Protocol::H1, Protocol::H2] {
        let outcome = run(&plan(origin(Serve::Tiny), protocol));
        assert_eq!(
            (outcome.requests, outcome.bytes),
            (1_000, 13_000),
            "{protocol:?}"
        );
    }
}

#[test]
fn an_open_loop_counts_from_the_moment_a_request_should_have_left() {
    // One slot that takes 20 ms an exchange gets 100 requests a second: the second second's
    // requests wait about as long as the backlog, although none takes more than 20 ms itself.
    let slow = origin(Serve::Sleep {
        after: Duration::from_millis(20),
    });
    let stop = Stop::After {
        warm_up: Duration::ZERO,
        window: Duration::from_secs(1),
    };
    let base = Plan {
        connections: 1,
        streams: 1,
        stop,
        ..plan(slow, Protocol::H2)
    };
    let closed = run(&base);
    assert!(
        (20_000.0..40_000.0).contains(&closed.latency_us.p50),
        "{closed:?}"
    );
    let open = run(&Plan {
        pace: Pace::Open { rate: 100 },
        ..base
    });
    assert!(open.latency_us.max > 700_000.0, "{open:?}");
    assert!(open.latency_us.p50 > 300_000.0, "{open:?}");
    assert!(open.lag_us.max > 700_000.0, "{open:?}");
}

#[test]
fn an_open_loop_with_enough_slots_sees_only_the_origins_time() {
    let slow = origin(Serve::Sleep {
        after: Duration::from_millis(20),
    });
    let stop = Stop::After {
        warm_up: Duration::from_millis(50),
        window: Duration::from_millis(500),
    };
    let plan = Plan {
        stop,
        pace: Pace::Open { rate: 200 },
        ..plan(slow, Protocol::H2)
    };
    let outcome = run(&plan);
    assert_eq!(outcome.latency_us.count, 100);
    assert!(
        (20_000.0..30_000.0).contains(&outcome.latency_us.p50),
        "{outcome:?}"
    );
}

#[test]
fn a_request_that_is_never_answered_counts_as_an_error_with_the_time_it_waited() {
    let dead = origin(Serve::Sleep {
        after: Duration::from_secs(3600),
    });
    let stop = Stop::After {
        warm_up: Duration::ZERO,
        window: Duration::from_millis(100),
    };
    let plan = Plan {
        stop,
        pace: Pace::Open { rate: 100 },
        ..plan(dead, Protocol::H2)
    };
    let outcome = load::run(&plan).expect("runs to its end");
    assert_eq!((outcome.requests, outcome.errors), (0, 10));
    assert!(outcome.latency_us.p50 > 1_900_000.0, "{outcome:?}");
}

#[test]
fn bulk_bodies_arrive_whole() {
    for protocol in [Protocol::H1, Protocol::H2] {
        let bytes = 20_000_001;
        let target = origin(Serve::Bulk { bytes });
        let stop = Stop::Requests(5);
        let outcome = run(&Plan {
            stop,
            expect: Some(bytes),
            ..plan(target, protocol)
        });
        assert_eq!(outcome.bytes, 5 * bytes, "{protocol:?}");
    }
}

#[test]
fn events_arrive_at_their_pace_with_their_delay() {
    for protocol in [Protocol::H1, Protocol::H2] {
        let target = origin(Serve::Events {
            every: Duration::from_millis(5),
            size: 200,
        });
        let stop = Stop::After {
            warm_up: Duration::from_millis(100),
            window: Duration::from_millis(500),
        };
        let base = plan(target, protocol);
        let plan = Plan {
            stop,
            expect: None,
            event: Some(200),
            ..base
        };
        let outcome = run(&plan);
        let expected = u64::from(plan.connections * plan.streams) * 100;
        let seen = outcome.event_us.count;
        assert!(
            (expected * 8 / 10..=expected * 12 / 10).contains(&seen),
            "{expected}: {outcome:?}"
        );
        assert!(outcome.event_us.p50 < 5_000.0, "{outcome:?}");
    }
}

#[test]
fn events_that_are_asked_for_come_one_by_one() {
    for protocol in [Protocol::H1, Protocol::H2] {
        let (target, ticks) = ticked_origin(Serve::Hold { size: 200 });
        let outcome = run(&Plan {
            stop: Stop::Events(400),
            expect: None,
            event: Some(200),
            tick: Some(ticks),
            ..plan(target, protocol)
        });
        let slots = if protocol == Protocol::H1 { 4 } else { 32 };
        assert!(
            (400..400 + slots).contains(&outcome.event_us.count),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_body_chooses_the_mixed_origins_bulk_answer() {
    let target = origin(Serve::Mixed { bytes: 100_000 });
    for protocol in [Protocol::H1, Protocol::H2] {
        run(&plan(target, protocol));
        let bulk = Plan {
            post: true,
            expect: Some(100_000),
            ..plan(target, protocol)
        };
        run(&Plan {
            stop: Stop::Requests(100),
            ..bulk
        });
    }
}

#[test]
fn each_message_on_a_websocket_is_answered_with_one() {
    let target = origin(Serve::Echo);
    for protocol in [Protocol::H1, Protocol::H2] {
        let outcome = run(&Plan {
            websocket: true,
            expect: Some(66),
            ..plan(target, protocol)
        });
        assert_eq!(
            (outcome.requests, outcome.bytes),
            (1_000, 66_000),
            "{protocol:?}"
        );
    }
}

#[test]
fn a_client_that_stops_reading_leaves_others_their_answers() {
    let target = origin(Serve::Mixed { bytes: 10_000_000 });
    let stop = Stop::After {
        warm_up: Duration::ZERO,
        window: Duration::from_millis(300),
    };
    let stalled = Plan {
        post: true,
        stall: true,
        stop,
        expect: None,
        ..plan(target, Protocol::H2)
    };
    let aggressor = thread::spawn(move || load::run(&stalled));
    run(&plan(target, Protocol::H2));
    let outcome = aggressor.join().expect("ran").expect("connected");
    assert_eq!(outcome.requests, 0, "{outcome:?}");
}
