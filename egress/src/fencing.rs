//! PURE. Whether a gateway may go on answering for its static IPs. A leading reconciler renews all of
//! them with each look, from the moment of an answer that it says it has heard, so that a renewal which
//! was long under way renews nothing. Who is not renewed asks the other gateways: if one of them is led,
//! this one is cut off, and gives up; if they are not led either, nobody leads, nothing moves, and all
//! keep what they have; if none answers, it is alone, and gives up too.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits;

/// What a gateway remembers of its leader. `now` is the time since the gateway began.
#[derive(Clone, Debug, Default)]
pub struct Fence {
    /// The newest term that was heard of.
    term: u64,
    /// Answers that were given, and when.
    answered: VecDeque<(u64, Duration)>,
    renewed: Duration,
    /// When a leader was heard last, whether it renewed or not.
    heard: Option<Duration>,
    /// When another gateway said that it is not led either.
    company: Option<Duration>,
    /// Another gateway said that it is led, since the last renewal.
    alone_unled: bool,
}

/// What a gateway has to do about what it owns by a reconciler's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is renewed.
    Renewed,
    /// It is not: ask the others, and go on meanwhile.
    Asks,
    /// It is not, and others are or none answers: hold nothing.
    GivesUp,
}

impl Fence {
    /// A gateway that knows of that term from before.
    pub fn new(term: u64) -> Self {
        Self {
            term,
            ..Self::default()
        }
    }

    /// The newest term it has heard of.
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// Takes a leader's term in; `false`: it is an older leader's, and counts for nothing.
    pub fn takes(&mut self, term: u64) -> bool {
        if term > self.term {
            self.term = term;
            self.answered.clear();
        }
        term == self.term
    }

    /// A leader has looked, and says which answer it heard last. `true`: answer it.
    pub fn looked(&mut self, term: u64, nonce: u64, heard: u64, now: Duration) -> bool {
        if !self.takes(term) {
            return false;
        }
        self.heard = Some(now);
        let known = self.answered.iter().find(|(nonce, _)| *nonce == heard);
        if let Some((_, at)) = known {
            self.renew(*at);
        }
        if self.answered.len() >= REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back((nonce, now));
        true
    }

    /// Another gateway has answered whether it is led.
    pub const fn told(&mut self, led: bool, now: Duration) {
        if led {
            self.alone_unled = true;
        } else {
            self.company = Some(now);
        }
    }

    /// Whether a leader looked at it lately.
    pub fn led(&self, now: Duration) -> bool {
        self.heard
            .is_some_and(|at| now.saturating_sub(at) < limits::LED_FOR)
    }

    /// What to do. `others`: there are other gateways that can hold what this one does.
    pub fn standing(&self, others: bool, now: Duration) -> Standing {
        let late = now
            .saturating_sub(self.renewed)
            .checked_sub(limits::OWNED_FOR);
        let Some(late) = late else {
            return Standing::Renewed;
        };
        // Nobody else could be given it.
        if !others {
            return Standing::Asks;
        }
        let company = self
            .company
            .is_some_and(|at| now.saturating_sub(at) < limits::COMPANY_FOR);
        if self.alone_unled || (late >= limits::COMPANY_FOR && !company) {
            return Standing::GivesUp;
        }
        Standing::Asks
    }

    fn renew(&mut self, at: Duration) {
        if at >= self.renewed {
            self.renewed = at;
            self.alone_unled = false;
            self.company = None;
        }
    }
}

/// Answers that a leader may still refer to.
const REMEMBERED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = limits::RECONCILE_EVERY;

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
        let fence = led_until(ms(60_000));
        assert_eq!(fence.standing(true, ms(60_000)), Standing::Renewed);
        assert!(fence.led(ms(60_000)));
    }

    #[test]
    fn looks_whose_answers_nobody_hears_renew_nothing() {
        let mut fence = led_until(ms(1_000));
        let mut now = ms(1_000);
        while now < ms(1_000) + limits::OWNED_FOR + LOOK {
            assert!(fence.looked(
                1,
                1_000_000 + u64::try_from(now.as_millis()).unwrap(),
                7,
                now
            ));
            now += LOOK;
        }
        assert_ne!(fence.standing(true, now), Standing::Renewed);
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
    fn who_is_cut_off_gives_up_and_who_is_leaderless_in_company_goes_on() {
        let mut fence = led_until(ms(1_000));
        let late = ms(1_000) + limits::OWNED_FOR;
        assert_eq!(fence.standing(true, late), Standing::Asks);
        fence.told(false, late);
        let later = late + limits::COMPANY_FOR - LOOK;
        assert_eq!(fence.standing(true, later), Standing::Asks);
        for n in 0..1_000 {
            fence.told(false, later + n * LOOK);
            assert_eq!(fence.standing(true, later + n * LOOK), Standing::Asks);
        }
        fence.told(true, later + 1_000 * LOOK);
        assert_eq!(
            fence.standing(true, later + 1_000 * LOOK),
            Standing::GivesUp
        );
    }

    #[test]
    fn who_is_alone_gives_up_within_the_bound_and_a_single_gateway_never() {
        let fence = led_until(ms(1_000));
        let bound = ms(1_000) + limits::OWNED_FOR + limits::COMPANY_FOR;
        assert_eq!(fence.standing(true, bound), Standing::GivesUp);
        assert_eq!(fence.standing(false, bound * 100), Standing::Asks);
    }

    #[test]
    fn an_older_leader_counts_for_nothing() {
        let mut fence = led_until(ms(1_000));
        assert!(fence.looked(2, 1, 0, ms(1_100)));
        assert!(!fence.looked(1, 2, 0, ms(1_200)));
        assert!(!fence.takes(1));
        assert!(fence.takes(2));
    }
}
