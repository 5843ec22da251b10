use super::*;
use crate::limits;

const GOOD: Health = Health {
    lost: 0,
    seen: true,
    draining: false,
};
const DEAD: Health = Health {
    lost: limits::RECONCILE_LOST,
    seen: true,
    draining: false,
};

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, n)
}

fn address(n: u8, gateways: &[&str]) -> Address {
    Address {
        ip: ip(n),
        gateways: gateways.iter().map(|name| (*name).into()).collect(),
        draining: BTreeSet::new(),
    }
}

fn owners(all: &[(u8, &str, u64)]) -> BTreeMap<Ipv4Addr, Owner> {
    let all = all.iter().map(|(n, gateway, epoch)| {
        let gateway = (*gateway).into();
        let epoch = *epoch;
        (ip(*n), Owner { gateway, epoch })
    });
    all.collect()
}

fn health(all: &[(&str, Health)]) -> BTreeMap<GatewayName, Health> {
    let all = all.iter().map(|(name, health)| ((*name).into(), *health));
    all.collect()
}

fn moved(
    addresses: &[Address],
    before: &[(u8, &str, u64)],
    all: &[(&str, Health)],
) -> BTreeMap<Ipv4Addr, Owner> {
    moves(
        addresses,
        &owners(before),
        &health(all),
        limits::RECONCILE_LOST,
    )
    .into_iter()
    .collect()
}

#[test]
fn addresses_without_owner_are_spread() {
    let addresses: Vec<Address> = (1..=4).map(|n| address(n, &["a", "b"])).collect();
    let moved = moved(&addresses, &[], &[("a", GOOD), ("b", GOOD)]);
    let expected = owners(&[(1, "a", 1), (2, "b", 1), (3, "a", 1), (4, "b", 1)]);
    assert_eq!(moved, expected);
}

#[test]
fn a_dead_gateways_addresses_move_in_a_new_epoch_and_others_stay() {
    let addresses: Vec<Address> = (1..=3).map(|n| address(n, &["a", "b"])).collect();
    let before = [(1, "a", 4), (2, "b", 1), (3, "a", 9)];
    let moved = moved(&addresses, &before, &[("a", DEAD), ("b", GOOD)]);
    assert_eq!(moved, owners(&[(1, "b", 5), (3, "b", 10)]));
}

#[test]
fn two_lost_looks_move_nothing() {
    let nearly = Health { lost: 2, ..GOOD };
    let all = [("a", nearly), ("b", GOOD)];
    let moved = moved(&[address(1, &["a", "b"])], &[(1, "a", 1)], &all);
    assert_eq!(moved, BTreeMap::new());
}

#[test]
fn nothing_moves_to_a_gateway_that_does_not_answer() {
    for other in [DEAD, Health { lost: 1, ..GOOD }, Health::default()] {
        let all = [("a", DEAD), ("b", other)];
        let moved = moved(&[address(1, &["a", "b"])], &[(1, "a", 1)], &all);
        assert_eq!(moved, BTreeMap::new(), "{other:?}");
    }
}

#[test]
fn a_drained_gateway_gives_everything_away_while_it_lives() {
    let draining = Health {
        draining: true,
        ..GOOD
    };
    let all = [("a", draining), ("b", GOOD)];
    let moved = moved(&[address(1, &["a", "b"])], &[(1, "a", 1)], &all);
    assert_eq!(moved, owners(&[(1, "b", 2)]));
}

#[test]
fn a_gateway_that_is_back_gets_nothing_back() {
    let all = [("a", GOOD), ("b", GOOD)];
    let moved = moved(&[address(1, &["a", "b"])], &[(1, "b", 2)], &all);
    assert_eq!(moved, BTreeMap::new());
}

#[test]
fn a_new_process_gives_an_owner_it_has_not_seen_its_three_looks() {
    let addresses = [address(1, &["a", "b"])];
    let mut unseen = Health::default();
    for _ in 0..limits::RECONCILE_LOST {
        let all = [("a", unseen), ("b", GOOD)];
        assert_eq!(moved(&addresses, &[(1, "a", 1)], &all), BTreeMap::new());
        unseen.looked(false);
    }
    let all = [("a", unseen), ("b", GOOD)];
    assert_eq!(
        moved(&addresses, &[(1, "a", 1)], &all),
        owners(&[(1, "b", 2)])
    );
}

fn said(all: &[(&str, u8, u64)]) -> BTreeMap<(GatewayName, Ipv4Addr), u64> {
    let all = all
        .iter()
        .map(|(gateway, n, epoch)| (((*gateway).into(), ip(*n)), *epoch));
    all.collect()
}

#[test]
fn gateways_are_told_where_what_they_say_is_wrong() {
    let owners = owners(&[(1, "a", 3), (2, "b", 1)]);
    let said = said(&[
        ("a", 1, 3),
        ("b", 1, 2),
        ("a", 2, 0),
        ("b", 2, 0),
        ("a", 3, 9),
    ]);
    let told = corrections(&owners, &said);
    let expected = [("b".into(), ip(1), None), ("b".into(), ip(2), Some(1))];
    assert_eq!(told, expected);
}

#[test]
fn of_two_that_claim_an_address_the_later_epoch_is_right() {
    let said = said(&[("a", 1, 3), ("b", 1, 4), ("a", 2, 1), ("b", 2, 0)]);
    assert_eq!(claimed(&said), owners(&[(1, "b", 4), (2, "a", 1)]));
}
