//! The gate: what fprs spends on a request, a message and an event, beside what it spent when the
//! baseline was written. More is a fault; less is one too, until the baseline says so, or the gain
//! could be lost again unseen.

use std::{collections::BTreeMap, env, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    cases::{Case, Effort, Kind},
    count::{Cost, Subject},
    proxy::{Pair, first_line, fprs::Fprs},
};

/// How far instructions may be off, of the baseline: repeats are within a tenth of it.
const INSTRUCTIONS: f64 = 0.03;
/// How far allocations may be off: what happens once in many requests is not whole.
const ALLOCATIONS: f64 = 0.5;
/// A count outside is taken again so many times: on a stalled machine the background of a process
/// weighs more.
const REPEATS: u32 = 5;
/// Requests, messages or events in the shorter run.
const COUNT: u64 = 2_000;

/// The costs that were accepted, and what they depend on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The processor's kind; the counts of another kind have nothing to do with these.
    pub arch: String,
    /// The compiler.
    pub rustc: String,
    /// The counter.
    pub valgrind: String,
    /// The cost of each subject.
    pub costs: BTreeMap<String, Cost>,
}

impl Baseline {
    fn here() -> Result<Self> {
        Ok(Self {
            arch: env::consts::ARCH.to_owned(),
            rustc: first_line("rustc", "--version")?,
            valgrind: first_line("valgrind", "--version")
                .context("install it: apt-get install valgrind")?,
            costs: BTreeMap::new(),
        })
    }

    /// What makes counts of `other` incomparable, or is the first thing to suspect.
    fn differs(&self, other: &Self) -> Option<String> {
        let pairs = [
            (&self.arch, &other.arch),
            (&self.rustc, &other.rustc),
            (&self.valgrind, &other.valgrind),
        ];
        let differing: Vec<String> = pairs
            .into_iter()
            .filter(|(base, now)| base != now)
            .map(|(base, now)| format!("{base}, here {now}"))
            .collect();
        (!differing.is_empty()).then(|| format!("the baseline is of {}", differing.join("; ")))
    }
}

/// Every subject by name.
fn subjects() -> Vec<(String, Subject)> {
    let subject = |proxy: &'static Fprs, role: &str, pair: Pair, kind, streams| {
        let case = Case { pair, kind };
        let name = format!("{role} {} x{streams}", case.name());
        let subject = Subject {
            proxy,
            case,
            streams,
            count: COUNT,
        };
        (name, subject)
    };
    let proxy = |pair, kind, streams| subject(&Fprs::Hop, "proxy", pair, kind, streams);
    let relay = |pair, kind, streams| subject(&Fprs::Relay, "relay", pair, kind, streams);
    vec![
        proxy(Pair::H2_H2, Kind::Saturation, 1),
        proxy(Pair::H2_H2, Kind::Saturation, 32),
        proxy(Pair::H1_H2, Kind::Saturation, 1),
        proxy(Pair::H2_H2, Kind::Events, 1),
        proxy(Pair::H1_H2, Kind::WebSocket, 1),
        relay(Pair::H2_H2, Kind::Saturation, 1),
        relay(Pair::H2_H1, Kind::Saturation, 1),
        relay(Pair::H2_H1, Kind::Saturation, 32),
        relay(Pair::H2_H1, Kind::Events, 1),
        relay(Pair::H2_H1, Kind::WebSocket, 1),
    ]
}

/// Counts everything and compares it with the baseline in `file`.
///
/// # Errors
/// When a cost is out of bounds, the baseline can't be read or is of another kind of machine, or
/// something can't be counted.
pub fn check(file: &Path, effort: Effort) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| {
        format!(
            "no baseline at {}: `make baseline` writes one",
            file.display()
        )
    })?;
    let baseline: Baseline = serde_json::from_str(&text)?;
    let here = Baseline::here()?;
    let differs = baseline.differs(&here);
    if baseline.arch != here.arch {
        bail!(
            "{}: counts can't be compared; `make baseline` writes one for this machine",
            differs.unwrap_or_default()
        );
    }
    let mut faults = Vec::new();
    for (name, subject) in subjects() {
        let base = baseline.costs.get(&name);
        let judge = |cost: &Cost| match base {
            Some(base) => fault(base, cost),
            None => Some("it is not in the baseline".to_owned()),
        };
        let mut cost = counted(&name, &subject, effort)?;
        for _ in 0..REPEATS {
            if judge(&cost).is_some() {
                println!("{}", line(&name, &cost, "again"));
                cost = counted(&name, &subject, effort)?;
            }
        }
        let fault = judge(&cost);
        println!("{}", line(&name, &cost, fault.as_deref().unwrap_or("ok")));
        faults.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\nIf this is meant, update the baseline with `make baseline` and say why in the commit.{}",
        faults.join("\n"),
        differs.map_or_else(String::new, |differs| format!("\nNote: {differs}."))
    )
}

/// Counts everything and writes it to `file`.
///
/// # Errors
/// When something can't be counted or the file can't be written.
pub fn write(file: &Path, effort: Effort) -> Result<()> {
    let mut baseline = Baseline::here()?;
    for (name, subject) in subjects() {
        let cost = counted(&name, &subject, effort)?;
        println!("{}", line(&name, &cost, ""));
        baseline.costs.insert(name, rounded(cost));
    }
    fs::write(file, serde_json::to_string_pretty(&baseline)? + "\n")
        .with_context(|| format!("{} can't be written", file.display()))
}

/// Counts; what did not start or broke off on a busy machine is tried again.
fn counted(name: &str, subject: &Subject, effort: Effort) -> Result<Cost> {
    for _ in 0..REPEATS {
        match subject.cost(effort) {
            Ok(cost) => return Ok(cost),
            Err(error) => println!("{name}: {error:#}; again"),
        }
    }
    subject.cost(effort).with_context(|| name.to_owned())
}

/// What is wrong with `now`.
fn fault(base: &Cost, now: &Cost) -> Option<String> {
    let change = now.instructions / base.instructions - 1.0;
    let more = now.allocations - base.allocations;
    let mut said = Vec::new();
    if change.abs() > INSTRUCTIONS {
        let (percent, was) = (change * 100.0, base.instructions);
        said.push(format!("{percent:+.1} % instructions (baseline {was:.0})"));
    }
    if more.abs() > ALLOCATIONS {
        let was = base.allocations;
        said.push(format!("{more:+.1} allocations (baseline {was:.1})"));
    }
    (!said.is_empty()).then(|| said.join(", "))
}

fn rounded(cost: Cost) -> Cost {
    Cost {
        instructions: cost.instructions.round(),
        // Not below nothing, nor the nothing that is written `-0.0`.
        allocations: (cost.allocations.max(0.0) * 10.0).round() / 10.0,
    }
}

fn line(name: &str, cost: &Cost, verdict: &str) -> String {
    let Cost {
        instructions,
        allocations,
    } = cost;
    format!("{name:<18} {instructions:>8.0} instructions {allocations:>5.1} allocations  {verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Cost = Cost {
        instructions: 10_000.0,
        allocations: 8.0,
    };

    #[test]
    fn a_cost_may_be_off_by_three_percent_and_half_an_allocation_either_way() {
        for (instructions, allocations, right) in [
            (10_290.0, 8.4, true),
            (9_710.0, 7.6, true),
            (10_310.0, 8.0, false),
            (9_690.0, 8.0, false),
            (10_000.0, 9.0, false),
            (10_000.0, 7.0, false),
        ] {
            let now = Cost {
                instructions,
                allocations,
            };
            assert_eq!(fault(&BASE, &now).is_none(), right, "{now:?}");
        }
    }

    fn committed() -> Baseline {
        serde_json::from_str(include_str!("../baseline.json")).expect("a baseline")
    }

    #[test]
    fn no_request_in_the_baseline_allocates_more_than_20_times() {
        let most = committed().costs.into_iter();
        let most = most.max_by(|(_, a), (_, b)| a.allocations.total_cmp(&b.allocations));
        assert!(
            most.as_ref()
                .is_some_and(|(_, cost)| cost.allocations <= 20.0),
            "{most:?}"
        );
    }

    #[test]
    fn every_subject_is_in_the_committed_baseline() {
        let mut names: Vec<String> = subjects().into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, committed().costs.into_keys().collect::<Vec<_>>());
    }
}
