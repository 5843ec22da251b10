use super::*;

const LOOK: Duration = limits::RECONCILE_EVERY;
const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const THIRD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 3);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Looked at by a leader that hears every answer, until then.
fn led_until(end: Duration) -> Fence {
    let mut fence = Fence::default();
    let (mut now, mut nonce) = (Duration::ZERO, 1);
    while now < end {
        assert!(fence.looked(1, nonce, nonce - 1, now));
        (now, nonce) = (now + LOOK, nonce + 1);
    }
    fence
}

#[test]
fn who_is_renewed_owns() {
    let mut fence = led_until(ms(60_000));
    assert_eq!(fence.standing(true, ms(60_000)), Standing::Renewed);
    assert!(fence.led(ms(60_000)));
}

#[test]
fn looks_whose_answers_nobody_hears_renew_nothing() {
    let mut fence = led_until(ms(1_000));
    let mut now = ms(1_000);
    let mut nonce = 1_000_000;
    while now < ms(1_000) + limits::OWNED_FOR {
        assert!(fence.looked(1, nonce, 7, now));
        fence.standing(true, now);
        (now, nonce) = (now + LOOK, nonce + 1);
    }
    assert_eq!(fence.standing(true, now), Standing::GivesUp);
}

#[test]
fn a_look_that_was_long_under_way_renews_from_the_answer_it_heard() {
    let mut fence = led_until(ms(1_000));
    let late = ms(1_000) + limits::OWNED_FOR;
    // Nonce 8 was answered at 875 ms.
    assert!(fence.looked(1, 99, 8, late));
    assert_ne!(fence.standing(true, late), Standing::Renewed);
}

#[test]
fn a_word_that_is_repeated_renews_from_its_first_answer() {
    let mut fence = Fence::default();
    for beat in [0, 40, 80] {
        fence.looked(1, 5, 0, ms(beat));
    }
    fence.looked(1, 6, 5, limits::ASKS_AFTER);
    assert_eq!(fence.standing(true, limits::ASKS_AFTER), Standing::Asks);
}

#[test]
fn a_new_leader_renews_from_an_answer_that_it_heard_while_it_waited() {
    let mut fence = led_until(ms(1_000));
    let asked = ms(1_000) + limits::ASKS_AFTER;
    fence.answers(77, asked);
    assert_eq!(fence.standing(true, asked), Standing::Asks);
    assert!(fence.looked(2, 78, 77, asked));
    assert_eq!(fence.standing(true, asked), Standing::Renewed);
}

#[test]
fn who_is_leaderless_in_company_goes_on() {
    let mut fence = led_until(ms(1_000));
    let late = ms(1_000) + limits::ASKS_AFTER;
    for n in 0..1_000 {
        fence.told(
            &[(OTHER, Said::Unled), (THIRD, Said::Silent)],
            late + n * LOOK,
        );
        assert_eq!(fence.standing(true, late + n * LOOK), Standing::Asks);
    }
    let alone = late + 999 * LOOK + limits::OWNED_FOR;
    assert_eq!(fence.standing(true, alone), Standing::GivesUp);
}

#[test]
fn who_is_cut_off_while_another_is_led_gives_up() {
    let mut fence = led_until(ms(1_000));
    let late = ms(1_000) + limits::ASKS_AFTER;
    let all = [(OTHER, Said::Led), (THIRD, Said::Unled)];
    fence.told(&all, late);
    assert_eq!(fence.standing(true, late), Standing::Asks);
    fence.told(&all, late + limits::CUT_OFF_AFTER);
    let given = fence.standing(true, late + limits::CUT_OFF_AFTER);
    assert_eq!(given, Standing::GivesUp);
}

/// A gateway says that it is led for a while after its leader died, and as soon as the next one speaks.
#[test]
fn a_change_of_leaders_cuts_nobody_off() {
    let mut fence = led_until(ms(1_000));
    let mut now = ms(1_000) + limits::ASKS_AFTER;
    let dead = now + limits::LED_FOR;
    while now < dead {
        fence.told(&[(OTHER, Said::Led)], now);
        assert_eq!(fence.standing(true, now), Standing::Asks);
        now += limits::FENCE_EVERY;
    }
    fence.told(&[(OTHER, Said::Unled)], now);
    now += limits::FENCE_EVERY;
    fence.told(&[(OTHER, Said::Led)], now);
    assert_eq!(fence.standing(true, now), Standing::Asks);
}

#[test]
fn who_is_alone_gives_up_within_the_bound_and_a_single_gateway_never() {
    let mut fence = led_until(ms(1_000));
    let bound = ms(1_000) + limits::OWNED_FOR;
    assert_eq!(
        fence.standing(true, bound - limits::ASKED_FOR),
        Standing::Asks
    );
    fence.told(&[(OTHER, Said::Silent), (THIRD, Said::Gone)], bound);
    assert_eq!(fence.standing(true, bound), Standing::GivesUp);
    assert_eq!(fence.standing(false, bound * 100), Standing::Asks);
}

#[test]
fn who_is_given_something_after_a_long_time_asks_first() {
    let mut fence = Fence::default();
    let given = ms(60_000);
    assert_eq!(fence.standing(true, given), Standing::Asks);
    let asked = given + limits::ASKED_FOR;
    assert_eq!(fence.standing(true, asked), Standing::GivesUp);
    fence.looked(1, 1, 0, asked);
    fence.looked(1, 2, 1, asked);
    assert_eq!(fence.standing(true, asked), Standing::Renewed);
}

#[test]
fn who_is_left_over_by_processes_that_ended_goes_on() {
    let mut fence = led_until(ms(1_000));
    let late = ms(1_000) + limits::OWNED_FOR;
    fence.told(&[(OTHER, Said::Gone), (THIRD, Said::Gone)], late);
    assert_eq!(fence.standing(true, late), Standing::Asks);
    // A machine says so once a second, however often it is asked.
    let silent = [(OTHER, Said::Silent), (THIRD, Said::Silent)];
    fence.told(&silent, late + ms(1_100));
    assert_eq!(fence.standing(true, late + ms(1_100)), Standing::Asks);
    let long = late + limits::GONE_FOR + limits::OWNED_FOR;
    fence.told(&silent, long);
    assert_eq!(fence.standing(true, long), Standing::GivesUp);
}

/// A new owner which this gateway does not answer takes its address when the leader has looked three
/// times and the new owner has waited. The last answer is what the leader counts from.
#[test]
fn who_is_alone_has_given_up_before_a_new_owner_takes() {
    let looks = limits::RECONCILE_EVERY * (limits::RECONCILE_LOST + 1);
    let given_up = limits::OWNED_FOR + limits::FENCE_EVERY;
    assert!(given_up < looks + limits::YIELD);
}

#[test]
fn an_older_leader_counts_for_nothing() {
    let mut fence = led_until(ms(1_000));
    assert!(fence.looked(2, 1, 0, ms(1_100)));
    assert!(!fence.looked(1, 2, 0, ms(1_200)));
    assert!(!fence.takes(1));
    assert!(fence.takes(2));
}
