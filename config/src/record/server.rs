//! PURE. A deployed program: how it is run, scaled and guarded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fprs_proto::record as wire;

use super::Millis;
use super::check::{self, Invalid};
use crate::limits;

/// Who may call a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody.
    Public,
    /// Callers with valid credentials.
    Required,
}

/// A deployed program.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// A DNS label.
    pub name: Arc<str>,
    /// Empty: the default tenant.
    pub tenant: String,
    /// The version users deployed last.
    pub target: Arc<Version>,
    /// A replica of `target` has been ready at least once.
    pub proven: bool,
    /// The last proven version; serves while `target` is not proven. Of a lower generation.
    pub fallback: Option<Arc<Version>>,
    /// How many replicas run.
    pub scaling: Scaling,
    /// Who may call it.
    pub auth: Auth,
    /// A request that finds no replica waits this long; zero: answered at once.
    pub hold: Duration,
    /// Until response headers; `None`: no limit.
    pub request_timeout: Option<Duration>,
    /// Where it is routed.
    pub routing_region: String,
    /// Where its replicas run.
    pub compute_region: String,
    /// Egress pool for what replicas send out; empty: none.
    pub egress: String,
    /// When it was deployed last.
    pub deployed_unix_ms: Millis,
}

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

/// How many replicas run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Exchanges in flight a replica should have, above 0; `None`: no autoscaling above one replica.
    pub target_concurrency: Option<f64>,
    /// Never fewer.
    pub min_replicas: u32,
    /// Never more, the buffer included; at least 1 and at least `min_replicas`.
    pub max_replicas: u32,
    /// Extra while there is traffic.
    pub buffer_replicas: u32,
    /// Load must stay this long before the pool grows.
    pub scaleup_window: Duration,
    /// Load must be gone this long before the pool shrinks.
    pub scaledown_window: Duration,
}

impl Server {
    /// The version replicas of that generation run, if it is still known.
    pub fn version(&self, generation: u64) -> Option<&Arc<Version>> {
        [Some(&self.target), self.fallback.as_ref()]
            .into_iter()
            .flatten()
            .find(|version| version.generation == generation)
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check::label("name", &self.name)?;
        check::optional_label("tenant", &self.tenant)?;
        self.target.check()?;
        if let Some(fallback) = &self.fallback {
            fallback.check()?;
            if fallback.generation >= self.target.generation {
                return Err(Invalid::new(
                    "fallback",
                    format!(
                        "is of generation {}, not below the target's {}",
                        fallback.generation, self.target.generation
                    ),
                ));
            }
        }
        self.scaling.check()?;
        check::at_most("hold", self.hold, limits::HOLD)?;
        if let Some(timeout) = self.request_timeout {
            check::positive("request_timeout", timeout, limits::DURATION)?;
        }
        check::label("routing_region", &self.routing_region)?;
        check::label("compute_region", &self.compute_region)?;
        check::optional_label("egress", &self.egress)
    }

    pub(super) fn try_from_wire(wire: wire::Server) -> Result<Self, String> {
        let auth = match wire.auth() {
            wire::Auth::Unspecified => {
                return Err(format!(
                    "`auth` has no value this build knows: {}",
                    wire.auth
                ));
            }
            wire::Auth::Required => Auth::Required,
            wire::Auth::Public => Auth::Public,
        };
        let target = wire.target.ok_or("`target` is missing")?;
        let server = Self {
            name: wire.name.into(),
            tenant: wire.tenant,
            target: Arc::new(Version::try_from_wire(target)?),
            proven: wire.proven,
            fallback: wire
                .fallback
                .map(Version::try_from_wire)
                .transpose()?
                .map(Arc::new),
            scaling: Scaling::from_wire(&wire.scaling.ok_or("`scaling` is missing")?),
            auth,
            hold: Duration::from_millis(wire.hold_ms),
            request_timeout: wire.request_timeout_ms.map(Duration::from_millis),
            routing_region: wire.routing_region,
            compute_region: wire.compute_region,
            egress: wire.egress,
            deployed_unix_ms: wire.deployed_unix_ms,
        };
        server.check()?;
        Ok(server)
    }

    pub(super) fn to_wire(&self) -> wire::Server {
        let auth = match self.auth {
            Auth::Public => wire::Auth::Public,
            Auth::Required => wire::Auth::Required,
        };
        wire::Server {
            name: self.name.to_string(),
            tenant: self.tenant.clone(),
            target: Some(self.target.to_wire()),
            proven: self.proven,
            fallback: self.fallback.as_ref().map(|version| version.to_wire()),
            scaling: Some(self.scaling.to_wire()),
            auth: auth.into(),
            hold_ms: millis(self.hold),
            request_timeout_ms: self.request_timeout.map(millis),
            routing_region: self.routing_region.clone(),
            compute_region: self.compute_region.clone(),
            egress: self.egress.clone(),
            deployed_unix_ms: self.deployed_unix_ms,
        }
    }
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

    pub(crate) fn check(&self) -> Result<(), Invalid> {
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

impl Scaling {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if let Some(target) = self.target_concurrency
            && !(limits::TARGET_CONCURRENCY_MIN..=limits::TARGET_CONCURRENCY).contains(&target)
        {
            return Err(Invalid::new(
                "target_concurrency",
                format!(
                    "is {target}: must be {} to {}, or left out for no autoscaling",
                    limits::TARGET_CONCURRENCY_MIN,
                    limits::TARGET_CONCURRENCY
                ),
            ));
        }
        if self.max_replicas == 0 || self.max_replicas > limits::REPLICAS_PER_SERVER {
            return Err(Invalid::new(
                "max_replicas",
                format!(
                    "is {}: must be 1 to {}",
                    self.max_replicas,
                    limits::REPLICAS_PER_SERVER
                ),
            ));
        }
        if self.min_replicas > self.max_replicas {
            return Err(Invalid::new(
                "min_replicas",
                format!(
                    "is {}, above `max_replicas`, which is {}",
                    self.min_replicas, self.max_replicas
                ),
            ));
        }
        if self.buffer_replicas > limits::REPLICAS_PER_SERVER {
            return Err(Invalid::new(
                "buffer_replicas",
                format!(
                    "is {}: the limit is {}",
                    self.buffer_replicas,
                    limits::REPLICAS_PER_SERVER
                ),
            ));
        }
        let window = limits::SCALING_WINDOW;
        check::at_most("scaleup_window", self.scaleup_window, window)?;
        check::at_most("scaledown_window", self.scaledown_window, window)
    }

    const fn from_wire(wire: &wire::Scaling) -> Self {
        Self {
            target_concurrency: wire.target_concurrency,
            min_replicas: wire.min_replicas,
            max_replicas: wire.max_replicas,
            buffer_replicas: wire.buffer_replicas,
            scaleup_window: Duration::from_millis(wire.scaleup_window_ms),
            scaledown_window: Duration::from_millis(wire.scaledown_window_ms),
        }
    }

    fn to_wire(self) -> wire::Scaling {
        wire::Scaling {
            target_concurrency: self.target_concurrency,
            min_replicas: self.min_replicas,
            max_replicas: self.max_replicas,
            buffer_replicas: self.buffer_replicas,
            scaleup_window_ms: millis(self.scaleup_window),
            scaledown_window_ms: millis(self.scaledown_window),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
