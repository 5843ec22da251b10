//! PURE. What proxies have seen of one mirror: one of them, or several put together as if they were one.
//! Times travel as counts, so that quantiles are of all answers and never of others' quantiles.

use std::collections::BTreeMap;

use fprs_config::record::NO_WEBSOCKETS;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Capturing, Ending, Mirrors};

/// Examples in one report, over all proxies.
const EXAMPLES: usize = 100;

/// Digits that a time is exact to; more would only cost memory.
const DIGITS: u8 = 2;

/// What was seen.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    pub(super) in_flight: u64,
    /// How copies ended.
    pub(super) ends: BTreeMap<String, u64>,
    pub(super) captures: BTreeMap<String, u64>,
    pub(super) same: u64,
    pub(super) different: u64,
    pub(super) skipped: u64,
    /// How many pairs differed in a part of them.
    pub(super) parts: BTreeMap<String, u64>,
    /// And where.
    pub(super) places: Vec<Place>,
    pub(super) examples: Vec<Value>,
    pub(super) first: Sides,
    pub(super) whole: Sides,
}

/// A place where pairs differed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Place {
    /// The part of an answer.
    pub(super) part: String,
    /// Where in it.
    pub(super) at: String,
    /// In how many.
    pub(super) count: u64,
}

/// Times of both answers, in microseconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Sides {
    pub(super) primary: Times,
    pub(super) shadow: Times,
}

/// How many answers took about how long. Without its memory it counts nothing.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(super) struct Times(Option<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(DIGITS).ok())
    }
}

impl Times {
    pub(super) fn add(&mut self, us: u64) {
        self.add_many(us, 1);
    }

    fn add_many(&mut self, us: u64, count: u64) {
        if let Some(histogram) = &mut self.0 {
            // It grows with what it is given; `saturating_record` would hold it to what it has.
            histogram.record_n(us, count).ok();
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (u64, u64)> {
        let counted = self.0.iter().flat_map(Histogram::iter_recorded);
        counted.map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    fn shown(&self) -> Value {
        let ms = |quantile| {
            let us = self.0.as_ref();
            us.map_or(0, |us| us.value_at_quantile(quantile)) as f64 / 1_000.0
        };
        json!({ "p50": ms(0.5), "p90": ms(0.9), "p99": ms(0.99), "max": ms(1.0) })
    }
}

impl From<Vec<(u64, u64)>> for Times {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut times = Self::default();
        for (us, count) in pairs {
            times.add_many(us, count);
        }
        times
    }
}

impl From<Times> for Vec<(u64, u64)> {
    fn from(times: Times) -> Self {
        times.pairs().collect()
    }
}

impl Sides {
    fn add(&mut self, other: &Self) {
        for (times, others) in [
            (&mut self.primary, &other.primary),
            (&mut self.shadow, &other.shadow),
        ] {
            for (us, count) in others.pairs() {
                times.add_many(us, count);
            }
        }
    }

    fn shown(&self) -> Value {
        json!({ "primary": self.primary.shown(), "shadow": self.shadow.shown() })
    }
}

impl Report {
    /// What this process has seen of the mirror of that name; `None`: it has none of that name.
    pub fn of(mirrors: &Mirrors, name: &str) -> Option<Self> {
        let tally = mirrors.tally(name)?;
        let ends = Ending::ALL.map(|ending| (ending.name(), tally.ended(ending)));
        let captures = Capturing::ALL.map(|how| (how.name(), tally.captures(how)));
        Some(Self {
            in_flight: tally.in_flight().into(),
            ends: some(&ends),
            captures: some(&captures),
            ..tally.findings.report()
        })
    }

    /// With what another process has seen.
    pub fn add(&mut self, other: Self) {
        self.in_flight += other.in_flight;
        self.same += other.same;
        self.different += other.different;
        self.skipped += other.skipped;
        for (counts, others) in [
            (&mut self.ends, other.ends),
            (&mut self.captures, other.captures),
            (&mut self.parts, other.parts),
        ] {
            for (name, count) in others {
                *counts.entry(name).or_default() += count;
            }
        }
        for place in other.places {
            let same = |known: &&mut Place| known.part == place.part && known.at == place.at;
            match self.places.iter_mut().find(same) {
                Some(known) => known.count += place.count,
                None => self.places.push(place),
            }
        }
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
        self.first.add(&other.first);
        self.whole.add(&other.whole);
    }

    /// For users.
    pub fn shown(&self, name: &str) -> Value {
        let mut places = self.places.clone();
        places.sort_by_key(|place| std::cmp::Reverse(place.count));
        let websockets = self.ends.get(Ending::WebSocket.name());
        json!({
            "mirror": name,
            "in_flight": self.in_flight,
            "ends": self.ends,
            "not_copied": {
                "websockets": { "count": websockets.unwrap_or(&0), "reason": NO_WEBSOCKETS },
            },
            "captures": self.captures,
            "compared": self.same + self.different,
            "same": self.same,
            "different": self.different,
            "skipped": self.skipped,
            "parts": self.parts,
            "places": places,
            "first_byte_ms": self.first.shown(),
            "whole_ms": self.whole.shown(),
            "examples": self.examples,
        })
    }
}

fn some(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    counts
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy's: so many answers of the shadow took that long, and differed at that place.
    fn seen(answers: u64, us: u64, at: &str) -> Report {
        let mut report = Report {
            different: answers,
            places: vec![Place {
                part: "json".to_owned(),
                at: at.to_owned(),
                count: answers,
            }],
            ends: some(&[("complete", answers)]),
            ..Report::default()
        };
        report.whole.shadow.add_many(us, answers);
        report
    }

    #[test]
    fn quantiles_of_several_proxies_are_of_all_their_answers() {
        // The mean of both medians would be 500 ms, and of both p99s as well.
        let mut all = seen(990, 1_000, "/a");
        let busy = serde_json::to_string(&seen(10, 1_000_000, "/b")).unwrap();
        all.add(serde_json::from_str(&busy).unwrap());
        let shown = all.shown("m");
        let ms = |quantile: &str| shown["whole_ms"]["shadow"][quantile].as_f64().unwrap();
        assert!((ms("p50") - 1.0).abs() < 0.02, "{shown}");
        assert!((ms("p99") - 1.0).abs() < 0.02, "{shown}");
        assert!((ms("max") - 1_000.0).abs() < 10.0, "{shown}");
        assert_eq!(shown["compared"], 1_000);
        assert_eq!(shown["ends"]["complete"], 1_000);
    }

    #[test]
    fn places_that_several_proxies_saw_are_one() {
        let mut all = seen(1, 1, "/a");
        all.add(seen(2, 1, "/b"));
        all.add(seen(3, 1, "/a"));
        let shown = all.shown("m");
        let counts = [&shown["places"][0]["count"], &shown["places"][1]["count"]];
        assert_eq!(counts, [&json!(4), &json!(2)]);
    }
}
