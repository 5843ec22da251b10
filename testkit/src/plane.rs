//! A whole plane as users run it: the real binary, `fprs up`, on ports from the system, in a
//! temporary directory that goes with it. Also single roles, and the commands users type.

mod cli;
mod process;

pub use cli::{Cli, LONGEST, Ran};
pub use process::Process;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{H1, H2};
use crate::wait::until;

/// A running `fprs up`. Dropping it kills it and everything it started; its log is printed when the
/// test fails.
#[derive(Debug)]
pub struct Plane {
    process: Process,
    // Killed ones: what they started ends with the test.
    past: Vec<Process>,
    ready: Value,
    settings: Settings,
    // Last: removed after the processes are gone.
    dir: TempDir,
}

/// How a [`Plane`] is started.
#[derive(Clone, Debug)]
pub struct Settings {
    binary: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

/// A running single role: `fprs control`, `proxy`, `autoscaler` or `relay`. Dropping it kills it and
/// everything it started.
#[derive(Debug)]
pub struct Role {
    process: Process,
    ready: Value,
    _dir: TempDir,
}

impl Settings {
    /// `fprs up` of that binary: in tests of the `fprs` package, `env!("CARGO_BIN_EXE_fprs")`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more environment variable; replicas don't see it unless the relay hands it on.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts the plane and waits until it serves.
    ///
    /// # Panics
    /// When it exits or isn't ready within [`READY`]; its log says why.
    pub async fn start(self) -> Plane {
        let dir = TempDir::new().expect("a temporary directory");
        let (process, ready) = launch(&self, dir.path()).await;
        Plane {
            process,
            past: Vec::new(),
            ready,
            settings: self,
            dir,
        }
    }
}

impl Plane {
    /// Starts `fprs up` with the defaults of tests.
    ///
    /// # Panics
    /// Like [`Settings::start`].
    pub async fn start(binary: impl Into<PathBuf>) -> Self {
        Settings::new(binary).start().await
    }

    /// The data plane's address: HTTP/1.1 and h2c.
    pub fn listen(&self) -> SocketAddr {
        address(&self.ready, "listen")
    }

    /// The control API's address.
    pub fn admin(&self) -> SocketAddr {
        address(&self.ready, "admin")
    }

    /// What the ready file says.
    pub const fn ready(&self) -> &Value {
        &self.ready
    }

    /// The host name of a server in this plane's zone.
    pub fn host(&self, server: &str) -> String {
        format!("{server}.{ZONE}")
    }

    /// Where the plane keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The temporary directory around the data directory, for the test's own files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Processes it started, and theirs, by id.
    pub fn descendants(&self) -> Vec<u32> {
        self.process.descendants()
    }

    /// Memory of the process in RAM now, in bytes.
    pub fn memory(&self) -> u64 {
        self.process.memory()
    }

    /// The admin token, as the command line finds it.
    ///
    /// # Panics
    /// When the plane made none.
    pub fn admin_token(&self) -> String {
        let path = self.data_dir().join("admin-token");
        std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .trim()
            .to_owned()
    }

    /// The commands users type, against this plane.
    pub fn cli(&self) -> Cli {
        Cli::new(&self.settings.binary).arg("--data-dir", self.data_dir())
    }

    /// Runs a command against this plane.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.cli().run(args).await
    }

    /// Deploys a manifest given as text.
    ///
    /// # Panics
    /// When the command fails.
    pub async fn deploy(&self, manifest: &str) -> Ran {
        self.try_deploy(manifest).await.succeeded()
    }

    /// Deploys a manifest given as text, and returns what the command did.
    ///
    /// # Panics
    /// When the manifest can't be written.
    pub async fn try_deploy(&self, manifest: &str) -> Ran {
        self.cli().deploy(manifest, self.dir.path()).await
    }

    /// A server's replicas, as `fprs replicas NAME --json` lists them.
    ///
    /// # Panics
    /// When the command fails or prints no JSON array.
    pub async fn replicas(&self, server: &str) -> Vec<Value> {
        self.cli().replicas(server).await
    }

    /// How many replicas of a server are in that state.
    ///
    /// # Panics
    /// Like [`Plane::replicas`].
    pub async fn replicas_in(&self, server: &str, state: &str) -> usize {
        let replicas = self.replicas(server).await;
        replicas
            .iter()
            .filter(|replica| replica["state"] == state)
            .count()
    }

    /// A connection to the data plane, HTTP/1.1.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn h1(&self) -> H1 {
        H1::connect(self.listen()).await.expect("the plane accepts")
    }

    /// A connection to the data plane, h2c with prior knowledge.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn h2(&self) -> H2 {
        H2::connect(self.listen()).await.expect("the plane accepts")
    }

    /// Kills the plane as `kill -9` does. The programs it ran live on, without a parent.
    ///
    /// # Panics
    /// When it is down already.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When it is still there at the deadline.
    pub async fn terminate(&mut self, deadline: Duration) -> std::process::ExitStatus {
        self.process.terminate();
        self.process.exited(deadline).await
    }

    /// Starts the plane again on the same data directory, with the same settings, on new ports;
    /// kills it first if it runs.
    ///
    /// # Panics
    /// Like [`Settings::start`].
    pub async fn restart(&mut self) {
        if self.process.is_running() {
            self.process.kill9();
        }
        let (process, ready) = launch(&self.settings, self.dir.path()).await;
        self.past
            .push(std::mem::replace(&mut self.process, process));
        self.ready = ready;
    }
}

impl Role {
    /// Starts `fprs ROLE ARGS…` with a ready file of its own and waits until it serves.
    ///
    /// # Panics
    /// When it exits or isn't ready within [`READY`]; its log says why.
    pub async fn start<S: AsRef<OsStr>>(
        binary: impl AsRef<Path>,
        role: &str,
        args: impl IntoIterator<Item = S>,
        env: &[(&str, &str)],
    ) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let ready_file = dir.path().join("ready.json");
        let mut command = process::command(binary.as_ref());
        command.arg(role).args(args);
        command.arg("--ready-file").arg(&ready_file);
        command.envs(env.iter().copied());
        let mut process = Process::spawn(role, command, &dir.path().join("log"));
        let ready = wait_ready(&mut process, &ready_file).await;
        Self {
            process,
            ready,
            _dir: dir,
        }
    }

    /// What the ready file says.
    pub const fn ready(&self) -> &Value {
        &self.ready
    }

    /// The address of that name in the ready file, e.g. `admin`.
    ///
    /// # Panics
    /// When the ready file has none.
    pub fn address(&self, name: &str) -> SocketAddr {
        address(&self.ready, name)
    }

    /// The process.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Longest wait for a plane or role to serve.
pub const READY: Duration = Duration::from_secs(20);

/// The zone of planes in tests.
pub const ZONE: &str = "region.localhost";

async fn launch(settings: &Settings, dir: &Path) -> (Process, Value) {
    let ready_file = dir.join("ready.json");
    let mut command = process::command(&settings.binary);
    command.args(["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--zone", ZONE]);
    command.arg("--data-dir").arg(dir.join("data"));
    command.arg("--ready-file").arg(&ready_file);
    command.args(&settings.args).current_dir(dir);
    command.envs(settings.env.iter().map(|(name, value)| (name, value)));
    // A ready file of an earlier run says nothing about this one.
    std::fs::remove_file(&ready_file).ok();
    let mut process = Process::spawn("fprs up", command, &dir.join("log"));
    let ready = wait_ready(&mut process, &ready_file).await;
    (process, ready)
}

async fn wait_ready(process: &mut Process, ready_file: &Path) -> Value {
    until("the ready file", READY, async || {
        assert!(
            process.is_running(),
            "the process ended before it was ready"
        );
        let text = std::fs::read(ready_file).ok()?;
        serde_json::from_slice(&text).ok()
    })
    .await
}

fn address(ready: &Value, name: &str) -> SocketAddr {
    ready[name]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("the ready file has no address `{name}`: {ready}"))
}
