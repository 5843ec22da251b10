//! What users ask about mirrors.

mod noise;
mod replay;
mod report;

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
            baseline,
            target,
            output,
        } => report::report(&name, baseline.as_deref(), &target, output),
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
        "NAME",
        "SERVER",
        "SHADOW",
        "PERCENT",
        "KEY",
        "COMPARES",
        "PAUSED",
        "NOT COPIED",
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
            refused(mirror)
                .map(|(what, _)| what)
                .collect::<Vec<_>>()
                .join(","),
        ]);
    }
    print(&table.to_string())
}

/// What a mirror does not copy, with the rest that is told of it.
fn refused(mirror: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let refused = mirror.get("not_copied").and_then(Value::as_object);
    let refused = refused.into_iter().flatten();
    refused.map(|(what, told)| (what.as_str(), told))
}
