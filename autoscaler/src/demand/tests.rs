//! What reports add up to, through every fault of their delivery.

use fprs_proto::demand::ReplicaLoad;

use super::*;

const SECOND: u64 = 1_000_000;
const TICK: u64 = 200_000;

/// One proxy process as the autoscaler hears it, with one replica `a` of server `s`.
struct Proxy {
    name: &'static str,
    epoch: u64,
    sequence: u64,
    at_us: u64,
    integral_us: u64,
}

impl Proxy {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            epoch: 1,
            sequence: 0,
            at_us: 5 * SECOND,
            integral_us: 0,
        }
    }

    fn empty(&mut self, full: bool) -> DemandReport {
        self.sequence += 1;
        DemandReport {
            proxy: self.name.into(),
            epoch: self.epoch,
            sequence: self.sequence,
            applied_revision: 1,
            at_us: self.at_us,
            full,
            replicas: Vec::new(),
            servers: Vec::new(),
        }
    }

    /// `in_flight` for the `span_us` since the last report, and still.
    fn load(&mut self, in_flight: u32, span_us: u64) -> DemandReport {
        self.at_us += span_us;
        self.integral_us += u64::from(in_flight) * span_us;
        let full = self.sequence == 0;
        let mut report = self.empty(full);
        report.replicas.push(ReplicaLoad {
            replica: "a".into(),
            server: "s".into(),
            in_flight,
            integral_us: self.integral_us,
            started: 1,
        });
        report
    }

    fn unserved(&mut self, unserved: u64) -> DemandReport {
        let mut report = self.empty(self.sequence == 0);
        report.servers.push(ServerDemand {
            server: "s".into(),
            unserved,
            ..ServerDemand::default()
        });
        report
    }
}

fn average(demand: &mut Demand, now_ms: u64) -> f64 {
    demand
        .tick(now_ms)
        .get("s")
        .map_or(0.0, |load| load.average)
}

fn in_flight(demand: &mut Demand, now_ms: u64) -> u64 {
    demand
        .tick(now_ms)
        .get("s")
        .map_or(0, |load| load.in_flight)
}

#[test]
fn the_average_over_a_tick_is_the_integral_over_the_proxys_own_time() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.load(0, TICK), 0);
    assert_eq!(average(&mut demand, 200), 0.0);
    demand.take(&proxy.load(8, TICK), 200);
    demand.take(&proxy.load(0, TICK), 390);
    assert_eq!(average(&mut demand, 400), 4.0);
}

#[test]
fn a_tick_without_a_report_keeps_the_last_average() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.load(8, TICK), 0);
    demand.tick(200);
    demand.take(&proxy.load(8, TICK), 210);
    assert_eq!(average(&mut demand, 400), 8.0);
    assert_eq!(average(&mut demand, 600), 8.0);
    demand.take(&proxy.load(8, TICK), 610);
    demand.take(&proxy.load(8, TICK), 790);
    assert_eq!(average(&mut demand, 800), 8.0);
}

#[test]
fn the_load_of_all_proxies_is_added_per_server_and_replica() {
    let mut demand = Demand::default();
    let (mut one, mut two) = (Proxy::new("one"), Proxy::new("two"));
    demand.take(&one.load(3, TICK), 0);
    demand.take(&two.load(4, TICK), 0);
    let loads = demand.tick(100);
    let load = &loads["s"];
    assert_eq!(
        (load.average, load.in_flight, load.replicas["a"]),
        (7.0, 7, 7)
    );
}

#[test]
fn an_origin_that_begins_within_a_tick_counts_as_it_stands() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    // Heard of for the first time with hours of integral behind it.
    proxy.integral_us = 9_000 * SECOND;
    proxy.sequence = 500;
    let mut report = proxy.load(5, TICK);
    report.full = true;
    demand.take(&report, 0);
    assert_eq!(average(&mut demand, 100), 5.0);
    demand.take(&proxy.load(5, TICK), 200);
    assert_eq!(average(&mut demand, 300), 5.0);
}

#[test]
fn a_silent_proxy_keeps_its_last_count_for_one_lease_and_then_has_none() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.load(6, TICK), 1_000);
    assert_eq!(in_flight(&mut demand, 1_000 + ORIGIN_LEASE_MS), 6);
    assert_eq!(in_flight(&mut demand, 1_001 + ORIGIN_LEASE_MS), 0);
}

#[test]
fn a_restarted_proxy_supersedes_what_its_last_process_reported() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.load(6, TICK), 0);
    let late = proxy.load(9, TICK);
    let mut restarted = Proxy::new("p");
    restarted.epoch = 2;
    demand.take(&restarted.load(1, TICK), 100);
    assert_eq!(in_flight(&mut demand, 100), 1);
    assert_eq!(demand.take(&late, 150), Taken::default());
    assert_eq!(in_flight(&mut demand, 200), 1);
}

#[test]
fn a_repeated_or_late_report_changes_nothing() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    let first = proxy.load(6, TICK);
    let second = proxy.load(2, TICK);
    demand.take(&first, 0);
    demand.take(&second, 0);
    demand.take(&first, 0);
    demand.take(&second, 0);
    assert_eq!(in_flight(&mut demand, 100), 2);
}

#[test]
fn a_gap_in_the_sequence_asks_for_a_full_report() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    assert!(!demand.take(&proxy.load(6, TICK), 0).resync);
    let _lost = proxy.load(0, TICK);
    assert!(demand.take(&proxy.empty(false), 0).resync);
    assert_eq!(in_flight(&mut demand, 100), 6);
    let full = proxy.empty(true);
    assert!(!demand.take(&full, 0).resync);
    assert_eq!(in_flight(&mut demand, 200), 0);
}

#[test]
fn a_delta_from_an_unknown_origin_asks_for_a_full_report() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    proxy.sequence = 7;
    assert!(demand.take(&proxy.load(1, TICK), 0).resync);
}

#[test]
fn unserved_requests_are_new_demand_once() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.empty(true), 0);
    assert_eq!(demand.take(&proxy.unserved(3), 0).unserved, ["s".into()]);
    assert_eq!(demand.unserved("s").unserved, 3);
    assert_eq!(demand.tick(100)["s"].unserved, 3);
    assert_eq!(demand.take(&proxy.unserved(3), 200).unserved, []);
    assert_eq!(demand.tick(200)["s"].unserved, 0);
    demand.tick(400);
    assert!(demand.tick(600).is_empty(), "an idle server costs nothing");
}

#[test]
fn a_server_that_was_deployed_again_counts_from_zero() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.unserved(50), 0);
    demand.tick(100);
    demand.take(&proxy.unserved(2), 150);
    assert_eq!(demand.tick(200)["s"].unserved, 2);
}

#[test]
fn a_revision_is_applied_a_report_after_the_slowest_live_proxy_routes_by_it() {
    let mut demand = Demand::default();
    let (mut quick, mut slow) = (Proxy::new("quick"), Proxy::new("slow"));
    let report = |demand: &mut Demand, proxy: &mut Proxy, revision: u64| {
        let mut report = proxy.load(0, TICK);
        report.applied_revision = revision;
        demand.take(&report, 0);
    };
    for revision in [9, 9] {
        report(&mut demand, &mut quick, revision);
    }
    report(&mut demand, &mut slow, 8);
    assert!(
        !demand.applied(Revision(8)),
        "`slow` may have chosen just before"
    );
    report(&mut demand, &mut slow, 9);
    assert!(demand.applied(Revision(8)) && !demand.applied(Revision(9)));
    report(&mut demand, &mut slow, 9);
    assert!(demand.applied(Revision(9)));
}

#[test]
fn an_urgent_report_acknowledges_nothing_early() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.load(0, TICK), 0);
    demand.take(&proxy.unserved(1), 0);
    demand.take(&proxy.unserved(2), 0);
    assert!(!demand.applied(Revision(1)));
    demand.take(&proxy.load(0, TICK), 0);
    assert!(demand.applied(Revision(1)));
}

#[test]
fn a_dead_proxy_holds_no_acknowledgement_up() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.load(0, TICK), 0);
    demand.tick(ORIGIN_LEASE_MS);
    assert!(!demand.applied(Revision(9)));
    demand.tick(ORIGIN_LEASE_MS + 1);
    assert!(demand.applied(Revision(9)) && demand.origins() == 0);
}

#[test]
fn replicas_that_are_gone_are_forgotten_once_idle() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.load(1, TICK), 0);
    demand.retain(|_| false, |_| false);
    assert_eq!(in_flight(&mut demand, 100), 1);
    demand.take(&proxy.load(0, TICK), 200);
    demand.tick(300);
    demand.take(&proxy.empty(false), 400);
    demand.tick(500);
    demand.retain(|_| false, |_| false);
    assert!(demand.tick(600).is_empty());
}

/// What the relay of replica `a` counts.
fn relay(count: u64) -> impl Fn(&str) -> Option<u64> {
    move |replica| (replica == "a").then_some(count)
}

#[test]
fn a_proxy_that_is_cut_off_hides_no_load_that_its_relay_counts() {
    let mut demand = Demand::default();
    let (mut cut_off, mut other) = (Proxy::new("cut off"), Proxy::new("other"));
    demand.take(&cut_off.load(6, TICK), 0);
    let later = ORIGIN_LEASE_MS + 1;
    demand.take(&other.load(3, TICK), later);
    let load = &demand.tick_with(later, &relay(9))["s"];
    assert_eq!((load.average, load.in_flight), (9.0, 9));
    assert_eq!((demand.in_flight(), demand.unheard()), (9, 6));
    assert_eq!(demand.origins(), 1, "it holds up no acknowledgement");
    // Four of its exchanges ended, which only the relay can know.
    assert_eq!(demand.tick_with(later + 200, &relay(5))["s"].in_flight, 5);
    // What comes later may be anybody's.
    assert_eq!(demand.tick_with(later + 400, &relay(9))["s"].in_flight, 5);
    demand.take(&cut_off.load(7, TICK), later + 500);
    assert_eq!(demand.tick_with(later + 600, &relay(10))["s"].in_flight, 10);
    assert_eq!(demand.unheard(), 0);
}

#[test]
fn a_killed_proxy_leaves_no_load_that_no_relay_counts() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.take(&proxy.load(6, TICK), 0);
    let loads = demand.tick_with(ORIGIN_LEASE_MS + 1, &relay(0));
    assert!(loads.is_empty(), "{loads:?}");
    assert_eq!(demand.in_flight(), 0);
}

#[test]
fn two_silent_proxies_share_what_the_relay_counts() {
    let mut demand = Demand::default();
    for name in ["one", "two"] {
        demand.take(&Proxy::new(name).load(6, TICK), 0);
    }
    let later = ORIGIN_LEASE_MS + 1;
    assert_eq!(demand.tick_with(later, &relay(8))["s"].in_flight, 8);
    assert!(demand.tick_with(later + 200, &relay(0)).is_empty());
}

#[test]
fn what_relays_count_and_nobody_reports_is_load_until_somebody_does() {
    let (mut demand, mut proxy) = (Demand::default(), Proxy::new("p"));
    demand.meet_strangers([("a".into(), "s".into(), 5)].into_iter());
    let mut loads = demand.tick_with(100, &relay(5));
    demand.add_strangers(&mut loads, &relay(5));
    assert_eq!((loads["s"].in_flight, demand.unheard()), (5, 5));
    demand.take(&proxy.load(5, TICK), 200);
    let mut loads = demand.tick_with(300, &relay(5));
    demand.add_strangers(&mut loads, &relay(5));
    assert_eq!((loads["s"].in_flight, demand.unheard()), (5, 0));
}
