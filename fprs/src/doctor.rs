//! PURE. What is wrong with a machine for a role, from the facts about it: what can't run is broken,
//! what will hurt under load is advice. Each finding says what to change.

pub mod facts;

use std::net::SocketAddr;
use std::time::Duration;

use crate::settings::Role;

/// What was seen of a machine; `None` where it can't be known.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Addresses to listen at, and why one can't be.
    pub ports: Vec<(&'static str, SocketAddr, Result<(), String>)>,
    /// Whether the data dir can be written to, or why not.
    pub data_dir: Option<Result<(), String>>,
    /// Whether control, or the store, can be used, or why not.
    pub store: Option<Result<String, String>>,
    /// How far this clock is from control's; `None` without one.
    pub clock_off: Option<Duration>,
    /// Seconds since 1970, by this clock.
    pub unix_seconds: u64,
    /// Files a process may have open: what it has, and what it may ask for.
    pub open_files: Option<(u64, u64)>,
    /// `net.core.somaxconn`.
    pub backlog: Option<u64>,
    /// How many local ports connections may come from.
    pub local_ports: Option<u64>,
    /// Memory there is, of the machine or the container, in bytes.
    pub memory: Option<u64>,
    /// For what exchanges hold that can't go on, in bytes.
    pub buffer_limit: u64,
    /// CPUs the container may use, where it is limited.
    pub quota: Option<f64>,
    /// Threads of the data plane.
    pub cores: usize,
    /// Envoy's binary, or what is missing; `None` where none is needed.
    pub envoy: Option<Result<String, String>>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It will hurt.
    Advice,
    /// The role would not run.
    Broken,
    /// As it should be.
    Good,
}

impl Health {
    /// In output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Broken => "broken",
            Self::Good => "good",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub health: Health,
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What to change.
    pub remedy: Option<String>,
}

/// A proxy that is worth its cores has thousands of clients, each with a connection.
const OPEN_FILES: u64 = 65_536;
/// Clients that all come back at once wait here; what the listeners ask for.
const BACKLOG: u64 = 4_096;
/// Connections from one address to one relay.
const LOCAL_PORTS: u64 = 20_000;
/// Tokens expire, and leases are compared, by the clock.
const CLOCK_OFF: Duration = Duration::from_secs(5);
/// No machine's clock says an earlier time by right: 2025-01-01.
const CLOCK_SET: u64 = 1_735_689_600;

/// What there is to say of a machine that is to run that role.
pub fn examine(role: Role, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, address, bound) in &facts.ports {
        findings.push(match bound {
            Ok(()) => good("port", format!("{address} ({name}) is free")),
            Err(why) => broken(
                "port",
                format!("{address} ({name}): {why}"),
                format!("give another one with --{name}, or end what has it"),
            ),
        });
    }
    if let Some(usable) = &facts.data_dir {
        findings.push(match usable {
            Ok(()) => good("data dir", "can be written to".to_owned()),
            Err(why) => broken(
                "data dir",
                why.clone(),
                "give one with --data-dir".to_owned(),
            ),
        });
    }
    if let Some(store) = &facts.store {
        findings.push(match store {
            Ok(found) => good("store", found.clone()),
            Err(why) => broken("store", why.clone(), remedy_of_store(role)),
        });
    }
    findings.push(clock(facts));
    findings.extend(limits(role, facts));
    if let Some(envoy) = &facts.envoy {
        findings.push(match envoy {
            Ok(version) => good("envoy", version.clone()),
            Err(why) => advice("envoy", why.clone(), "only --edge needs it".to_owned()),
        });
    }
    findings
}

fn remedy_of_store(role: Role) -> String {
    match role {
        Role::Control | Role::Up => "correct --store; `fprs store check` says more".to_owned(),
        Role::Autoscaler | Role::Proxy | Role::Relay => {
            "correct --control and FPRS_ADMIN_TOKEN, or start control".to_owned()
        }
    }
}

fn clock(facts: &Facts) -> Finding {
    let keep = || "keep it by NTP, e.g. chrony: tokens expire by the clock".to_owned();
    if facts.unix_seconds < CLOCK_SET {
        return broken("clock", "was never set".to_owned(), keep());
    }
    match facts.clock_off {
        Some(off) if off > CLOCK_OFF => advice(
            "clock",
            format!("{} s from control's", off.as_secs()),
            keep(),
        ),
        Some(_) => good("clock", "agrees with control's".to_owned()),
        None => good(
            "clock",
            "is set; there was no other to compare it with".to_owned(),
        ),
    }
}

fn limits(role: Role, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some((have, may)) = facts.open_files {
        let how = if may >= OPEN_FILES {
            format!("ulimit -n {OPEN_FILES}, or LimitNOFILE={OPEN_FILES} in the unit")
        } else {
            format!("LimitNOFILE={OPEN_FILES} in the unit, or nofile in /etc/security/limits.conf")
        };
        let found = format!("{have} open files; each connection is one");
        findings.push(enough("limits", have >= OPEN_FILES, found, how));
    }
    if matches!(role, Role::Autoscaler | Role::Control) {
        return findings;
    }
    if let Some(backlog) = facts.backlog {
        let found = format!("net.core.somaxconn is {backlog}");
        let how = format!("sysctl -w net.core.somaxconn={BACKLOG}");
        findings.push(enough("kernel", backlog >= BACKLOG, found, how));
    }
    if let Some(ports) = facts.local_ports {
        let found = format!("{ports} local ports (net.ipv4.ip_local_port_range)");
        let how = "sysctl -w net.ipv4.ip_local_port_range='10240 65535'".to_owned();
        findings.push(enough("kernel", ports >= LOCAL_PORTS, found, how));
    }
    if let Some(memory) = facts.memory {
        let fits = facts.buffer_limit.saturating_mul(2) <= memory;
        let found = format!(
            "{} MiB of memory, of which stalled exchanges may hold {}",
            memory >> 20,
            facts.buffer_limit >> 20
        );
        let how = format!("--buffer-limit {}MiB: half of it", (memory / 2) >> 20);
        findings.push(enough("memory", fits, found, how));
    }
    let cores = u32::try_from(facts.cores).unwrap_or(u32::MAX);
    if let Some(quota) = facts.quota {
        let found = format!("{cores} threads on {quota} CPUs");
        let how = "--cores of at most that: a thread that is throttled freezes who is on it";
        findings.push(enough(
            "cpu",
            f64::from(cores) <= quota.max(1.0),
            found,
            how.to_owned(),
        ));
    }
    findings
}

fn good(what: &'static str, found: String) -> Finding {
    Finding {
        health: Health::Good,
        what,
        found,
        remedy: None,
    }
}

fn advice(what: &'static str, found: String, remedy: String) -> Finding {
    Finding {
        health: Health::Advice,
        remedy: Some(remedy),
        ..good(what, found)
    }
}

fn broken(what: &'static str, found: String, remedy: String) -> Finding {
    Finding {
        health: Health::Broken,
        ..advice(what, found, remedy)
    }
}

fn enough(what: &'static str, enough: bool, found: String, remedy: String) -> Finding {
    if enough {
        good(what, found)
    } else {
        advice(what, found, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Facts {
        Facts {
            ports: vec![("listen", ([127, 0, 0, 1], 8080).into(), Ok(()))],
            data_dir: Some(Ok(())),
            store: Some(Ok("a new one".to_owned())),
            clock_off: Some(Duration::from_secs(1)),
            unix_seconds: CLOCK_SET,
            open_files: Some((OPEN_FILES, OPEN_FILES)),
            backlog: Some(BACKLOG),
            local_ports: Some(28_232),
            memory: Some(4 << 30),
            buffer_limit: 1 << 30,
            quota: Some(2.0),
            cores: 2,
            envoy: Some(Ok("1.40.0".to_owned())),
        }
    }

    fn worst(role: Role, facts: &Facts) -> Vec<(Health, &'static str)> {
        let findings = examine(role, facts);
        let worse = findings.iter().filter(|one| one.health != Health::Good);
        worse
            .inspect(|one| assert!(one.remedy.is_some(), "{one:?}"))
            .map(|one| (one.health, one.what))
            .collect()
    }

    #[test]
    fn a_machine_that_is_fit_gets_no_advice() {
        for role in [
            Role::Up,
            Role::Proxy,
            Role::Control,
            Role::Autoscaler,
            Role::Relay,
        ] {
            assert_eq!(worst(role, &healthy()), []);
        }
    }

    #[test]
    fn every_fault_is_found_with_what_to_change() {
        use Health::{Advice, Broken};
        type Damage = fn(&mut Facts);
        let table: [(Damage, Health, &str); 11] = [
            (
                |facts| facts.ports[0].2 = Err("taken".to_owned()),
                Broken,
                "port",
            ),
            (
                |facts| facts.data_dir = Some(Err("read-only".to_owned())),
                Broken,
                "data dir",
            ),
            (
                |facts| facts.store = Some(Err("silent".to_owned())),
                Broken,
                "store",
            ),
            (|facts| facts.unix_seconds = 0, Broken, "clock"),
            (
                |facts| facts.clock_off = Some(Duration::from_secs(60)),
                Advice,
                "clock",
            ),
            (
                |facts| facts.open_files = Some((1_024, 4_096)),
                Advice,
                "limits",
            ),
            (|facts| facts.backlog = Some(128), Advice, "kernel"),
            (|facts| facts.local_ports = Some(1_000), Advice, "kernel"),
            (|facts| facts.memory = Some(1 << 30), Advice, "memory"),
            (|facts| facts.cores = 64, Advice, "cpu"),
            (
                |facts| facts.envoy = Some(Err("none".to_owned())),
                Advice,
                "envoy",
            ),
        ];
        for (damage, health, what) in table {
            let mut facts = healthy();
            damage(&mut facts);
            assert_eq!(worst(Role::Up, &facts), [(health, what)]);
        }
    }
}
