//! Records of tenants, taken over by the table, and what its gates make of them.

use fprs_config::{Change, Key, Kind, Limits, Record};
use fprs_forward::Reason;

use super::*;
use crate::proxy::testing::{World, server_of};

/// A plane whose server `s` is of tenant `t`, and a gate.
struct Scene {
    world: World,
    overload: Overload,
    gate: Rc<Gate>,
    client: Rc<Client>,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let mut world = World::new();
        world.commit(vec![server_of("s", "t"), record(limits)]);
        let overload = Overload::default();
        Self {
            world,
            gate: Gate::new(&overload),
            overload,
            client: client(),
        }
    }

    fn edit(&mut self, limits: Limits) {
        self.world.commit(vec![record(limits)]);
    }

    fn tenant(&self) -> Arc<Tenant> {
        let route = self.world.tables.load().route("s").unwrap();
        Arc::clone(&route.tenant)
    }

    fn admit(&self) -> Result<Admitted, Refusal> {
        self.gate
            .admit(&self.tenant(), &self.client, &HeaderMap::new())
    }

    fn refused_for(&self) -> Limit {
        self.admit().unwrap_err().limit
    }
}

fn record(limits: Limits) -> Change {
    let tenant = fprs_config::Tenant {
        limits,
        ..fprs_config::Tenant::new("t")
    };
    Record::Tenant(tenant).change()
}

fn client() -> Rc<Client> {
    Rc::new(Client::new("127.0.0.1:1".parse().unwrap()))
}

#[test]
fn exchanges_are_limited_on_all_cores_together() {
    let scene = Scene::new(Limits {
        concurrent_exchanges: Some(2),
        ..Limits::default()
    });
    let other = Gate::new(&scene.overload);
    let first = scene.admit().unwrap();
    let tenant = scene.tenant();
    let fields = HeaderMap::new();
    let second = other.admit(&tenant, &scene.client, &fields).unwrap();
    assert_eq!(scene.refused_for(), Limit::ConcurrentExchanges);
    assert!(other.admit(&tenant, &scene.client, &fields).is_err());
    drop(first);
    let third = scene.admit().unwrap();
    drop((second, third));
    assert_eq!(tenant.in_flight(), 0, "what was refused counts nowhere");
    assert_eq!(tenant.refused(Limit::ConcurrentExchanges), 2);
}

#[test]
fn streams_are_limited_on_each_connection_for_itself() {
    let scene = Scene::new(Limits {
        streams_per_connection: Some(1),
        ..Limits::default()
    });
    let first = scene.admit().unwrap();
    assert_eq!(scene.refused_for(), Limit::StreamsPerConnection);
    let other = scene
        .gate
        .admit(&scene.tenant(), &client(), &HeaderMap::new());
    assert!(other.is_ok());
    drop((first, other));
    assert!(scene.admit().is_ok());
    assert_eq!(scene.tenant().in_flight(), 0);
}

#[test]
fn the_rate_says_when_another_request_may_come() {
    let scene = Scene::new(Limits {
        requests_per_second: Some(1),
        burst: Some(3),
        ..Limits::default()
    });
    for _ in 0..3 {
        assert!(scene.admit().is_ok());
    }
    let refusal = scene.admit().unwrap_err();
    assert_eq!(refusal.limit, Limit::RequestsPerSecond);
    assert_eq!(refusal.retry_after, 1);
    assert_eq!(refusal.answer().reason(), Reason::TenantLimit);
}

#[test]
fn what_is_refused_for_another_limit_spends_nothing_of_the_rate() {
    let mut scene = Scene::new(Limits {
        requests_per_second: Some(1),
        burst: Some(2),
        concurrent_exchanges: Some(1),
        ..Limits::default()
    });
    let held = scene.admit().unwrap();
    for _ in 0..5 {
        assert_eq!(scene.refused_for(), Limit::ConcurrentExchanges);
    }
    scene.edit(Limits {
        requests_per_second: Some(1),
        burst: Some(2),
        ..Limits::default()
    });
    assert!(scene.admit().is_ok());
    assert_eq!(scene.refused_for(), Limit::RequestsPerSecond);
    drop(held);
}

#[test]
fn an_edit_is_in_force_for_the_next_request_and_counts_survive_it() {
    let mut scene = Scene::new(Limits::default());
    let before = scene.tenant();
    let held = [scene.admit().unwrap(), scene.admit().unwrap()];
    scene.edit(Limits {
        concurrent_exchanges: Some(2),
        ..Limits::default()
    });
    assert!(Arc::ptr_eq(&before, &scene.tenant()));
    assert_eq!(scene.refused_for(), Limit::ConcurrentExchanges);
    scene.edit(Limits {
        streams_per_connection: Some(2),
        ..Limits::default()
    });
    assert_eq!(scene.refused_for(), Limit::StreamsPerConnection);
    let key = Key::new(Kind::Tenant, "t");
    scene.world.commit(vec![Change { key, value: None }]);
    assert!(scene.admit().is_ok(), "no record, no limits");
    drop(held);
    assert_eq!(before.in_flight(), 0);
}

#[test]
fn servers_of_one_tenant_share_its_limits_and_others_have_none() {
    let mut scene = Scene::new(Limits {
        concurrent_exchanges: Some(1),
        ..Limits::default()
    });
    scene
        .world
        .commit(vec![server_of("sibling", "t"), server_of("other", "u")]);
    let tenant = |name| {
        let route = scene.world.tables.load().route(name).unwrap();
        Arc::clone(&route.tenant)
    };
    assert!(Arc::ptr_eq(&tenant("s"), &tenant("sibling")));
    let _held = scene.admit().unwrap();
    let fields = HeaderMap::new();
    let admit = |name| scene.gate.admit(&tenant(name), &scene.client, &fields);
    assert!(admit("sibling").is_err());
    let others = [(); 10].map(|()| admit("other"));
    assert!(others.iter().all(Result::is_ok));
}

/// A core whose tasks wait for their turn holds the tenant that asks for most to its share.
#[test]
fn a_late_core_refuses_whom_it_has_too_much_of() {
    let mut scene = Scene::new(Limits::default());
    scene.world.commit(vec![server_of("modest", "u")]);
    let tenant = |name| {
        let route = scene.world.tables.load().route(name).unwrap();
        Arc::clone(&route.tenant)
    };
    let (flood, modest) = (tenant("s"), tenant("modest"));
    let fields = HeaderMap::new();
    let admit = |tenant, now_us| {
        let admitted = scene
            .gate
            .admit_at(tenant, &scene.client, &fields, || now_us);
        admitted.map(drop)
    };
    let mut refused = 0;
    for round in 1..=40 {
        scene
            .gate
            .waited(round * share::ROUND_US, share::ROUND_US / 2);
        for step in 0..100 {
            let now_us = round * share::ROUND_US + step * share::ROUND_US / 100;
            refused += u64::from(admit(&flood, now_us).is_err());
        }
        assert!(admit(&modest, (round + 1) * share::ROUND_US - 1).is_ok());
    }
    assert!(refused > 1_000, "{refused} of 4,000");
    assert_eq!(flood.refused(Limit::FairShare), refused);
    let refusal = Refusal::for_now(Limit::FairShare);
    assert_eq!(refusal.answer().reason(), Reason::Overloaded);
    assert_eq!((flood.in_flight(), modest.in_flight()), (0, 0));
}
