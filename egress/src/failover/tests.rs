use super::*;

const LOST: Look = Look {
    received: false,
    unanswered: true,
    owner_epoch: None,
};
const BUSY: Look = Look {
    received: true,
    unanswered: false,
    owner_epoch: None,
};

const fn answer(owner_epoch: u64) -> Look {
    Look {
        received: true,
        unanswered: false,
        owner_epoch: Some(owner_epoch),
    }
}

/// Two tunnels that live; the first one's gateway owns the static IP in epoch 1.
fn running() -> Failover {
    let mut failover = Failover::new(2);
    let step = failover.look(&[answer(1), answer(0)], at(0));
    assert_eq!(step.route, Some(0));
    failover
}

const fn at(look: u32) -> Duration {
    limits::PROBE_EVERY.saturating_mul(look)
}

#[test]
fn three_lost_probes_change_the_route_and_two_do_not() {
    let mut failover = running();
    for look in 1..=2 {
        let step = failover.look(&[LOST, answer(0)], at(look));
        assert_eq!((step.route, step.died), (None, vec![]), "look {look}");
    }
    let step = failover.look(&[LOST, answer(0)], at(3));
    assert_eq!((step.route, step.died), (Some(1), vec![0]));
    let step = failover.look(&[LOST, answer(2)], at(4));
    assert_eq!((step.route, step.died), (None, vec![]), "once");
}

#[test]
fn anything_received_makes_up_for_lost_probes() {
    let mut failover = running();
    for look in 1..20 {
        let first = if look % 3 == 0 { BUSY } else { LOST };
        assert_eq!(failover.look(&[first, answer(0)], at(look)).route, None);
    }
}

#[test]
fn a_moved_address_takes_the_route_along_though_both_live() {
    let mut failover = running();
    let step = failover.look(&[answer(1), answer(2)], at(1));
    assert_eq!(step.route, Some(1), "the newer owner");
    assert_eq!(failover.look(&[answer(0), answer(2)], at(2)).route, None);
}

#[test]
fn a_tunnel_that_is_back_waits_until_it_owns_the_address() {
    let mut failover = running();
    for look in 1..=3 {
        failover.look(&[LOST, answer(0)], at(look));
    }
    for look in 4..100 {
        let step = failover.look(&[answer(0), answer(2)], at(look));
        assert_eq!(step.route, None, "look {look}");
    }
    let step = failover.look(&[answer(3), answer(0)], at(100));
    assert_eq!(step.route, Some(0));
}

#[test]
fn a_tunnel_that_comes_and_goes_carries_nothing() {
    let mut failover = running();
    for look in 1..=3 {
        failover.look(&[LOST, answer(0)], at(look));
    }
    for look in 4..200 {
        // It says that it owns the address, but never long enough to be believed.
        let first = if look % 5 == 0 { LOST } else { answer(9) };
        let step = failover.look(&[first, answer(0)], at(look));
        assert_eq!(step.route, None, "look {look}");
    }
}

#[test]
fn a_tunnel_that_is_just_back_is_used_when_the_other_dies() {
    let mut failover = running();
    for look in 1..=3 {
        failover.look(&[LOST, answer(2)], at(look));
    }
    failover.look(&[answer(0), answer(2)], at(4));
    let steps = [5, 6, 7].map(|look| failover.look(&[answer(0), LOST], at(look)).route);
    assert_eq!(steps, [None, None, Some(0)]);
}

#[test]
fn with_no_tunnel_alive_the_route_stays() {
    let mut failover = running();
    for look in 1..50 {
        let step = failover.look(&[LOST, LOST], at(look));
        assert_eq!(step.route, None, "look {look}");
    }
    assert!(!failover.alive(0) && !failover.alive(1));
    assert_eq!(failover.active(), Some(0));
}

#[test]
fn the_tunnel_in_use_is_probed_at_every_look_and_the_other_once_a_second() {
    let mut failover = running();
    let quiet = Look::default();
    let mut probes = [0; 2];
    for look in 1..=50 {
        for tunnel in failover.look(&[BUSY, quiet], at(look)).probe {
            probes[tunnel] += 1;
        }
    }
    assert_eq!(probes, [50, 6], "6.25 s");
    // One that did not answer is asked again at once.
    assert_eq!(failover.look(&[BUSY, LOST], at(51)).probe, [0, 1]);
}
