//! `fprs mirror report`: what all proxies have seen of a mirror, beside a baseline where there is one.

use serde_json::{Value, json};

use super::noise::{Share, Verdict, verdict};
use super::refused;
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::commands::ask::{at, items, print, print_json, segment, text};
use crate::failure::Failure;
use crate::table::Table;

/// Examples shown; all that are kept are in the JSON.
const EXAMPLES: usize = 20;

pub(super) fn report(
    name: &str,
    baseline: Option<&str>,
    target: &Target,
    output: Output,
) -> Result<(), Failure> {
    let client = Client::find(target)?;
    let seen = |name: &str| client.get(&format!("/v1/mirrors/{}/report", segment(name)));
    let mut report = seen(name)?;
    let baseline = match baseline {
        Some(baseline) => Some(baseline.to_owned()),
        None => own_baseline(&client.get("/v1/mirrors")?, name),
    };
    if let Some(baseline) = baseline {
        let baseline = seen(&baseline)?;
        beside(&mut report, baseline);
    }
    if output.json {
        return print_json(&report);
    }
    print(&shown(&report))
}

/// The mirror of the same server to itself, if there is one and it isn't the one that is asked about.
fn own_baseline(mirrors: &Value, name: &str) -> Option<String> {
    let of = |name: &str| {
        items(mirrors)
            .iter()
            .find(|found| text(found, "name") == name)
    };
    let server = text(of(name)?, "server");
    let same = |mirror: &&Value| {
        text(mirror, "server") == server
            && text(mirror, "shadow") == server
            && text(mirror, "name") != name
    };
    let found = items(mirrors).iter().find(same)?;
    Some(text(found, "name").to_owned())
}

/// Adds the baseline, and of every difference whether it is more than noise.
fn beside(report: &mut Value, baseline: Value) {
    let places = places(report);
    let judged = places.map(|(part, place, found)| {
        let noise = share(&baseline, &part, &place);
        let verdict = verdict(found, noise);
        json!({
            "part": part, "at": place, "count": found.count, "baseline": noise.count,
            "verdict": verdict.map(Verdict::name),
        })
    });
    let judged: Vec<_> = judged.collect();
    if let Some(report) = report.as_object_mut() {
        report.insert("noise".to_owned(), judged.into());
        report.insert("baseline".to_owned(), baseline);
    }
}

/// All differing answers together, those that differ in a part, and those at a place, in this order.
fn places(report: &Value) -> impl Iterator<Item = (String, String, Share)> {
    let of = count(report, "compared");
    let all = (String::new(), String::new(), count(report, "different"));
    let parts = report.get("parts").and_then(Value::as_object);
    let parts = parts.into_iter().flatten();
    let parts = parts.map(|(part, count)| {
        let count = count.as_u64().unwrap_or_default();
        (part.clone(), String::new(), count)
    });
    let places = items(report.get("places").unwrap_or(&Value::Null)).iter();
    let places = places.map(|place| {
        let owned = |key| text(place, key).to_owned();
        (owned("part"), owned("at"), count(place, "count"))
    });
    let all = std::iter::once(all).chain(parts).chain(places);
    let all: Vec<_> = all
        .map(|(part, place, count)| (part, place, Share { count, of }))
        .collect();
    all.into_iter()
}

fn share(report: &Value, part: &str, place: &str) -> Share {
    let none = Share {
        count: 0,
        of: count(report, "compared"),
    };
    let same = |found: &(String, String, Share)| found.0 == part && found.1 == place;
    places(report)
        .find(same)
        .map_or(none, |(_, _, share)| share)
}

fn count(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn shown(report: &Value) -> String {
    let mut shown = format!(
        "compared {}: {} the same, {} different, {} skipped; {} in flight\n",
        at(report, &["compared"]),
        at(report, &["same"]),
        at(report, &["different"]),
        at(report, &["skipped"]),
        at(report, &["in_flight"]),
    );
    if let Some(proxies) = report.get("proxies") {
        shown += &format!("proxies that answered: {}\n", at(proxies, &["answered"]));
        for silent in items(proxies.get("silent").unwrap_or(&Value::Null)) {
            let (proxy, why) = (text(silent, "proxy"), text(silent, "why"));
            shown += &format!("not counted: {proxy}: {why}\n");
        }
    }
    if let Some(baseline) = report.get("baseline") {
        shown += &format!(
            "baseline {}: compared {}, {} different\n",
            text(baseline, "mirror"),
            at(baseline, &["compared"]),
            at(baseline, &["different"]),
        );
    }
    shown += &format!("\n{}\n{}\n", ends(report), times(report));
    shown += &format!("{}\n", differences(report));
    for (what, told) in refused(report) {
        shown += &format!(
            "{what} are not copied ({} so far): {}\n",
            at(told, &["count"]),
            text(told, "reason"),
        );
    }
    let examples = items(report.get("examples").unwrap_or(&Value::Null)).iter();
    for example in examples.rev().take(EXAMPLES) {
        shown += &told(example);
    }
    shown
}

fn ends(report: &Value) -> Table<2> {
    let mut table = Table::new(&["COPIES", "COUNT"]);
    let ends = report.get("ends").and_then(Value::as_object);
    for (end, count) in ends.into_iter().flatten() {
        table.row([end.clone(), count.to_string()]);
    }
    table
}

fn times(report: &Value) -> Table<6> {
    let mut table = Table::new(&["MS TO", "ANSWER OF", "P50", "P90", "P99", "MAX"]);
    for (what, key) in [("first byte", "first_byte_ms"), ("end", "whole_ms")] {
        let sides = [
            ("primary", report.get(key), "primary"),
            ("shadow", report.get(key), "shadow"),
            (
                "baseline",
                report
                    .get("baseline")
                    .and_then(|baseline| baseline.get(key)),
                "shadow",
            ),
        ];
        for (name, times, side) in sides {
            let Some(times) = times else {
                continue;
            };
            let ms = |quantile| at(times, &[side, quantile]);
            table.row([
                what.to_owned(),
                name.to_owned(),
                ms("p50"),
                ms("p90"),
                ms("p99"),
                ms("max"),
            ]);
        }
    }
    table
}

fn differences(report: &Value) -> Table<6> {
    let mut table = Table::new(&["DIFFERENCES IN", "AT", "ANSWERS", "%", "BASELINE %", "IS"]);
    let baseline = report.get("baseline");
    for (part, place, found) in places(report) {
        if found.count == 0 {
            continue;
        }
        let noise = baseline.map(|baseline| share(baseline, &part, &place));
        let is = noise.and_then(|noise| verdict(found, noise));
        table.row([
            if part.is_empty() { "answers" } else { &part }.to_owned(),
            place,
            found.count.to_string(),
            found.percent(),
            noise.map_or_else(String::new, Share::percent),
            is.map_or("", Verdict::words).to_owned(),
        ]);
    }
    table
}

fn told(example: &Value) -> String {
    let mut told = format!(
        "{} ({})\n",
        text(example, "request"),
        at(example, &["request_id"])
    );
    for found in items(example.get("differences").unwrap_or(&Value::Null)) {
        told += &format!(
            "  {} {}\n    server: {}\n    shadow: {}\n",
            text(found, "part"),
            text(found, "at"),
            text(found, "primary"),
            text(found, "shadow"),
        );
    }
    told
}
