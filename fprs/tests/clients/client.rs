//! A client that is a program of its own, run to its end with a deadline: what it says is what it saw.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::stage::here;

/// A client that one test runs against several addresses.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(&'static str, PathBuf)>,
}

/// Longest run of a client at the suite's size, and at full size.
const LONGEST: Duration = Duration::from_secs(40);
const LONGEST_SOAK: Duration = Duration::from_secs(300);

impl Client {
    /// A Python script of this directory.
    pub(crate) fn python(python: &Path, script: &str) -> Self {
        Self::script(python, script).env("PYTHONDONTWRITEBYTECODE", Path::new("1"))
    }

    /// A Node script of this directory.
    pub(crate) fn node(modules: &Path, script: &str) -> Self {
        Self::script(Path::new("node"), script).env("NODE_PATH", modules)
    }

    /// A shell script of this directory that calls `tool`.
    pub(crate) fn shell(tool: &Path, script: &str) -> Self {
        Self::script(Path::new("bash"), script).env("TOOL", tool)
    }

    fn script(interpreter: &Path, script: &str) -> Self {
        let script = here(script);
        Self {
            program: interpreter.to_owned(),
            args: vec![script.to_str().expect("a path that is text").to_owned()],
            env: Vec::new(),
        }
    }

    /// One more argument, after address and authority.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// One more environment variable.
    pub(crate) fn env(mut self, name: &'static str, value: &Path) -> Self {
        self.env.push((name, value.to_owned()));
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
        let longest = if soak() { LONGEST_SOAK } else { LONGEST };
        let started = Instant::now();
        let output = tokio::time::timeout(longest, command.kill_on_drop(true).output())
            .await
            .unwrap_or_else(|_| panic!("{script} still runs after {longest:?}"))
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

/// Full size is asked for.
pub(crate) fn soak() -> bool {
    std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1")
}
