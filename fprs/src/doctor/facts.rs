//! Gathers the facts about this machine: binds and lets go, reads what the kernel says, asks control.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_config::StoreAddress;
use rustix::process::{Resource, getrlimit};
use serde_json::Value;

use super::Facts;
use crate::client::Client;
use crate::data_dir::{self, DataDir};
use crate::edge::program::Program;
use crate::settings::{Role, Settings};

/// All of them, for that role.
pub fn gather(settings: &Settings, role: Role) -> Facts {
    let listens = !matches!(role, Role::Control | Role::Autoscaler);
    let mut ports = vec![("admin", settings.admin)];
    if listens {
        ports.insert(0, ("listen", settings.listen));
    }
    let data_dir = DataDir::open(&settings.data_dir).map(drop);
    let data_dir = data_dir.map_err(|failure| failure.to_string());
    let (store, clock_off) = match settings.control.first() {
        Some(control) => control_of(settings, role, control),
        None => (own_store(settings), None),
    };
    Facts {
        ports: ports
            .into_iter()
            .map(|(name, address)| (name, address, free(address)))
            .collect(),
        data_dir: Some(data_dir),
        store: Some(store),
        clock_off,
        unix_seconds: unix_seconds(),
        open_files: open_files(),
        backlog: number("/proc/sys/net/core/somaxconn"),
        local_ports: local_ports(),
        memory: memory(),
        buffer_limit: u64::try_from(settings.buffer_limit).unwrap_or(u64::MAX),
        quota: quota(),
        cores: settings.cores,
        envoy: (role == Role::Up).then(envoy),
    }
}

fn free(address: SocketAddr) -> Result<(), String> {
    TcpListener::bind(address)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Whether the first control process answers to the token, and how far its clock is from ours.
fn control_of(
    settings: &Settings,
    role: Role,
    control: &str,
) -> (Result<String, String>, Option<Duration>) {
    let token = match &settings.admin_token {
        Some(token) => Some(token.expose().to_owned()),
        None => data_dir::token(&settings.data_dir).ok().flatten(),
    };
    let Some(token) = token else {
        return (Err("there is no admin token".to_owned()), None);
    };
    let client = Client::at(control, &token);
    let answers = || format!("control at {control} answers");
    // A worker's token attaches a relay and nothing else.
    if role == Role::Relay {
        let alive = client.stream("/livez").map(|_| answers());
        return (alive.map_err(|failure| failure.to_string()), None);
    }
    match client.get(NOBODY) {
        Ok(status) => {
            let theirs = status.get("now_unix_ms").and_then(Value::as_u64);
            let off = theirs.map(|theirs| (theirs / 1000).abs_diff(unix_seconds()));
            (Ok(answers()), off.map(Duration::from_secs))
        }
        Err(failure) => (Err(failure.to_string()), None),
    }
}

/// Control's clock, and next to no server.
const NOBODY: &str = "/v1/status?like=--";

/// Only whether it is there: whoever opens it may change it.
fn own_store(settings: &Settings) -> Result<String, String> {
    let file = match &settings.store {
        None => settings.data_dir.join("store.redb"),
        Some(StoreAddress::Embedded(path)) => path.clone(),
        Some(other) => return Ok(format!("{other:?}: `fprs store check` looks at it")),
    };
    match fs::File::open(&file) {
        Ok(_) => Ok(format!("`{}` can be read", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(format!("`{}` will be made", file.display()))
        }
        Err(error) => Err(format!("`{}`: {error}", file.display())),
    }
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn open_files() -> Option<(u64, u64)> {
    let limit = getrlimit(Resource::Nofile);
    // No limit at all is enough.
    Some((
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    ))
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn local_ports() -> Option<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some(last.saturating_sub(first))
}

/// The container's limit, else the machine's.
fn memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    });
    let container = number("/sys/fs/cgroup/memory.max");
    machine.into_iter().chain(container).min()
}

/// CPUs the container may use at most.
fn quota() -> Option<f64> {
    let text = fs::read_to_string("/sys/fs/cgroup/cpu.max").ok()?;
    let mut parts = text.split_whitespace().map(str::parse::<f64>);
    let (quota, period) = (parts.next()?.ok()?, parts.next()?.ok()?);
    Some(quota / period)
}

fn envoy() -> Result<String, String> {
    let program = Program::find(None).map_err(|failure| failure.to_string())?;
    Ok(format!("`{}`", program.path().display()))
}
