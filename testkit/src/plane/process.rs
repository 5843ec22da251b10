//! One process under test: its output goes to a file, its end is certain, and nothing that it
//! started outlives the test.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::until;

/// A child process. Dropping it kills it and all its descendants, and prints its log when the test
/// is failing.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    // What it had started when it was last signalled: it may outlive its parent.
    started: Vec<Identity>,
}

/// A process that is told apart from a later one with the same number by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    pid: u32,
    started: u64,
}

impl Process {
    /// Starts `command` with both outputs appended to `log` and nothing on stdin.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn(name: &str, command: Command, log: &Path) -> Self {
        let stdout = append(log);
        Self::start(name, command, log, Stdio::null(), stdout.into())
    }

    /// Like [`spawn`](Self::spawn), with descriptors 0 and 1 in place of input and output.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn_with(
        name: &str,
        command: Command,
        log: &Path,
        [first, second]: [OwnedFd; 2],
    ) -> Self {
        Self::start(name, command, log, first.into(), second.into())
    }

    fn start(name: &str, mut command: Command, log: &Path, stdin: Stdio, stdout: Stdio) -> Self {
        let child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(append(log))
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            started: Vec::new(),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it printed so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Memory in RAM now, in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn memory(&self) -> u64 {
        self.status_field("VmRSS:")
    }

    /// The most memory it ever had in RAM, in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn memory_peak(&self) -> u64 {
        self.status_field("VmHWM:")
    }

    /// Whether it has not ended yet.
    ///
    /// # Panics
    /// When the system can't say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// Sends SIGTERM.
    pub fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends the process alone, as `kill -9` does. What it started lives on until this is dropped.
    ///
    /// # Panics
    /// When it is gone.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("its end");
    }

    /// Makes the process alone hang, until [`Process::thaw`].
    pub fn freeze(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends a signal to the process alone.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&mut self, signal: Signal) {
        assert!(self.is_running(), "{} has ended", self.name);
        self.started.extend(descendants(self.pid()));
        kill(pid(self.pid()), signal).expect("the process is there");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it runs on at the deadline.
    pub async fn exited(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        until(&what, deadline, async || {
            self.child.try_wait().expect("its state")
        })
        .await
    }

    /// Processes it started, and theirs, by id.
    pub fn descendants(&self) -> Vec<u32> {
        descendants(self.pid())
            .into_iter()
            .map(|identity| identity.pid)
            .collect()
    }

    fn status_field(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).expect("the process is there");
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("no {name} in {path}"))
            * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Stopped first, so that it can start nothing between the look and the kill.
            kill(pid(self.pid()), Signal::SIGSTOP).ok();
            self.started.extend(descendants(self.pid()));
            self.child.kill().ok();
            self.child.wait().ok();
        }
        for child in &self.started {
            if Identity::of(child.pid).as_ref() == Some(child) {
                kill(pid(child.pid), Signal::SIGKILL).ok();
            }
        }
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}---", self.name, self.log());
        }
    }
}

impl Identity {
    fn of(pid: u32) -> Option<Self> {
        let (_, started) = stat(pid)?;
        Some(Self { pid, started })
    }
}

/// A command of the binary under test, free of the settings of whoever runs the tests.
pub(super) fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FPRS_") {
            command.env_remove(name);
        }
    }
    command
}

fn descendants(root: u32) -> Vec<Identity> {
    let all: Vec<(Identity, u32)> = std::fs::read_dir("/proc")
        .expect("/proc is there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| {
            let (parent, started) = stat(pid)?;
            Some((Identity { pid, started }, parent))
        })
        .collect();
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (identity, _) in all.iter().filter(|(_, its)| *its == parent) {
            found.push(*identity);
            parents.push(identity.pid);
        }
    }
    found
}

/// A process's parent and start time, in ticks since boot.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name is in parentheses and may hold anything, parentheses too.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some((parent, started))
}

fn append(log: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap_or_else(|error| panic!("can't open {}: {error}", log.display()))
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).expect("process ids fit"))
}
