//! PURE. How one version of a server's program is run.

use std::collections::BTreeMap;
use std::time::Duration;

use fprs_proto::record as wire;

use super::check::{self, Invalid};
use super::millis;
use crate::limits;

/// How one version of a server's program is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Counts deploys of the server, from 1.
    pub generation: u64,
    /// Program and arguments; `$PORT` in them is replaced. Empty only with `image`.
    pub command: Vec<String>,
    /// Container image, for the Kubernetes executor; empty otherwise.
    pub image: String,
    /// The program speaks h2c; otherwise HTTP/1.1.
    pub h2: bool,
    /// Environment of the program.
    pub env: BTreeMap<String, String>,
    /// From start to an accepting port.
    pub startup_timeout: Duration,
    /// How long exchanges in flight may go on once the replica stops.
    pub exit_grace: Duration,
    /// Where the command runs; empty: the relay's own directory.
    pub working_dir: String,
}

impl Version {
    /// Whether a program run by `other` runs the same way; generations aside.
    pub fn runs_like(&self, other: &Self) -> bool {
        let Self {
            generation: _,
            command,
            image,
            h2,
            env,
            startup_timeout,
            exit_grace,
            working_dir,
        } = self;
        *command == other.command
            && *image == other.image
            && *h2 == other.h2
            && *env == other.env
            && *startup_timeout == other.startup_timeout
            && *exit_grace == other.exit_grace
            && *working_dir == other.working_dir
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        if self.generation == 0 {
            return Err(Invalid::new("generation", "is 0: deploys count from 1"));
        }
        self.check_program()?;
        self.check_env()?;
        check::positive("startup_timeout", self.startup_timeout, limits::DURATION)?;
        check::at_most("exit_grace_period", self.exit_grace, limits::DURATION)?;
        check::text("working_dir", &self.working_dir, limits::PATH_BYTES)
    }

    fn check_program(&self) -> Result<(), Invalid> {
        match (self.command.first(), self.image.as_str()) {
            (None, "") => {
                return Err(Invalid::new(
                    "command",
                    "is missing; without an `image` there is nothing to run",
                ));
            }
            (Some(_), image) if !image.is_empty() => {
                return Err(Invalid::new(
                    "image",
                    "and `command` exclude each other; remove one",
                ));
            }
            (Some(program), _) if program.is_empty() => {
                return Err(Invalid::new("command", "begins with an empty program name"));
            }
            _ => {}
        }
        if self.command.len() > limits::COMMAND_ARGUMENTS {
            return Err(Invalid::new(
                "command",
                format!(
                    "has {} arguments; the limit is {}",
                    self.command.len(),
                    limits::COMMAND_ARGUMENTS
                ),
            ));
        }
        let bytes: usize = self.command.iter().map(String::len).sum();
        if bytes > limits::COMMAND_BYTES {
            return Err(Invalid::new(
                "command",
                format!("has {bytes} bytes; the limit is {}", limits::COMMAND_BYTES),
            ));
        }
        if self.command.iter().any(|argument| argument.contains('\0')) {
            return Err(Invalid::new("command", "contains a NUL character"));
        }
        check::text("image", &self.image, limits::IMAGE_BYTES)
    }

    fn check_env(&self) -> Result<(), Invalid> {
        if self.env.len() > limits::ENV_VARIABLES {
            return Err(Invalid::new(
                "env",
                format!(
                    "has {} variables; the limit is {}",
                    self.env.len(),
                    limits::ENV_VARIABLES
                ),
            ));
        }
        let mut bytes = 0_usize;
        for (name, value) in &self.env {
            bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(Invalid::new(
                    "env",
                    format!("has a variable named {name:?}: no empty name, `=` or NUL"),
                ));
            }
            if name == "PORT" {
                return Err(Invalid::new("env", "sets `PORT`, which the relay chooses"));
            }
            if value.contains('\0') {
                return Err(Invalid::new(
                    "env",
                    format!("has a NUL character in the value of `{name}`"),
                ));
            }
        }
        if bytes > limits::ENV_BYTES {
            return Err(Invalid::new(
                "env",
                format!("has {bytes} bytes; the limit is {}", limits::ENV_BYTES),
            ));
        }
        Ok(())
    }

    /// Checks a version as control sends it to a relay.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn try_from_wire(wire: wire::Version) -> Result<Self, String> {
        let version = Self {
            generation: wire.generation,
            command: wire.command,
            image: wire.image,
            h2: wire.h2,
            env: wire.env,
            startup_timeout: Duration::from_millis(wire.startup_timeout_ms),
            exit_grace: Duration::from_millis(wire.exit_grace_ms),
            working_dir: wire.working_dir,
        };
        version.check()?;
        Ok(version)
    }

    /// The version as it goes over the wire.
    pub fn to_wire(&self) -> wire::Version {
        wire::Version {
            generation: self.generation,
            command: self.command.clone(),
            image: self.image.clone(),
            h2: self.h2,
            env: self.env.clone(),
            startup_timeout_ms: millis(self.startup_timeout),
            exit_grace_ms: millis(self.exit_grace),
            working_dir: self.working_dir.clone(),
        }
    }
}
