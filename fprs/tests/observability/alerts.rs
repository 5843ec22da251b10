//! Promise: every alert is about metrics that exist, fires in a test, and has its page.

use std::collections::BTreeSet;

use crate::{documented, named, promtool, read};

#[test]
fn every_alert_fires_in_a_world_of_its_own_and_none_in_a_healthy_one() {
    promtool(&["check", "rules", "alerts.yaml"]);
    promtool(&["test", "rules", "alerts_test.yaml"]);
    let tests = read("observability/alerts_test.yaml");
    for alert in alerts() {
        let world = format!("  - name: {alert}\n");
        let (_, world) = tests
            .split_once(&world)
            .unwrap_or_else(|| panic!("{alert} never fires"));
        let world = world.split("  - name: ").next().unwrap();
        let fires = format!("- alertname: {alert}\n");
        assert!(
            world.contains(&fires) && world.contains("exp_labels"),
            "{alert} never fires"
        );
        let silent = format!("{{ alertname: {alert}, eval_time: 40m, exp_alerts: [] }}");
        assert!(
            tests.contains(&silent),
            "{alert} is not in the healthy world"
        );
    }
}

#[test]
fn every_alert_has_a_page_that_says_what_it_means_what_to_check_and_what_helps() {
    let runbook = read("docs/runbook.md");
    let pages: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_owned)
        .collect();
    assert_eq!(pages, alerts());
    for page in runbook.split("\n## ").skip(1) {
        for part in ["**Meaning.**", "**Check.**", "**Remedy.**"] {
            assert_eq!(page.matches(part).count(), 1, "{part} in {page}");
        }
    }
    let rules = read("observability/alerts.yaml");
    for alert in alerts() {
        let link = format!("runbook: docs/runbook.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert} links to no page");
    }
}

#[test]
fn every_metric_in_an_alert_exists() {
    let known = documented();
    let used = named(&read("observability/alerts.yaml"));
    let unknown: Vec<_> = used
        .iter()
        .filter(|name| !known.contains_key(*name))
        .collect();
    assert_eq!(unknown, Vec::<&String>::new());
    assert!(!used.is_empty());
}

pub(crate) fn alerts() -> BTreeSet<String> {
    let rules = read("observability/alerts.yaml");
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(!alerts.is_empty(), "no alerts");
    alerts
}
