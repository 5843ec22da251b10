//! What operators are promised to see: documented metrics are those that a plane exposes, and each is above
//! zero somewhere; alerts, dashboard and runbook name only what exists. Alerts are made to fire by promtool on
//! made-up series, and by a Prometheus on processes that are hurt; both are skipped loudly where they are
//! missing, or fail where `FPRS_REQUIRE_PROMTOOL=1` says that they must be there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod alerts;
mod dashboard;
mod exposed;
mod firing;
mod panics;
mod prometheus;
mod provoked;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    fprs_testkit::program::main();
}

/// For what takes milliseconds on an idle machine; tests share theirs with others.
const SOON: Duration = Duration::from_secs(20);

/// A metric: its type and the names of its labels.
type Metric = (String, BTreeSet<String>);

/// Every metric in `docs/metrics.md`, by name.
fn documented() -> BTreeMap<String, Metric> {
    let text = read("docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `fprs_"));
    let documented: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let quoted = |cell: &str| {
                cell.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect()
            };
            let name = cells[0].trim_matches('`').to_owned();
            (name, (cells[1].to_owned(), quoted(cells[2])))
        })
        .collect();
    assert!(!documented.is_empty(), "no metrics in docs/metrics.md");
    documented
}

/// Metrics that are named in an expression.
fn named(expression: &str) -> BTreeSet<String> {
    let known = documented();
    let letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = expression.split(|other| !letter(other));
    let metrics = words.filter(|word| word.starts_with("fprs_"));
    metrics
        .map(|name| {
            let parts = ["_bucket", "_sum", "_count"];
            let whole = parts.iter().find_map(|part| name.strip_suffix(part));
            let whole = whole.filter(|whole| {
                known
                    .get(*whole)
                    .is_some_and(|(kind, _)| kind == "histogram")
            });
            whole.unwrap_or(name).to_owned()
        })
        .collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// Prometheus and its tool are here, or this is skipped.
fn has_promtool() -> bool {
    let tools = ["promtool", "prometheus"];
    let here = |tool: &&str| Command::new(tool).arg("--version").output().is_ok();
    if tools.iter().all(here) {
        return true;
    }
    assert!(
        std::env::var_os("FPRS_REQUIRE_PROMTOOL").is_none_or(|value| value != "1"),
        "prometheus and promtool must be here: apt-get install prometheus"
    );
    eprintln!("SKIPPED: prometheus or promtool is missing: apt-get install prometheus");
    false
}

/// Runs promtool, which must be content; nothing where it is missing.
fn promtool(args: &[&str]) {
    if !has_promtool() {
        return;
    }
    let output = Command::new("promtool")
        .args(args)
        .current_dir(root().join("observability"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "promtool {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
