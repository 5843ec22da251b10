//! What comparing one mirror's answers has come to, over all pairs: how many were the same, where the
//! others differed, how long both took, and some examples.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::compare::{Difference, Part};
use super::report::{Place, Report, Sides};
use super::seen::Seen;

/// Examples kept: the latest.
const EXAMPLES: usize = 20;

/// Places counted by themselves; others only by their part.
const PLACES: usize = 100;

/// One mirror's findings.
#[derive(Debug, Default)]
pub struct Findings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    same: u64,
    different: u64,
    /// Pairs nobody had time to compare.
    skipped: u64,
    parts: BTreeMap<Part, u64>,
    places: BTreeMap<(Part, String), u64>,
    examples: VecDeque<Value>,
    first: Sides,
    whole: Sides,
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

impl Findings {
    /// One more pair was compared.
    pub fn add(&self, asked: &Asked, primary: &Seen, shadow: &Seen, found: &[Difference]) {
        let mut state = self.lock();
        state.first.primary.add(primary.first_us);
        state.first.shadow.add(shadow.first_us);
        state.whole.primary.add(primary.whole_us);
        state.whole.shadow.add(shadow.whole_us);
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
    pub(super) fn report(&self) -> Report {
        let state = self.lock();
        let parts = state.parts.iter();
        let places = state.places.iter().map(|((part, at), count)| Place {
            part: part.name().to_owned(),
            at: at.clone(),
            count: *count,
        });
        Report {
            same: state.same,
            different: state.different,
            skipped: state.skipped,
            parts: parts
                .map(|(part, count)| (part.name().to_owned(), *count))
                .collect(),
            places: places.collect(),
            examples: state.examples.iter().cloned().collect(),
            first: state.first.clone(),
            whole: state.whole.clone(),
            ..Report::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; what is in it would be whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
