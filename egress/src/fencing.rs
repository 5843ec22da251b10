//! PURE. Whether a gateway may go on answering for its static IPs. A leading reconciler renews all of
//! them with each look, from the moment of an answer that it says it has heard, so that a renewal which
//! was long under way renews nothing. Who is not renewed asks the other gateways: if none answers, it is
//! alone, and gives up; if one of them says for long that it is led, this one is cut off, and gives up too;
//! if they are not led either, nobody leads, nothing moves, and all keep what they have.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
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
    /// Since when it asks the others.
    asks: Option<Duration>,
    /// When another gateway answered last, or none was there to: one that takes an address can say so here.
    company: Option<Duration>,
    /// Others whose machines said that nobody listens there, and when.
    gone: BTreeMap<Ipv4Addr, Duration>,
    /// Others that say that they are led, since when, and since the last renewal.
    led: BTreeMap<Ipv4Addr, Duration>,
    /// One of them said so for long enough.
    cut_off: bool,
}

/// What a gateway has to do about what it owns by a reconciler's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is renewed.
    Renewed,
    /// It is not: ask the others, and go on meanwhile.
    Asks,
    /// It is not, and another is or none answers: hold nothing.
    GivesUp,
}

/// What came of asking another gateway whether it is led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is.
    Led,
    /// It is not.
    Unled,
    /// Its machine says that nobody listens there: it can be told nothing.
    Gone,
    /// Nothing.
    Silent,
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
    pub const fn takes(&mut self, term: u64) -> bool {
        if term > self.term {
            self.term = term;
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
        self.answers(nonce, now);
        true
    }

    /// A reconciler's word with that nonce is answered now. It may refer to the answer once it leads.
    pub fn answers(&mut self, nonce: u64, now: Duration) {
        // A word that is repeated is one: what counts is when it was answered first.
        if self.answered.iter().any(|(known, _)| *known == nonce) {
            return;
        }
        if self.answered.len() >= REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back((nonce, now));
    }

    /// The other gateways were asked at that moment whether they are led.
    pub fn told(&mut self, all: &[(Ipv4Addr, Said)], now: Duration) {
        let mut answered = false;
        for (other, said) in all {
            match said {
                Said::Led => {
                    let since = *self.led.entry(*other).or_insert(now);
                    self.cut_off |= now.saturating_sub(since) >= limits::CUT_OFF_AFTER;
                }
                Said::Unled => {
                    self.led.remove(other);
                }
                Said::Gone => {
                    self.led.remove(other);
                    self.gone.insert(*other, now);
                }
                Said::Silent => {}
            }
            if matches!(said, Said::Led | Said::Unled) {
                self.gone.remove(other);
                answered = true;
            }
        }
        // Who is gone can be told nothing, and says nothing of one that is silent.
        let gone = |other: &Ipv4Addr| {
            let at = self.gone.get(other);
            at.is_some_and(|at| now.saturating_sub(*at) < limits::GONE_FOR)
        };
        if answered || all.iter().all(|(other, _)| gone(other)) {
            self.company = self.company.max(Some(now));
        }
    }

    /// Whether a leader looked at it lately.
    pub fn led(&self, now: Duration) -> bool {
        self.silent(now)
            .is_some_and(|silent| silent < limits::LED_FOR)
    }

    /// For how long no leader was heard; none if none ever was.
    pub fn silent(&self, now: Duration) -> Option<Duration> {
        self.heard.map(|at| now.saturating_sub(at))
    }

    /// What to do. `others`: there are other gateways that can hold what this one does.
    pub fn standing(&mut self, others: bool, now: Duration) -> Standing {
        let unrenewed = now.saturating_sub(self.renewed);
        if unrenewed < limits::ASKS_AFTER {
            return Standing::Renewed;
        }
        // Nobody else could be given it.
        if !others {
            return Standing::Asks;
        }
        let last = |at: Duration| now.saturating_sub(at) < limits::OWNED_FOR;
        let alone = !last(self.renewed) && !self.company.is_some_and(last);
        // One that is given something after a long time has to ask first.
        let asks = *self.asks.get_or_insert(now);
        let asked = now.saturating_sub(asks) >= limits::ASKED_FOR;
        if self.cut_off || (alone && asked) {
            return Standing::GivesUp;
        }
        Standing::Asks
    }

    fn renew(&mut self, at: Duration) {
        // A word that refers to an answer once more renews nothing.
        if at > self.renewed {
            self.renewed = at;
            self.asks = None;
            self.company = None;
            self.led.clear();
            self.cut_off = false;
        }
    }
}

/// Answers that a leader may still refer to: seconds of a leader's looks and of those that wait.
const REMEMBERED: usize = 64;

#[cfg(test)]
mod tests;
