//! What users ask the autoscaler that decides, and what they make of its records.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use fprs_autoscaler::simulate::{Knative, Pool, Simulated, simulate, svg};
use fprs_autoscaler::trace;
use fprs_config::ScalingChange;
use serde_json::Value;

use super::ask::{at, items, print, print_json, segment, text};
use crate::cli::scaling::AutoscalerCommand;
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

pub(super) fn run(command: AutoscalerCommand) -> Result<(), Failure> {
    match command {
        AutoscalerCommand::Why {
            name,
            target,
            output,
        } => why(&name, &target, output),
        AutoscalerCommand::Record {
            name,
            duration,
            target,
        } => record(&name, duration.as_deref(), &target),
        AutoscalerCommand::Simulate {
            trace,
            set,
            startup,
            svg,
            knative,
        } => {
            let change = ScalingChange::from_words(set.iter().map(String::as_str))
                .map_err(|wrong| Failure::usage(format!("--set: {wrong}")))?;
            let wish = Wish {
                change,
                startup: duration_of("startup", &startup)?,
                knative,
            };
            again(&trace, &wish, svg.as_deref())
        }
    }
}

/// The autoscaler that decides, found by what control says.
fn active(target: &Target) -> Result<Client, Failure> {
    let control = Client::find(target)?;
    let holder = control.get("/v1/autoscaler")?;
    Ok(control.elsewhere(text(&holder, "address")))
}

fn why(name: &str, target: &Target, output: Output) -> Result<(), Failure> {
    let path = format!("/v1/autoscaler/servers/{}/decisions", segment(name));
    let decisions = active(target)?.get(&path)?;
    if output.json {
        return print_json(&decisions);
    }
    let mut table = Table::new(&[
        "FROM",
        "LASTED",
        "WANTED",
        "HAD",
        "RULE",
        "LOAD",
        "IN FLIGHT",
        "WAITING",
        "UNSERVED",
        "TARGET",
        "TICK",
        "UP",
        "DOWN",
    ]);
    for decision in items(&decisions) {
        let input = |key: &str| at(decision, &["inputs", key]);
        let load = decision.pointer("/inputs/average").and_then(Value::as_f64);
        table.row([
            time(decision, "from_unix_ms"),
            lasted(decision),
            at(decision, &["wanted"]),
            at(decision, &["current"]),
            at(decision, &["rule"]),
            load.map_or_else(String::new, |load| format!("{load:.2}")),
            input("in_flight"),
            input("waiting"),
            input("unserved"),
            input("target"),
            input("tick"),
            input("up"),
            input("down"),
        ]);
    }
    print(&table.to_string())
}

fn time(decision: &Value, key: &str) -> String {
    let ms = decision.get(key).and_then(Value::as_u64);
    let time = ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
    time.map_or_else(String::new, |time| {
        humantime::format_rfc3339_millis(time).to_string()
    })
}

fn lasted(decision: &Value) -> String {
    let ms = |key: &str| decision.get(key).and_then(Value::as_u64);
    let (from, until) = (ms("from_unix_ms"), ms("until_unix_ms"));
    let lasted = until.zip(from);
    let lasted = lasted.map(|(until, from)| until.saturating_sub(from) as f64 / 1_000.0);
    lasted.map_or_else(String::new, |seconds| format!("{seconds:.1}s"))
}

/// Prints the decisions as they are made.
fn record(name: &str, duration: Option<&str>, target: &Target) -> Result<(), Failure> {
    let lasts = duration.map(|text| duration_of("for", text)).transpose()?;
    let path = format!("/v1/autoscaler/servers/{}/trace", segment(name));
    let lines = BufReader::new(active(target)?.stream(&path)?).lines();
    let begun = Instant::now();
    for line in lines {
        let line = line.map_err(|error| Failure::new(format!("the recording broke: {error}")))?;
        print(&format!("{line}\n"))?;
        if lasts.is_some_and(|lasts| begun.elapsed() >= lasts) {
            return Ok(());
        }
    }
    Err(Failure::new(
        "the autoscaler ended the recording: it no longer decides, or nobody read fast enough",
    ))
}

/// How to decide about a record again.
struct Wish {
    change: ScalingChange,
    startup: Duration,
    knative: bool,
}

fn again(trace: &Path, wish: &Wish, picture: Option<&Path>) -> Result<(), Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(format!("trace `{}`: {error}", trace.display()))
    };
    let text = std::fs::read_to_string(trace).map_err(|error| wrong(&error))?;
    let lines = trace::parse(&text).map_err(|error| wrong(&error))?;
    let simulated = simulate(&lines, &wish.change, wish.startup).map_err(|error| wrong(&error))?;
    if simulated.steps.is_empty() {
        return Err(wrong(
            &"it has no load; record one while the server is used",
        ));
    }
    let other = wish.knative.then(|| knative(&simulated, wish.startup));
    print(&summary(&simulated, wish, other.as_deref()))?;
    let Some(picture) = picture else {
        return Ok(());
    };
    let other = other.as_deref().map(|counts| ("Knative ready", counts));
    std::fs::write(picture, svg(&simulated, other))
        .map_err(|error| Failure::new(format!("can't write `{}`: {error}", picture.display())))?;
    print(&format!("picture     {}\n", picture.display()))
}

fn summary(simulated: &Simulated, wish: &Wish, other: Option<&[u32]>) -> String {
    let (compared, differ) = simulated.compared();
    let (ups, downs) = simulated.moves();
    let (replicas, crowded) = simulated.cost();
    let loads = simulated.steps.iter().map(|step| step.load);
    let peak = loads.fold(0.0, f64::max);
    let mut text = format!(
        "decisions   {}\npeak load   {peak:.2}\nreplicas    at most {}, grew {ups} times, shrank \
         {downs} times\nreplica·s   {replicas:.1}\nover target {crowded:.1} s\n",
        simulated.steps.len(),
        simulated.most(),
    );
    if compared > 0 && wish.change == ScalingChange::default() {
        text += &format!("recorded    {compared}, {differ} decided differently\n");
    }
    if let Some(counts) = other {
        let most = counts.iter().max().copied().unwrap_or(0);
        text += &format!("knative     at most {most} ready\n");
    }
    text
}

/// Pods that Knative would have had ready at each step.
fn knative(simulated: &Simulated, startup: Duration) -> Vec<u32> {
    let scaling = &simulated.scaling;
    let target = scaling.target_concurrency.unwrap_or(100.0);
    let mut knative = Knative::new(target, scaling.max_replicas);
    let (mut pool, mut ready) = (Pool::new(startup), 0);
    let steps = simulated.steps.iter();
    steps
        .map(|step| {
            let wanted = knative.decide(step.at_ms, step.load, ready);
            ready = pool.follow(step.at_ms, wanted);
            ready
        })
        .collect()
}

fn duration_of(flag: &str, text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text)
        .map_err(|error| Failure::usage(format!("--{flag} `{text}`: {error}; write it like `10s`")))
}
