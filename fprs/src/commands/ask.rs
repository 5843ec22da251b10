//! What users ask of a running plane: deploy, look, read logs, delete.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use fprs_config::manifest::Manifest;
use serde_json::Value;

use crate::cli::rollouts::Stage;
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

/// Reads a manifest and deploys it.
pub(super) fn deploy(path: &Path, stage: &Stage, target: &Target) -> Result<(), Failure> {
    let manifest = read_manifest(path)?;
    let server = deploy_to(&Client::find(target)?.staging(stage), &manifest)?;
    if let Some(staged) = staged(&server) {
        return print(&staged);
    }
    let generation = server
        .get("generation")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    print(&format!(
        "{} version {generation} deployed: {}\n",
        text(&server, "name"),
        text(&server, "url")
    ))
}

/// Deploys to a plane that is known.
pub(super) fn deploy_to(client: &Client, manifest: &Manifest) -> Result<Value, Failure> {
    client.put(&format!("/v1/servers/{}", manifest.name()), manifest)
}

/// A manifest, with its directory as the one its command runs in.
pub(super) fn read_manifest(path: &Path) -> Result<Manifest, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(format!("manifest `{}`: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let manifest = Manifest::from_toml(&text).map_err(|error| wrong(&error))?;
    let directory = path
        .canonicalize()
        .ok()
        .and_then(|path| path.parent().map(Path::to_path_buf))
        .unwrap_or_default();
    manifest
        .in_directory(&directory)
        .map_err(|error| wrong(&error))
}

/// Lists the servers.
pub(super) fn servers(target: &Target, output: Output) -> Result<(), Failure> {
    let servers = Client::find(target)?.get("/v1/servers")?;
    if output.json {
        return print_json(&servers);
    }
    let mut table = Table::new(&["NAME", "VERSION", "READY", "STARTING", "DRAINING", "URL"]);
    for server in items(&servers) {
        let count = |state| at(server, &["replicas", state]);
        table.row([
            text(server, "name").to_owned(),
            at(server, &["generation"]),
            count("ready"),
            count("starting"),
            count("draining"),
            text(server, "url").to_owned(),
        ]);
    }
    print(&table.to_string())
}

/// Shows one server.
pub(super) fn server(name: &str, target: &Target, output: Output) -> Result<(), Failure> {
    let server = Client::find(target)?.get(&format!("/v1/servers/{}", segment(name)))?;
    if output.json {
        return print_json(&server);
    }
    let mut lines = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String can't fail.
        writeln!(lines, "{name:<12} {value}").ok();
    };
    line("name", text(&server, "name"));
    line("url", text(&server, "url"));
    for domain in items(server.get("domains").unwrap_or_default()) {
        line("domain", domain.as_str().unwrap_or_default());
    }
    let proven = server.get("proven") == Some(&Value::Bool(true));
    line(
        "version",
        &format!(
            "{}{}",
            at(&server, &["generation"]),
            if proven { "" } else { " (not ready yet)" }
        ),
    );
    line(
        "replicas",
        &format!(
            "{} ready, {} starting, {} draining",
            at(&server, &["replicas", "ready"]),
            at(&server, &["replicas", "starting"]),
            at(&server, &["replicas", "draining"])
        ),
    );
    for key in [
        "command",
        "image",
        "target_concurrency",
        "min_replicas",
        "max_replicas",
    ] {
        let value = at(&server, &["spec", key]);
        if !value.is_empty() {
            line(&key.replace('_', " "), &value);
        }
    }
    if let Some(problem) = server.get("problem").and_then(Value::as_str) {
        line("problem", problem);
    }
    print(&lines)
}

/// Lists a server's replicas.
pub(super) fn replicas(
    name: &str,
    all: bool,
    target: &Target,
    output: Output,
) -> Result<(), Failure> {
    let query = if all { "?all=true" } else { "" };
    let path = format!("/v1/servers/{}/replicas{query}", segment(name));
    let replicas = Client::find(target)?.get(&path)?;
    if output.json {
        return print_json(&replicas);
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut table = Table::new(&[
        "ID",
        "STATE",
        "VERSION",
        "IN FLIGHT",
        "ADDRESS",
        "SINCE",
        "REASON",
    ]);
    for replica in items(&replicas) {
        let since = replica
            .get("since_unix_ms")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        table.row([
            text(replica, "id").to_owned(),
            text(replica, "state").to_owned(),
            at(replica, &["generation"]),
            at(replica, &["in_flight"]),
            text(replica, "address").to_owned(),
            format!("{}s", now.saturating_sub(since / 1_000)),
            text(replica, "reason").to_owned(),
        ]);
    }
    print(&table.to_string())
}

/// Shows what replicas print.
pub(super) fn logs(
    name: &str,
    lines: u32,
    follow: bool,
    replica: Option<&str>,
    target: &Target,
) -> Result<(), Failure> {
    let mut path = format!(
        "/v1/servers/{}/logs?lines={lines}&follow={follow}",
        segment(name)
    );
    if let Some(replica) = replica {
        path.push_str("&replica=");
        path.push_str(&segment(replica));
    }
    let mut from = Client::find(target)?.stream(&path)?;
    let mut to = std::io::stdout().lock();
    let mut buffer = [0; 8 * 1024];
    loop {
        let read = from
            .read(&mut buffer)
            .map_err(|error| Failure::new(format!("the log stream broke: {error}")))?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        // Whoever reads us may close early, as `head` does; that is no failure.
        if to.write_all(bytes).and_then(|()| to.flush()).is_err() {
            return Ok(());
        }
    }
}

/// Deletes a server.
pub(super) fn delete(name: &str, target: &Target) -> Result<(), Failure> {
    Client::find(target)?.delete(&format!("/v1/servers/{}", segment(name)))?;
    print(&format!(
        "{name} deleted; its replicas end what they are doing\n"
    ))
}

/// What is said of a write that came in force in some cells only.
pub(super) fn staged(answer: &Value) -> Option<String> {
    let accepted = answer.get("status").and_then(Value::as_u64) == Some(202);
    accepted.then(|| format!("{}; {}\n", text(answer, "detail"), text(answer, "remedy")))
}

/// A name as one segment of a path: what isn't plain becomes a percent code.
pub(super) fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            write!(segment, "%{byte:02X}").ok();
        }
    }
    segment
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The value at a path of keys, as a person would write it.
pub(super) fn at(value: &Value, path: &[&str]) -> String {
    match path.iter().try_fold(value, |value, key| value.get(key)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| at(item, &[]))
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => other.to_string(),
    }
}

pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::new)?;
    print(&format!("{text}\n"))
}

pub(super) fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("can't print: {error}")))
        }
        _ => Ok(()),
    }
}
