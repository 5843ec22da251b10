//! Promise: the dashboard asks only for metrics that exist, in words that Prometheus understands.

use serde_json::Value;

use crate::{documented, named, promtool, read};

#[test]
fn every_panel_asks_for_metrics_that_exist() {
    let known = documented();
    let mut used = std::collections::BTreeSet::new();
    for (panel, expression) in expressions() {
        let names = named(&expression);
        assert!(
            !names.is_empty() || expression.contains("up{"),
            "{panel}: {expression}"
        );
        for name in &names {
            assert!(known.contains_key(name), "{panel}: there is no {name}");
        }
        used.extend(names);
    }
    let unused: Vec<_> = known.keys().filter(|name| !used.contains(*name)).collect();
    // Beside ones that say more.
    let beside = [
        "fprs_config_refusals_total",
        "fprs_control_commits_total",
        "fprs_proxy_access_log_lines_lost_total",
        "fprs_proxy_in_flight",
        "fprs_relay_control_connected",
        "fprs_relay_launch_seconds",
        "fprs_relay_starts_total",
        "fprs_relay_startup_seconds",
        "fprs_control_workers_lost_total",
    ];
    let missed: Vec<_> = unused
        .iter()
        .filter(|name| !beside.contains(&name.as_str()))
        .collect();
    assert_eq!(missed, Vec::<&&String>::new(), "these have no panel");
}

#[test]
fn prometheus_understands_every_panel() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("panels.yaml");
    let mut rules = "groups:\n  - name: panels\n    rules:\n".to_owned();
    for (number, (_, expression)) in expressions().iter().enumerate() {
        let expression = Value::from(expression.replace("$__rate_interval", "5m"));
        rules += &format!("      - {{ record: 'panel:{number}', expr: {expression} }}\n");
    }
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

/// Of every panel: its title and what it asks for.
fn expressions() -> Vec<(String, String)> {
    let text = read("observability/grafana/fprs.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap().to_owned();
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((title.clone(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    assert!(!found.is_empty(), "no panels");
    found
}
