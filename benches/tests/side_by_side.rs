//! The whole harness with the one peer that needs nothing installed.

#![allow(
    clippy::expect_used,
    reason = "helpers of tests: a failure is a failed test"
)]

use std::{fs, process::Command};

#[test]
fn a_comparison_leaves_a_report_with_every_figure_of_its_entrants() {
    let out = tempfile::tempdir().expect("a folder");
    let run = Command::new(env!("CARGO_BIN_EXE_fprs-bench"))
        .args([
            "run",
            "--quick",
            "--rounds",
            "1",
            "--cases",
            "h2-h2,h2-h2-memory",
        ])
        .args(["--proxies", "h2-relay", "--out"])
        .arg(out.path())
        .output()
        .expect("runs");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );

    let text = fs::read_to_string(out.path().join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    for (case, metric) in [
        ("h2-h2", "cpu_us_per_request"),
        ("h2-h2", "requests_per_s"),
        ("h2-h2-memory", "held"),
    ] {
        let row = rows
            .iter()
            .find(|row| row["case"] == case && row["metric"] == metric);
        let row = row.expect("a row of that figure");
        assert_eq!(row["proxy"], "h2-relay");
        assert!(
            row["median"].as_f64().is_some_and(|median| median > 0.0),
            "{row}"
        );
    }
    assert!(
        report["machine"]["cores"]
            .as_u64()
            .is_some_and(|cores| cores > 0)
    );
    assert_eq!(
        report["notes"].as_array().map(Vec::len),
        Some(0),
        "{}",
        report["notes"]
    );
    assert!(out.path().join("report.md").exists());
    assert!(out.path().join("h2-h2-cpu_us_per_request.svg").exists());
}
