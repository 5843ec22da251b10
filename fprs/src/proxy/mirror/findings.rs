//! What comparing one mirror's answers has come to, over all pairs: how many were the same, where the
//! others differed, how long both took, and some examples.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::compare::{Difference, Part};
use super::seen::Seen;

/// Examples kept: the latest.
const EXAMPLES: usize = 20;

/// Places counted by themselves; others only by their part.
const PLACES: usize = 100;

/// One mirror's findings.
#[derive(Debug, Default)]
pub struct Findings(Mutex<State>);

#[derive(Debug)]
struct State {
    same: u64,
    different: u64,
    /// Pairs nobody had time to compare.
    skipped: u64,
    parts: BTreeMap<Part, u64>,
    places: BTreeMap<(Part, String), u64>,
    examples: VecDeque<Value>,
    primary: Times,
    shadow: Times,
}

/// What was asked, for examples.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path, without its query.
    pub path: String,
    /// The request's id.
    pub id: Option<HeaderValue>,
}

/// Without their memory they count nothing.
#[derive(Debug)]
struct Times {
    first: Option<Histogram<u64>>,
    whole: Option<Histogram<u64>>,
}

/// Digits that a time is exact to; more would only cost memory.
const DIGITS: u8 = 2;

impl Default for State {
    fn default() -> Self {
        Self {
            same: 0,
            different: 0,
            skipped: 0,
            parts: BTreeMap::new(),
            places: BTreeMap::new(),
            examples: VecDeque::new(),
            primary: Times::new(),
            shadow: Times::new(),
        }
    }
}

impl Findings {
    /// One more pair was compared.
    pub fn add(&self, asked: &Asked, primary: &Seen, shadow: &Seen, found: &[Difference]) {
        let mut state = self.lock();
        state.primary.add(primary);
        state.shadow.add(shadow);
        if found.is_empty() {
            state.same += 1;
            return;
        }
        state.different += 1;
        for part in Part::ALL {
            if found.iter().any(|found| found.part == part) {
                *state.parts.entry(part).or_default() += 1;
            }
        }
        for difference in found.iter().filter(|found| !found.at.is_empty()) {
            let place = (difference.part, difference.at.clone());
            let room = state.places.len() < PLACES;
            if room || state.places.contains_key(&place) {
                *state.places.entry(place).or_default() += 1;
            }
        }
        if state.examples.len() >= EXAMPLES {
            state.examples.pop_front();
        }
        state.examples.push_back(example(asked, found));
    }

    /// A pair was not compared: there is no end of them.
    pub fn skip(&self) {
        self.lock().skipped += 1;
    }

    /// How many pairs were the same, different, and not compared.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        let state = self.lock();
        [
            ("same", state.same),
            ("different", state.different),
            ("skipped", state.skipped),
        ]
    }

    /// All of it.
    pub fn report(&self) -> Value {
        let state = self.lock();
        let parts = state.parts.iter().map(|(part, count)| (part.name(), count));
        let places = state.places.iter();
        let mut places: Vec<_> = places
            .map(|((part, at), count)| json!({ "part": part.name(), "at": at, "count": count }))
            .collect();
        places.sort_by_key(|place| std::cmp::Reverse(place["count"].as_u64()));
        json!({
            "compared": state.same + state.different,
            "same": state.same,
            "different": state.different,
            "skipped": state.skipped,
            "parts": parts.collect::<BTreeMap<_, _>>(),
            "places": places,
            "first_byte_ms": pair(&state, |times| &times.first),
            "whole_ms": pair(&state, |times| &times.whole),
            "examples": state.examples,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; what is in it would be whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    fn new() -> Self {
        Self {
            first: Histogram::new(DIGITS).ok(),
            whole: Histogram::new(DIGITS).ok(),
        }
    }

    fn add(&mut self, seen: &Seen) {
        for (histogram, time) in [
            (&mut self.first, seen.first_us),
            (&mut self.whole, seen.whole_us),
        ] {
            if let Some(histogram) = histogram {
                histogram.saturating_record(time);
            }
        }
    }
}

fn pair(state: &State, of: impl Fn(&Times) -> &Option<Histogram<u64>>) -> Value {
    json!({ "primary": quantiles(of(&state.primary)), "shadow": quantiles(of(&state.shadow)) })
}

fn quantiles(histogram: &Option<Histogram<u64>>) -> Value {
    let us = |quantile| {
        let histogram = histogram.as_ref();
        histogram.map_or(0, |histogram| histogram.value_at_quantile(quantile))
    };
    let ms = |quantile| us(quantile) as f64 / 1_000.0;
    json!({ "p50": ms(0.5), "p90": ms(0.9), "p99": ms(0.99), "max": ms(1.0) })
}

fn example(asked: &Asked, found: &[Difference]) -> Value {
    let differences: Vec<_> = found
        .iter()
        .map(|found| {
            json!({
                "part": found.part.name(), "at": found.at,
                "primary": found.primary, "shadow": found.shadow,
            })
        })
        .collect();
    let id = asked.id.as_ref().and_then(|id| id.to_str().ok());
    json!({
        "request": format!("{} {}", asked.method, asked.path),
        "request_id": id, "differences": differences,
    })
}
