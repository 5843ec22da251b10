use proptest::prelude::*;

use super::*;
use crate::limits;

const REST: Duration = Duration::from_secs(60);

fn key(n: u8) -> PublicKey {
    PublicKey([n; 32])
}

fn identity(n: u8) -> Arc<str> {
    format!("agent-{n}").into()
}

fn places(n: u8) -> Places {
    let mut places = Places::new(REST);
    for n in 0..n {
        places
            .give(&identity(n), key(n), None, Duration::ZERO)
            .unwrap();
    }
    places
}

#[test]
fn asking_again_changes_nothing() {
    let mut places = places(1);
    let place = places.of("agent-0").unwrap();
    let again = places.give(&identity(0), key(0), None, Duration::ZERO);
    let given = Given {
        place,
        replaces: None,
        leaves: None,
    };
    assert_eq!(again, Ok(given));
    assert_eq!(places.taken(), 1);
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one() {
    let mut places = places(1);
    let place = places.of("agent-0").unwrap();
    let given = places
        .give(&identity(0), key(9), None, Duration::ZERO)
        .unwrap();
    assert_eq!((given.place, given.replaces), (place, Some(key(0))));
    assert_eq!(places.of_key(&key(0)), None);
}

#[test]
fn the_key_of_another_agent_is_refused() {
    let mut places = places(2);
    let refused = places.give(&identity(1), key(0), None, Duration::ZERO);
    assert_eq!(refused, Err(Refused::KeyTaken));
    assert_eq!(places.of_key(&key(0)), places.of("agent-0"));
}

#[test]
fn a_place_that_another_has_is_refused_with_a_free_one() {
    let mut places = places(2);
    let wanted = places.of("agent-0");
    let refused = places.give(&identity(1), key(1), wanted, Duration::ZERO);
    let Err(Refused::Taken { free }) = refused else {
        panic!("{refused:?}");
    };
    let given = places.give(&identity(1), key(1), Some(free), Duration::ZERO);
    assert_eq!(given.unwrap().place, free);
}

#[test]
fn a_freed_place_rests_before_another_gets_it() {
    let mut places = places(u8::try_from(limits::CLIENTS_PER_IP).unwrap());
    let place = places.of("agent-5").unwrap();
    assert_eq!(places.free(place, Duration::ZERO), Some(key(5)));
    let early = places.give(&identity(99), key(99), None, REST - Duration::from_nanos(1));
    assert_eq!(early, Err(Refused::Full));
    let given = places.give(&identity(99), key(99), None, REST);
    assert_eq!(given.unwrap().place, place);
}

#[test]
fn gateways_that_are_asked_in_another_order_mostly_give_the_same() {
    let (mut one, mut other) = (Places::new(REST), Places::new(REST));
    for n in 0..30 {
        one.give(&identity(n), key(n), None, Duration::ZERO)
            .unwrap();
    }
    for n in (0..30).rev() {
        other
            .give(&identity(n), key(n), None, Duration::ZERO)
            .unwrap();
    }
    let same = |n: &u8| one.of(&identity(*n)) == other.of(&identity(*n));
    let same = (0..30).filter(same).count();
    assert!(same >= 15, "{same} of 30");
}

#[test]
fn a_place_asked_for_by_name_need_not_rest() {
    let mut places = places(1);
    let place = places.of("agent-0").unwrap();
    places.free(place, Duration::ZERO);
    let given = places.give(&identity(0), key(0), Some(place), Duration::ZERO);
    assert_eq!(given.unwrap().place, place);
}

proptest! {
    /// The invariants are asserted by `check` after each step.
    #[test]
    fn whatever_happens_nobody_shares_a_place(
        steps in proptest::collection::vec((0_u8..80, 0_u8..80, any::<bool>(), 0_u64..100), 0..300)
    ) {
        let mut places = Places::new(REST);
        let mut now = Duration::ZERO;
        for (who, which, leave, seconds) in steps {
            now += Duration::from_secs(seconds);
            let want = Place::all().nth(which.into());
            if leave {
                places.of(&identity(who)).and_then(|place| places.free(place, now));
            } else if let Ok(given) = places.give(&identity(who), key(who), want, now) {
                prop_assert_eq!(places.of(&identity(who)), Some(given.place));
            }
            let mut all: Vec<Place> = places.clients().map(|(place, _)| place).collect();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), places.taken());
        }
    }
}
