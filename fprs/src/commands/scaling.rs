//! What users change about scaling while a server runs, and how workers are emptied.

use std::time::{Duration, Instant};

use fprs_config::ScalingChange;
use serde_json::{Value, json};

use super::ask::{at, items, print, print_json, segment, text};
use crate::cli::scaling::{ScalingArgs, WorkerCommand};
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

/// Between two looks at a worker that drains.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Changes a server's settings, if any are given, and shows all of them.
pub(super) fn scale(
    name: &str,
    settings: &ScalingArgs,
    target: &Target,
    output: Output,
) -> Result<(), Failure> {
    let change = change(settings)?;
    let client = Client::find(target)?;
    let path = format!("/v1/servers/{}/scaling", segment(name));
    let resulting = if change == ScalingChange::default() {
        client.get(&path)?
    } else {
        client.patch(&path, &change)?
    };
    if output.json {
        return print_json(&resulting);
    }
    let mut lines = String::new();
    for (key, value) in resulting.as_object().into_iter().flatten() {
        let value = match value {
            Value::Null => "none".to_owned(),
            value => at(value, &[]),
        };
        lines += &format!("{key:<21} {value}\n");
    }
    print(&lines)
}

fn change(settings: &ScalingArgs) -> Result<ScalingChange, Failure> {
    let ScalingArgs {
        target_concurrency,
        min_replicas,
        max_replicas,
        buffer_replicas,
        scaleup_window,
        scaledown_window,
        scaleup_rate_limit,
        scaledown_rate_limit,
        pause,
        resume,
    } = settings;
    let given = [
        ("target_concurrency", target_concurrency),
        ("min_replicas", min_replicas),
        ("max_replicas", max_replicas),
        ("buffer_replicas", buffer_replicas),
        ("scaleup_window", scaleup_window),
        ("scaledown_window", scaledown_window),
        ("scaleup_rate_limit", scaleup_rate_limit),
        ("scaledown_rate_limit", scaledown_rate_limit),
    ];
    let given = given.into_iter();
    let mut words: Vec<String> = given
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)))
        .collect();
    if *pause || *resume {
        words.push(format!("paused={pause}"));
    }
    ScalingChange::from_words(words.iter().map(String::as_str)).map_err(Failure::usage)
}

/// Lists, empties and reuses workers.
pub(super) fn worker(command: WorkerCommand) -> Result<(), Failure> {
    match command {
        WorkerCommand::List { target, output } => list(&target, output),
        WorkerCommand::Drain {
            name,
            timeout,
            target,
        } => {
            let timeout = humantime::parse_duration(&timeout)
                .map_err(|error| Failure::usage(format!("--timeout `{timeout}`: {error}")))?;
            drain(&Client::find(&target)?, &name, timeout)
        }
        WorkerCommand::Resume { name, target } => {
            let path = format!("/v1/workers/{}/resume", segment(&name));
            Client::find(&target)?.post(&path, &json!({}))?;
            print(&format!("{name} takes replicas again\n"))
        }
    }
}

fn list(target: &Target, output: Output) -> Result<(), Failure> {
    let workers = Client::find(target)?.get("/v1/workers")?;
    if output.json {
        return print_json(&workers);
    }
    let mut table = Table::new(&["ID", "STATE", "REPLICAS", "CAPACITY", "REGION", "ADDRESS"]);
    for worker in items(&workers) {
        let is = |key: &str| worker.get(key) == Some(&Value::Bool(true));
        let state = match (is("attached"), is("draining")) {
            (false, _) => "away",
            (true, true) => "draining",
            (true, false) => "attached",
        };
        table.row([
            text(worker, "id").to_owned(),
            state.to_owned(),
            at(worker, &["replicas"]),
            at(worker, &["capacity"]),
            text(worker, "compute_region").to_owned(),
            text(worker, "address").to_owned(),
        ]);
    }
    print(&table.to_string())
}

/// Drains a worker and waits until its last replica is gone.
fn drain(client: &Client, name: &str, timeout: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    client.post(&format!("/v1/workers/{}/drain", segment(name)), &json!({}))?;
    let mut told = None;
    loop {
        let workers = client.get("/v1/workers")?;
        let mut known = items(&workers).iter();
        let worker = known.find(|worker| text(worker, "id") == name);
        let left = worker.and_then(|worker| worker.get("replicas")?.as_u64());
        match left {
            Some(left) if left > 0 => {
                if told.replace(left) != Some(left) {
                    print(&format!("{left} replicas left on {name}\n"))?;
                }
            }
            _ => return print(&format!("nothing is left on {name}\n")),
        }
        if begun.elapsed() >= timeout {
            return Err(Failure::new(format!(
                "replicas are left on `{name}`; it drains on, and `fprs server` says what a server \
                 waits for"
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
