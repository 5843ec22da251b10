//! What users ask about mirrors.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{at, items, print, print_json, segment, text};
use crate::cli::mirrors::{AddMirror, MirrorCommand};
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

pub(super) fn mirror(command: MirrorCommand) -> Result<(), Failure> {
    match command {
        MirrorCommand::Add(mirror) => add(&mirror),
        MirrorCommand::List { target, output } => list(&target, output),
        MirrorCommand::Pause { name, target } => {
            order(&target, &name, "pause")?;
            print(&format!("mirror {name} paused\n"))
        }
        MirrorCommand::Resume { name, target } => {
            order(&target, &name, "resume")?;
            print(&format!("mirror {name} goes on\n"))
        }
        MirrorCommand::Remove { name, target } => {
            Client::find(&target)?.delete(&format!("/v1/mirrors/{}", segment(&name)))?;
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
    let spec = json!({
        "server": server, "shadow": shadow, "percent": mirror.percent, "key": mirror.key,
        "salt": mirror.salt, "exchange_bytes": mirror.exchange_bytes, "copies": mirror.copies,
        "deadline_ms": deadline, "compare": compare,
    });
    let path = format!("/v1/mirrors/{}", segment(&name));
    let made = Client::find(&mirror.target)?.put(&path, &spec)?;
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
