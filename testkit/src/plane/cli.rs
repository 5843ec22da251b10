//! The commands users type, run to their end with a deadline.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process;

/// The binary with arguments that every run gets.
#[derive(Clone, Debug)]
pub struct Cli {
    binary: PathBuf,
    always: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
}

/// What one run did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    line: String,
}

impl Cli {
    /// That binary, without arguments.
    pub fn new(binary: impl AsRef<Path>) -> Self {
        Self {
            binary: binary.as_ref().to_owned(),
            always: Vec::new(),
            env: Vec::new(),
            dir: None,
        }
    }

    /// An option with its value that every run gets, after the run's own arguments.
    #[must_use]
    pub fn arg(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.always.push(name.into());
        self.always.push(value.into());
        self
    }

    /// An environment variable that every run gets.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The directory every run starts in.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When it can't be started or runs longer than [`LONGEST`].
    pub async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        let mut command = process::command(&self.binary);
        command.args(args).args(&self.always);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let line = format!("{command:?}");
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(LONGEST, command.output())
            .await
            .unwrap_or_else(|_| panic!("still running after {LONGEST:?}: {line}"))
            .unwrap_or_else(|error| panic!("can't run {line}: {error}"));
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            line,
        }
    }

    /// Deploys a manifest given as text, kept in a directory of its own inside `dir`: that is where
    /// its command runs.
    ///
    /// # Panics
    /// When the manifest can't be written.
    pub async fn deploy(&self, manifest: &str, dir: &Path) -> Ran {
        let dir = TempDir::new_in(dir).expect("a directory for the manifest");
        let path = dir.keep().join("fprs.toml");
        std::fs::write(&path, manifest).expect("the manifest is written");
        self.run(&[OsStr::new("deploy"), path.as_ref()]).await
    }

    /// A server's replicas, as `fprs replicas NAME --json` lists them.
    ///
    /// # Panics
    /// When the command fails or prints no JSON array.
    pub async fn replicas(&self, server: &str) -> Vec<Value> {
        let args = ["replicas", server, "--json"];
        match self.run(&args).await.succeeded().json() {
            Value::Array(replicas) => replicas,
            other => panic!("`fprs replicas --json` printed no array: {other}"),
        }
    }
}

impl Ran {
    /// Itself, when the exit code is 0.
    ///
    /// # Panics
    /// Prints everything otherwise.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Itself, when it failed with that exit code and exactly one line on stderr.
    ///
    /// # Panics
    /// Prints everything otherwise.
    #[track_caller]
    pub fn refused(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{self:#?}");
        self
    }

    /// Its stdout as JSON.
    ///
    /// # Panics
    /// When it isn't.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{} printed no JSON: {error}\n{self:#?}", self.line))
    }
}

/// Longest run of a command.
pub const LONGEST: Duration = Duration::from_secs(30);
