//! A Prometheus that scrapes processes of a test, by the rules as they are but for their durations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use fprs_testkit::client::H1;
use fprs_testkit::{Process, TempDir, ports, until};
use serde_json::Value;

use crate::{SOON, named, read};

/// For every alert to fire, with the durations that tests have.
const PATIENCE: Duration = Duration::from_secs(90);

/// A threshold that is a duration.
const SILENCE: &str = "fprs_config_age_seconds > ";

#[test]
fn shortening_changes_durations_and_nothing_else() {
    let rule = "expr: rate(a_5m_total[5m]) > 0.05 # of 5m\nfor: 10m\nchanges(b[1h])\nfprs_config_age_seconds > 60\n";
    let short = "expr: rate(a_5m_total[5000ms]) > 0.05 # of 5m\nfor: 10000ms\nchanges(b[60000ms])\nfprs_config_age_seconds > 1\n";
    assert_eq!(shortened(rule, 60), short);
}

/// A Prometheus that scrapes the plane.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _dir: TempDir,
}

impl Prometheus {
    pub(crate) async fn start(targets: Vec<SocketAddr>) -> Self {
        let dir = TempDir::new().unwrap();
        let (every, divisor) = if soak() { ("1s", 6) } else { ("500ms", 60) };
        let rules = shortened(&read("observability/alerts.yaml"), divisor);
        std::fs::write(dir.path().join("alerts.yaml"), rules).unwrap();
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let config = format!(
            "global: {{ scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every} }}\n\
             rule_files: [alerts.yaml]\n\
             scrape_configs:\n  - job_name: fprs-plane\n    static_configs: [{{ targets: {targets:?} }}]\n"
        );
        let file = dir.path().join("prometheus.yaml");
        std::fs::write(&file, config).unwrap();
        let address = ports::unused();
        let mut command = std::process::Command::new("prometheus");
        command
            .arg("--config.file")
            .arg(file)
            .arg("--storage.tsdb.path")
            .arg(dir.path().join("data"))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn");
        let process = Process::spawn("prometheus", command, &dir.path().join("log"));
        let prometheus = Self {
            address,
            _process: process,
            _dir: dir,
        };
        until("everything is scraped", SOON, async || {
            let up = prometheus.ask("/api/v1/query?query=sum(up)").await?;
            let up = up["result"][0]["value"][1].as_str()?.to_owned();
            (up == targets.len().to_string()).then_some(())
        })
        .await;
        prometheus
    }

    /// Waits until each of them has fired.
    pub(crate) async fn fire(&self, mut wanted: BTreeSet<String>) {
        let mut fired = BTreeMap::new();
        let deadline = tokio::time::Instant::now() + patience();
        while !wanted.is_empty() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{wanted:?} don't fire; these do: {fired:#?}"
            );
            fired.extend(self.firing().await);
            wanted.retain(|alert| !fired.contains_key(alert));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for (alert, summary) in fired {
            println!("{alert}: {summary}");
        }
    }

    /// The alerts that fire now, with a summary of each.
    pub(crate) async fn firing(&self) -> BTreeMap<String, String> {
        let alerts = until("its alerts", SOON, async || {
            self.ask("/api/v1/alerts").await
        })
        .await;
        let alerts = alerts["alerts"].as_array().unwrap().clone().into_iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing
            .map(|alert| {
                let summary = alert["annotations"]["summary"].as_str().unwrap();
                let broken = ["{{", "<error", "<no value>"];
                assert!(!broken.iter().any(|word| summary.contains(word)), "{alert}");
                let name = alert["labels"]["alertname"].as_str().unwrap();
                (name.to_owned(), summary.to_owned())
            })
            .collect()
    }

    /// The metrics that were above zero at a look of the last minutes, in any process.
    pub(crate) async fn above_zero(&self) -> BTreeSet<String> {
        // last_over_time(({__name__=~"fprs_.+"} > 0)[5m:1s])
        let path = "/api/v1/query?query=last_over_time%28%28%7B__name__%3D~%22fprs_.%2B%22%7D%20%3E%200\
                    %29%5B5m%3A1s%5D%29";
        let found = until("its metrics", SOON, async || self.ask(path).await).await;
        let series = found["result"].as_array().unwrap().iter();
        let names = series.flat_map(|series| named(series["metric"]["__name__"].as_str().unwrap()));
        names.collect()
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let mut client = H1::connect(self.address).await.ok()?;
        let answer = client.get(&self.address.to_string(), path).await.ok()?;
        let mut answer: Value = serde_json::from_str(&answer.text()).ok()?;
        Some(answer["data"].take())
    }
}

/// The rules with every duration divided, and the silence that is too long.
fn shortened(rules: &str, divisor: u64) -> String {
    let mut short = String::new();
    let mut rest = rules;
    // Only there is a number with a unit a duration.
    while let Some(at) = ["for: ", "[", SILENCE]
        .iter()
        .filter_map(|it| rest.find(it).map(|at| at + it.len()))
        .min()
    {
        let (before, after) = rest.split_at(at);
        short += before;
        let digits = after.find(|letter: char| !letter.is_ascii_digit());
        let (number, unit) = after.split_at(digits.unwrap_or(0));
        rest = after;
        if before.ends_with(SILENCE) {
            let seconds: u64 = number.parse().unwrap();
            short += &(seconds / divisor).to_string();
            rest = unit;
            continue;
        }
        let seconds = match unit.chars().next() {
            Some('h') => 3600,
            Some('m') => 60,
            _ => 0,
        };
        if let (Ok(number), 1..) = (number.parse::<u64>(), seconds) {
            short += &format!("{}ms", number * seconds * 1000 / divisor);
            rest = &unit[1..];
        }
    }
    short + rest
}

fn patience() -> Duration {
    if soak() { 5 * PATIENCE } else { PATIENCE }
}

fn soak() -> bool {
    std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1")
}
