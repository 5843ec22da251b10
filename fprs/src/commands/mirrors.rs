//! What users ask about mirrors.

mod replay;

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{at, items, print, print_json, segment, staged, text};
use crate::cli::mirrors::{AddMirror, MirrorCommand};
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

pub(super) fn mirror(command: MirrorCommand) -> Result<(), Failure> {
    match command {
        MirrorCommand::Add(mirror) => add(&mirror),
        MirrorCommand::List { target, output } => list(&target, output),
        MirrorCommand::Report {
            name,
            target,
            output,
        } => report(&name, &target, output),
        MirrorCommand::Replay(replay) => replay::replay(&replay),
        MirrorCommand::Pause { name, target } => {
            order(&target, &name, "pause")?;
            print(&format!("mirror {name} paused\n"))
        }
        MirrorCommand::Resume { name, target } => {
            order(&target, &name, "resume")?;
            print(&format!("mirror {name} goes on\n"))
        }
        MirrorCommand::Remove {
            name,
            stage,
            target,
        } => {
            let client = Client::find(&target)?.staging(&stage);
            let gone = client.delete(&format!("/v1/mirrors/{}", segment(&name)))?;
            if let Some(staged) = staged(&gone) {
                return print(&staged);
            }
            print(&format!("mirror {name} removed\n"))
        }
    }
}

fn add(mirror: &AddMirror) -> Result<(), Failure> {
    let AddMirror { server, shadow, .. } = mirror;
    let name = mirror.name.clone();
    let name = name.unwrap_or_else(|| format!("{server}-to-{shadow}"));
    let deadline = mirror.deadline.as_deref().map(milliseconds).transpose()?;
    let compare = mirror
        .compare
        .then(|| json!({ "headers": mirror.compare_headers, "ignore": mirror.ignore }));
    let capture = mirror.capture.then(|| {
        json!({
            "headers": mirror.capture_headers, "redact": mirror.redact,
            "query": mirror.capture_query,
        })
    });
    let spec = json!({
        "server": server, "shadow": shadow, "percent": mirror.percent, "key": mirror.key,
        "salt": mirror.salt, "exchange_bytes": mirror.exchange_bytes, "copies": mirror.copies,
        "deadline_ms": deadline, "compare": compare, "capture": capture,
    });
    let path = format!("/v1/mirrors/{}", segment(&name));
    let client = Client::find(&mirror.target)?.staging(&mirror.stage);
    let made = client.put(&path, &spec)?;
    if let Some(staged) = staged(&made) {
        return print(&staged);
    }
    print(&format!(
        "mirror {name}: {} % of {server} by {} goes to {shadow}\n",
        at(&made, &["percent"]),
        text(&made, "key"),
    ))
}

fn milliseconds(text: &str) -> Result<u64, Failure> {
    let duration: Duration = humantime::parse_duration(text).map_err(|error| {
        Failure::usage(format!(
            "--deadline `{text}`: {error}; write it like `90s` or `5m`"
        ))
    })?;
    u64::try_from(duration.as_millis()).map_err(Failure::usage)
}

fn order(target: &Target, name: &str, order: &str) -> Result<Value, Failure> {
    let path = format!("/v1/mirrors/{}/{order}", segment(name));
    Client::find(target)?.post(&path, &json!({}))
}

fn list(target: &Target, output: Output) -> Result<(), Failure> {
    let mirrors = Client::find(target)?.get("/v1/mirrors")?;
    if output.json {
        return print_json(&mirrors);
    }
    let mut table = Table::new(&[
        "NAME", "SERVER", "SHADOW", "PERCENT", "KEY", "COMPARES", "PAUSED",
    ]);
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    for mirror in items(&mirrors) {
        table.row([
            text(mirror, "name").to_owned(),
            text(mirror, "server").to_owned(),
            text(mirror, "shadow").to_owned(),
            at(mirror, &["percent"]),
            text(mirror, "key").to_owned(),
            yes_or_no(mirror.get("compare").is_some()),
            yes_or_no(mirror.get("paused").and_then(Value::as_bool) == Some(true)),
        ]);
    }
    print(&table.to_string())
}

fn report(name: &str, target: &Target, output: Output) -> Result<(), Failure> {
    let path = format!("/v1/mirrors/{}/report", segment(name));
    let report = Client::find(target)?.get(&path)?;
    if output.json {
        return print_json(&report);
    }
    let mut text = format!(
        "compared {}: {} the same, {} different, {} skipped; {} in flight\n\n",
        at(&report, &["compared"]),
        at(&report, &["same"]),
        at(&report, &["different"]),
        at(&report, &["skipped"]),
        at(&report, &["in_flight"]),
    );
    text += &format!("{}\n", ends(&report));
    text += &format!("{}\n", times(&report));
    text += &format!("{}\n", places(&report));
    for example in items(report.get("examples").unwrap_or(&Value::Null))
        .iter()
        .rev()
    {
        text += &told(example);
    }
    print(&text)
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
        for side in ["primary", "shadow"] {
            let ms = |quantile| at(report, &[key, side, quantile]);
            table.row([
                what.to_owned(),
                side.to_owned(),
                ms("p50"),
                ms("p90"),
                ms("p99"),
                ms("max"),
            ]);
        }
    }
    table
}

fn places(report: &Value) -> Table<3> {
    let mut table = Table::new(&["DIFFERENCES IN", "AT", "ANSWERS"]);
    let parts = report.get("parts").and_then(Value::as_object);
    for (part, count) in parts.into_iter().flatten() {
        table.row([part.clone(), String::new(), count.to_string()]);
    }
    for place in items(report.get("places").unwrap_or(&Value::Null)) {
        table.row([
            text(place, "part").to_owned(),
            text(place, "at").to_owned(),
            at(place, &["count"]),
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
