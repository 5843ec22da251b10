//! One program twice: deployed on a plane, and started by the test itself, so that a client can talk
//! to it with and without fprs between.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fprs_testkit::{Plane, Process, until};
use serde_json::Value;

/// The plane, with the server `it` deployed, and the same program beside it.
pub(crate) struct Stage {
    pub(crate) plane: Plane,
    direct: SocketAddr,
    _program: Process,
}

/// A client that one test runs against several addresses.
pub(crate) struct Client {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(&'static str, PathBuf)>,
}

/// Longest a program may take to listen, and a client to come to its end: an interpreter that starts
/// on a busy machine is slow.
const LONGEST: Duration = Duration::from_secs(40);

/// What programs are told: to leave no files here, and to be quick.
const ENV: &[(&str, &str)] = &[("PYTHONDONTWRITEBYTECODE", "1"), ("TOKEN_DELAY_MS", "5")];

/// The deployed program's name.
pub(crate) const SERVER: &str = "it";

impl Stage {
    /// Starts both; `more` is TOML for the manifest.
    pub(crate) async fn set(python: &Path, program: &Path, more: &str) -> Self {
        Self::set_with(python, program, more, &[]).await
    }

    /// [`Stage::set`]; `env` is for the deployed program alone.
    pub(crate) async fn set_with(
        python: &Path,
        program: &Path,
        more: &str,
        env: &[(&str, &str)],
    ) -> Self {
        let plane = Plane::start(env!("CARGO_BIN_EXE_fprs")).await;
        let command = Value::from([text(python), text(program)].as_slice());
        let mut manifest = format!(
            "name = \"{SERVER}\"\ncommand = {command}\nauth = \"public\"\nmin_replicas = 1\n{more}\n[env]\n"
        );
        for (name, value) in ENV.iter().chain(env) {
            manifest += &format!("{name} = {}\n", Value::from(*value));
        }
        plane.deploy(&manifest).await;
        let (process, direct) = start(python, program, plane.dir()).await;
        until("a ready replica", LONGEST, async || {
            (plane.replicas_in(SERVER, "ready").await > 0).then_some(())
        })
        .await;
        Self {
            plane,
            direct,
            _program: process,
        }
    }

    /// Runs the client with and without fprs between; what it said must be the same, and not nothing.
    pub(crate) async fn compare(&self, client: &Client) {
        self.compare_two(client, client).await;
    }

    /// [`Stage::compare`], where the client behind fprs speaks another version of HTTP than the
    /// program can.
    pub(crate) async fn compare_two(&self, direct: &Client, through: &Client) {
        let expected = self.run_direct(direct).await;
        let seen = self.run(through).await;
        assert!(!expected.is_empty(), "the client said nothing");
        assert!(
            expected == seen,
            "without fprs:\n{}\nwith fprs:\n{}",
            String::from_utf8_lossy(&expected),
            String::from_utf8_lossy(&seen)
        );
    }

    /// Runs the client against the plane; what it said.
    pub(crate) async fn run(&self, client: &Client) -> Vec<u8> {
        client.run(self.plane.listen(), &self.authority()).await
    }

    /// Runs the client against the program itself; what it said.
    pub(crate) async fn run_direct(&self, client: &Client) -> Vec<u8> {
        client.run(self.direct, &self.authority()).await
    }

    /// The deployed server's authority.
    pub(crate) fn authority(&self) -> String {
        self.plane.host(SERVER)
    }
}

impl Client {
    /// A Python script of this directory.
    pub(crate) fn python(python: &Path, script: &str) -> Self {
        Self {
            program: python.to_owned(),
            args: vec![text(&here(script))],
            env: vec![("PYTHONDONTWRITEBYTECODE", PathBuf::from("1"))],
        }
    }

    /// A Node script of this directory.
    pub(crate) fn node(modules: &Path, script: &str) -> Self {
        Self {
            program: PathBuf::from("node"),
            args: vec![text(&here(script))],
            env: vec![("NODE_PATH", modules.to_owned())],
        }
    }

    /// A shell script that calls `tool`.
    pub(crate) fn shell(script: &Path, tool: &Path) -> Self {
        Self {
            program: PathBuf::from("bash"),
            args: vec![text(script)],
            env: vec![("TOOL", tool.to_owned())],
        }
    }

    /// One more argument, after address and authority.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Runs it to its end, which must be a good one; what it said.
    pub(crate) async fn run(&self, address: SocketAddr, authority: &str) -> Vec<u8> {
        let (script, more) = self.args.split_first().expect("a script");
        let mut command = tokio::process::Command::new(&self.program);
        command.arg(script).arg(address.to_string()).arg(authority);
        command
            .args(more)
            .envs(self.env.iter().map(|pair| (pair.0, &pair.1)));
        let started = Instant::now();
        let output = tokio::time::timeout(LONGEST, command.kill_on_drop(true).output())
            .await
            .unwrap_or_else(|_| panic!("{script} still runs after {LONGEST:?}"))
            .unwrap_or_else(|error| panic!("can't run {script}: {error}"));
        assert!(
            output.status.success(),
            "{script} at {address}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        eprintln!("{script} at {address}: {:.1?}", started.elapsed());
        output.stdout
    }
}

/// A file of this directory.
pub(crate) fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

async fn start(python: &Path, program: &Path, dir: &Path) -> (Process, SocketAddr) {
    // Free a moment later; nobody else asks the system for this very port meanwhile.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let mut command = Command::new(python);
    command.arg(program).env("PORT", address.port().to_string());
    command.envs(ENV.iter().copied());
    let mut process = Process::spawn("the program", command, &dir.join("direct.log"));
    until("the program listens", LONGEST, async || {
        assert!(process.is_running(), "the program ended");
        TcpStream::connect(address).ok()
    })
    .await;
    (process, address)
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path that is text").to_owned()
}
