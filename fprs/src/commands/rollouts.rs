//! What users ask about records that are staged for some cells first.

use serde_json::{Value, json};

use super::ask::{at, items, print, print_json, text};
use crate::cli::rollouts::RolloutCommand;
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

pub(super) fn rollout(command: RolloutCommand) -> Result<(), Failure> {
    match command {
        RolloutCommand::List { target, output } => list(&target, output),
        RolloutCommand::Promote { set, target } => {
            order(&target, &set, "promote")?;
            print(&format!("{set} is in force everywhere\n"))
        }
        RolloutCommand::Back { set, target } => {
            order(&target, &set, "back")?;
            print(&format!("{set} is as it was everywhere\n"))
        }
    }
}

fn list(target: &Target, output: Output) -> Result<(), Failure> {
    let sets = Client::find(target)?.get("/v1/rollouts")?;
    if output.json {
        return print_json(&sets);
    }
    let mut table = Table::new(&["STAGED", "CELLS", "PERCENT", "RECORDS"]);
    for set in items(&sets) {
        let words = |key: &str| set.get(key).map(items).unwrap_or_default();
        let cells: Vec<_> = words("cells").iter().filter_map(Value::as_str).collect();
        let records = words("records").iter();
        let records: Vec<_> = records.map(|record| text(record, "record")).collect();
        table.row([
            text(set, "set").to_owned(),
            cells.join(","),
            at(set, &["percent"]),
            records.join(" "),
        ]);
    }
    print(&table.to_string())
}

fn order(target: &Target, set: &str, order: &str) -> Result<Value, Failure> {
    let path = format!("/v1/rollouts/{order}");
    Client::find(target)?.post(&path, &json!({ "set": set }))
}
