//! How a version's command becomes a process: `$PORT` put in its place, the environment, and where
//! it is looked for. Only what lets the standard library start it without copying this process
//! (`posix_spawn`): no code of ours runs between fork and exec.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fprs_config::Version;
use nix::errno::Errno;
use tokio::process::Command;

use super::leftovers::RunToken;

/// A command with everything filled in.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    version: &'a Version,
    program: &'a str,
    arguments: Vec<String>,
    port: u16,
    run: RunToken,
}

/// Why a command isn't running.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("the version has no command to run; this worker runs commands only")]
    NoCommand,
    #[error("no port is free on 127.0.0.1: {0}")]
    Port(io::Error),
    #[error("the worker cannot write to its state directory: {0}")]
    RunNotes(io::Error),
    #[error("cannot run `{program}`: {problem}")]
    Refused { program: String, problem: String },
    #[error("the start was interrupted: {0}")]
    Interrupted(String),
}

const PORT_VARIABLE: &str = "PORT";
/// Settings of this process, secrets among them, are none of the program's business.
const OWN_PREFIX: &str = "FPRS_";

impl<'a> Launch<'a> {
    /// Fills in a version's command.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn of(version: &'a Version, port: u16, run: RunToken) -> Result<Self, LaunchError> {
        let (program, arguments) = version
            .command
            .split_first()
            .ok_or(LaunchError::NoCommand)?;
        Ok(Self {
            version,
            program,
            arguments: arguments
                .iter()
                .map(|argument| with_port(argument, port))
                .collect(),
            port,
            run,
        })
    }

    /// The command, ready to start in this process's environment, whose names are given.
    pub(super) fn command(&self, inherited: impl Iterator<Item = OsString>) -> Command {
        let mut command = Command::new(self.executable());
        command.args(&self.arguments);
        if let Some(dir) = self.working_dir() {
            command.current_dir(dir);
        }
        for name in inherited {
            if name.as_encoded_bytes().starts_with(OWN_PREFIX.as_bytes()) {
                command.env_remove(name);
            }
        }
        command
            .envs(&self.version.env)
            .env(PORT_VARIABLE, self.port.to_string())
            .env(RunToken::VARIABLE, self.run.to_string());
        command
    }

    /// A failed start in words a user can act on.
    pub(super) fn refused(&self, error: &io::Error) -> LaunchError {
        let problem = match (self.working_dir(), error.raw_os_error()) {
            (Some(dir), _) if !dir.is_dir() => {
                format!("working_dir `{}` is not a directory", dir.display())
            }
            (_, Some(code)) => Errno::from_raw(code).desc().to_owned(),
            (_, None) => error.to_string(),
        };
        LaunchError::Refused {
            program: self.program.to_owned(),
            problem,
        }
    }

    /// It ended before it could be looked at.
    pub(super) fn gone(&self) -> LaunchError {
        LaunchError::Refused {
            program: self.program.to_owned(),
            problem: "its process was gone at once".to_owned(),
        }
    }

    fn working_dir(&self) -> Option<&Path> {
        let dir = self.version.working_dir.as_str();
        (!dir.is_empty()).then(|| Path::new(dir))
    }

    /// The program with its place, where that isn't for the system to search: a relative path is
    /// relative to the working directory, and a `PATH` of the version's own is searched here, since
    /// leaving that to the standard library would cost a copy of this process.
    fn executable(&self) -> PathBuf {
        let program = with_port(self.program, self.port);
        let path = Path::new(&program);
        if program.contains('/') {
            return match self.working_dir() {
                Some(dir) if path.is_relative() => {
                    std::path::absolute(dir.join(path)).unwrap_or_else(|_| dir.join(path))
                }
                _ => path.to_owned(),
            };
        }
        let own_path = self.version.env.get("PATH");
        own_path
            .and_then(|dirs| search(dirs, path))
            .unwrap_or_else(|| path.to_owned())
    }
}

/// PURE. Puts the port in the place of `$PORT`, but not of `$PORTAL`.
fn with_port(text: &str, port: u16) -> String {
    const MARK: &str = "$PORT";
    let mut parts = text.split(MARK);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if part.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_') {
            filled.push_str(MARK);
        } else {
            filled.push_str(&port.to_string());
        }
        filled.push_str(part);
    }
    filled
}

fn search(dirs: &str, program: &Path) -> Option<PathBuf> {
    std::env::split_paths(dirs)
        .map(|dir| dir.join(program))
        .find(|path| {
            path.metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_put_wherever_its_variable_stands() {
        assert_eq!(with_port("--listen=[::]:$PORT", 80), "--listen=[::]:80");
        assert_eq!(with_port("$PORT,$PORT", 80), "80,80");
        assert_eq!(
            with_port("$PORTAL $PORT_2 PORT", 80),
            "$PORTAL $PORT_2 PORT"
        );
        assert_eq!(with_port("", 80), "");
    }

    #[test]
    fn settings_of_this_process_stay_out_of_the_programs_environment() {
        let version = Version {
            generation: 1,
            command: vec!["server".to_owned()],
            image: String::new(),
            h2: false,
            env: [("PORT".to_owned(), "1".to_owned())].into(),
            startup_timeout: std::time::Duration::ZERO,
            exit_grace: std::time::Duration::ZERO,
            working_dir: String::new(),
        };
        let launch = Launch::of(&version, 80, RunToken::random()).unwrap();
        let inherited = ["FPRS_ADMIN_TOKEN", "HOME"].map(OsString::from);
        let command = launch.command(inherited.into_iter());
        let changed = |name: &str| {
            let mut changes = command.as_std().get_envs();
            changes
                .find(|(changed, _)| *changed == name)
                .map(|(_, value)| value)
        };
        assert_eq!(changed("FPRS_ADMIN_TOKEN"), Some(None), "removed");
        assert_eq!(changed("HOME"), None, "left as it is");
        assert_eq!(changed("PORT"), Some(Some("80".as_ref())), "ours wins");
    }

    #[test]
    fn a_path_of_the_versions_own_is_searched_for_executables_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tool");
        std::fs::write(&file, "").unwrap();
        let dirs = format!("/nonexistent:{}", dir.path().display());
        assert_eq!(search(&dirs, Path::new("tool")), None);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(search(&dirs, Path::new("tool")), Some(file));
    }
}
