//! What users ask about splits.

use serde_json::{Value, json};

use super::ask::{at, items, print, print_json, segment, text};
use crate::cli::splits::{AddSplit, SplitCommand};
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

pub(super) fn split(command: SplitCommand) -> Result<(), Failure> {
    match command {
        SplitCommand::Add(split) => add(&split),
        SplitCommand::List { target, output } => list(&target, output),
        SplitCommand::Pause { name, target } => {
            order(&target, &name, "pause")?;
            print(&format!("split {name} paused\n"))
        }
        SplitCommand::Resume { name, target } => {
            order(&target, &name, "resume")?;
            print(&format!("split {name} goes on\n"))
        }
        SplitCommand::Remove { name, target } => {
            Client::find(&target)?.delete(&format!("/v1/splits/{}", segment(&name)))?;
            print(&format!("split {name} removed\n"))
        }
    }
}

fn add(split: &AddSplit) -> Result<(), Failure> {
    let AddSplit {
        server, variant, ..
    } = split;
    let name = split.name.clone();
    let name = name.unwrap_or_else(|| format!("{server}-or-{variant}"));
    let spec = json!({
        "server": server, "variant": variant, "percent": split.percent, "key": split.key,
        "salt": split.salt,
    });
    let path = format!("/v1/splits/{}", segment(&name));
    let made = Client::find(&split.target)?.put(&path, &spec)?;
    print(&format!(
        "split {name}: {} % of {server} by {} is served by {variant}\n",
        at(&made, &["percent"]),
        text(&made, "key"),
    ))
}

fn order(target: &Target, name: &str, order: &str) -> Result<Value, Failure> {
    let path = format!("/v1/splits/{}/{order}", segment(name));
    Client::find(target)?.post(&path, &json!({}))
}

fn list(target: &Target, output: Output) -> Result<(), Failure> {
    let splits = Client::find(target)?.get("/v1/splits")?;
    if output.json {
        return print_json(&splits);
    }
    let mut table = Table::new(&["NAME", "SERVER", "VARIANT", "PERCENT", "KEY", "PAUSED"]);
    for split in items(&splits) {
        let paused = split.get("paused").and_then(Value::as_bool) == Some(true);
        table.row([
            text(split, "name").to_owned(),
            text(split, "server").to_owned(),
            text(split, "variant").to_owned(),
            at(split, &["percent"]),
            text(split, "key").to_owned(),
            if paused { "yes" } else { "no" }.to_owned(),
        ]);
    }
    print(&table.to_string())
}
