//! PURE. What this proxy has seen of one mirror, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Ending, Mirrors};

/// The report of the mirror of that name; `None`: this proxy has none of that name.
pub fn report(mirrors: &Mirrors, name: &str) -> Option<Value> {
    let tally = mirrors.tally(name)?;
    let ends = Ending::ALL.into_iter();
    let ends = ends.map(|ending| (ending.name(), tally.ended(ending)));
    let ends: BTreeMap<_, _> = ends.filter(|(_, count)| *count > 0).collect();
    let mut report = tally.findings.report();
    if let Some(report) = report.as_object_mut() {
        report.insert("mirror".to_owned(), name.into());
        report.insert("in_flight".to_owned(), tally.in_flight().into());
        report.insert("ends".to_owned(), json!(ends));
    }
    Some(report)
}
