//! The proxies under test: how each is found, set up and started, all on the same core.
//!
//! A proxy takes one of the [`Pair`]s it can do, an origin and a folder for its files, and
//! becomes a process that listens on a loopback port.

pub mod edge;
pub mod envoy;
pub mod fprs;
pub mod haproxy;
pub mod nginx;
pub mod own;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    cases::{Case, Shadow},
    load::session::Protocol,
};

/// The core of the proxy under test.
pub const PROXY_CORE: u32 = 0;
/// The core of everything else: the generator and the origin.
pub const OTHER_CORE: u32 = 1;
/// How long a proxy may take until it listens; under valgrind some take half a minute.
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The protocols on both sides of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// Client to proxy.
    pub down: Protocol,
    /// Proxy to origin.
    pub up: Protocol,
}

impl Pair {
    /// HTTP/2 on both sides.
    pub const H2_H2: Self = Self {
        down: Protocol::H2,
        up: Protocol::H2,
    };
    /// HTTP/1.1 to HTTP/2.
    pub const H1_H2: Self = Self {
        down: Protocol::H1,
        up: Protocol::H2,
    };
    /// HTTP/2 to HTTP/1.1.
    pub const H2_H1: Self = Self {
        down: Protocol::H2,
        up: Protocol::H1,
    };
    /// HTTP/1.1 on both sides.
    pub const H1_H1: Self = Self {
        down: Protocol::H1,
        up: Protocol::H1,
    };

    /// As in the names of cases: `h2-h1`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}-{}", self.down.name(), self.up.name())
    }
}

/// What a proxy needs to know to start.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The protocols to speak.
    pub pair: Pair,
    /// The origin.
    pub upstream: SocketAddr,
    /// A folder of its own for configuration and logs.
    pub folder: &'a Path,
    /// The origin's own arguments, for a proxy that runs it itself.
    pub backend: &'a [String],
    /// Words to put before the command: how it is pinned, or run under valgrind.
    pub wrapper: &'a [String],
    /// Threads to serve with.
    pub cores: u32,
    /// A store to begin with, for a proxy that has one; none: an empty one.
    pub store: Option<&'a Path>,
    /// Who gets copies of all requests, if anybody.
    pub shadow: Option<Shadow>,
    /// Replicas of the origin that a proxy which has such counts it as; 0: the first requests find
    /// none.
    pub replicas: u32,
}

/// A proxy that can be compared.
pub trait Proxy: Sync + Debug {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Its version, or why it can't run here.
    ///
    /// # Errors
    /// When the program is not installed.
    fn version(&self) -> Result<String>;

    /// Whether it can take part.
    fn supports(&self, case: Case) -> bool;

    /// Whether it begins with a store.
    fn has_store(&self) -> bool {
        false
    }

    /// Whether it starts an origin of its own.
    fn has_origin(&self, _pair: Pair) -> bool {
        false
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it does not listen in time; the message names its log.
    fn start(&self, site: &Site<'_>) -> Result<Running>;
}

/// Every proxy known, in the order of reports.
#[must_use]
pub fn all() -> Vec<&'static dyn Proxy> {
    vec![
        &fprs::Fprs::Hop,
        &fprs::Fprs::Relay,
        &fprs::Fprs::Whole,
        &own::Own::Pingora,
        &own::Own::PingoraNoSteal,
        &own::Own::H2Relay,
        &haproxy::Haproxy,
        &nginx::Nginx,
        &envoy::Envoy,
        &edge::Edge::Alone,
        &edge::Edge::BeforeFprs,
    ]
}

/// A started process; it ends with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Other processes that do its work.
    pub beside: Vec<u32>,
    /// Where its table can be changed while it runs.
    pub control: Option<SocketAddr>,
    /// Where its metrics are.
    pub metrics: Option<SocketAddr>,
    /// Request headers without which it would refuse to forward.
    pub headers: Vec<(String, String)>,
    /// What it needs around it, which ends after it.
    pub kept: Vec<Box<dyn Debug + Send>>,
}

impl Running {
    /// The root of its processes.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that does its work.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let own = [self.pid()];
        own.into_iter().chain(self.beside.iter().copied()).collect()
    }

    /// Asks it to end with `signal` and waits, for what it writes at its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn end(mut self, signal: nix::sys::signal::Signal) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid())?);
        nix::sys::signal::kill(pid, signal)?;
        let deadline = Instant::now() + START;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("a proxy did not end on {signal}");
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM lets a master take its workers along; what ignores it is killed.
        if let Ok(pid) = i32::try_from(self.pid()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
        }
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if let Ok(Some(_)) | Err(_) = self.child.try_wait() {
                return;
            }
            thread::sleep(POLL);
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// pingora's own grace period is minutes; nothing is in flight when a proxy is stopped here.
const GRACE: Duration = Duration::from_millis(300);

/// A command that runs on `core` only.
#[must_use]
pub fn pinned(core: u32) -> Vec<String> {
    ["taskset", "-c", &core.to_string()]
        .map(str::to_owned)
        .to_vec()
}

/// A command that runs on `core` only and before whatever else is there, a higher rank first; where that
/// isn't allowed, with the others.
#[must_use]
pub fn before_others(core: u32, rank: u32) -> Vec<String> {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    let allowed = *ALLOWED.get_or_init(|| {
        let tried = Command::new("chrt").args(["--rr", "1", "true"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    });
    let first = ["chrt", "--rr", &rank.to_string()].map(str::to_owned);
    let first = if allowed { &first[..] } else { &[] };
    [first, &pinned(core)].concat()
}

/// A command that shares `core` with a generator and gives way to it: its work must not be measured as
/// somebody's latency.
#[must_use]
pub fn beside(core: u32) -> Vec<String> {
    let mut command = ["chrt", "--idle", "0"].map(str::to_owned).to_vec();
    command.extend(pinned(core));
    command
}

/// A command that runs on the first `cores` cores, beginning with the proxy's.
#[must_use]
pub fn pinned_to_first(cores: u32) -> Vec<String> {
    let last = PROXY_CORE + cores.saturating_sub(1);
    ["taskset", "-c", &format!("{PROXY_CORE}-{last}")]
        .map(str::to_owned)
        .to_vec()
}

/// A free loopback port. Somebody else could take it before its user does; then that fails to
/// start and says so.
///
/// # Errors
/// When none is left.
pub fn free_address() -> Result<SocketAddr> {
    loop {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        // Proxies start at the same time, and this process is the one that asks most.
        let given = GIVEN.lock();
        if given.map_or(true, |mut given| given.insert(address.port())) {
            return Ok(address);
        }
    }
}

/// Ports that somebody was told to use.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Runs `command` behind the wrapper with its output in `log` and waits until `address` accepts.
///
/// # Errors
/// When it ends or does not listen in time.
pub fn launch(site: &Site<'_>, command: &[String], address: SocketAddr) -> Result<Running> {
    let running = spawn(site, command, address)?;
    wait_for(running, site.folder)
}

fn spawn(site: &Site<'_>, command: &[String], address: SocketAddr) -> Result<Running> {
    let words: Vec<&String> = site.wrapper.iter().chain(command).collect();
    let (program, rest) = words.split_first().context("an empty command")?;
    let log = File::create(site.folder.join("log"))?;
    let child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("{program} can't be run: is it installed?"))?;
    Ok(Running {
        child,
        address,
        beside: Vec::new(),
        control: None,
        metrics: None,
        headers: Vec::new(),
        kept: Vec::new(),
    })
}

fn wait_for(mut running: Running, folder: &Path) -> Result<Running> {
    let deadline = Instant::now() + START;
    while TcpStream::connect(running.address).is_err() {
        let ended = running.child.try_wait()?;
        if ended.is_some() || Instant::now() > deadline {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            bail!("it does not listen; the last it said: {}", last.join(" | "));
        }
        thread::sleep(POLL);
    }
    Ok(running)
}

/// The first line that a program prints about itself.
pub(crate) fn first_line(program: &str, argument: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(argument)
        .output()
        .with_context(|| format!("{program} is not installed"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    Ok(line.trim().to_owned())
}
