//! PURE. What a process is started with: flags and environment before the settings file before the
//! defaults, checked once into values that hold.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use fprs_forward::{Deadlines, limits};
use ipnet::IpNet;
use serde::Deserialize;

use crate::failure::Failure;
use crate::secret::Secret;

/// What was given, by flag, environment or file; nothing is checked yet.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Given {
    /// Data plane address, HTTP/1.1 and h2c; for a relay the one proxies reach it by
    /// [default: 127.0.0.1:8080; a relay's: 127.0.0.1:0]
    #[arg(long, env = "FPRS_LISTEN")]
    pub listen: Option<String>,
    /// Address of control API, metrics and probes [default: 127.0.0.1:9090; a role's: 127.0.0.1:0]
    #[arg(long, env = "FPRS_ADMIN")]
    pub admin: Option<String>,
    /// Suffix of the host names this plane answers for [default: region.localhost]
    #[arg(long, env = "FPRS_ZONE")]
    pub zone: Option<String>,
    /// Where state is kept [default: ./.fprs]
    #[arg(long, env = "FPRS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Admin addresses of control processes, for roles that follow one
    #[arg(long, env = "FPRS_CONTROL", value_delimiter = ',')]
    pub control: Vec<String>,
    /// Networks whose word about clients (`x-forwarded-…`) is believed, e.g. 10.0.0.0/8
    #[arg(long, env = "FPRS_TRUSTED_EDGES", value_delimiter = ',')]
    pub trusted_edges: Vec<String>,
    /// Admin token [default: the one in the data dir, made there if missing]; a relay's may be a
    /// token of the role `worker`
    #[arg(long, env = "FPRS_ADMIN_TOKEN", hide_env_values = true)]
    #[serde(skip)]
    pub admin_token: Option<Secret>,
    /// Where this worker's replicas run, as servers ask for it [default: local]
    #[arg(long, env = "FPRS_COMPUTE_REGION")]
    pub compute_region: Option<String>,
    /// Replicas this worker can run [default: 64]
    #[arg(long, env = "FPRS_CAPACITY")]
    pub capacity: Option<u32>,
    /// Threads of the data plane, one a core [default: all cores]
    #[arg(long, env = "FPRS_CORES")]
    pub cores: Option<usize>,
    /// How long a proxy goes on serving after SIGTERM with its readiness failing, for edges to notice
    /// [default: 5s; of `up`: 0s]
    #[arg(long, env = "FPRS_DRAIN_DELAY")]
    pub drain_delay: Option<String>,
    /// Memory for what exchanges hold that can't go on; beyond it the largest are ended
    /// [default: 1GiB]
    #[arg(long, env = "FPRS_BUFFER_LIMIT")]
    pub buffer_limit: Option<String>,
    /// How long exchanges in flight may go on after that [default: 30s]
    #[arg(long, env = "FPRS_DRAIN_TIMEOUT")]
    pub drain_timeout: Option<String>,
    /// How long clients may keep the proxy waiting, where it is not to be the default, e.g.
    /// idle=10m,head=5s; others: first-byte, body, reader
    #[arg(long, env = "FPRS_DEADLINES", value_delimiter = ',')]
    pub deadlines: Vec<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "FPRS_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Written once everything serves: JSON with pid, zone and bound addresses
    #[arg(long, env = "FPRS_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// Settings file, with the names of these flags as keys [default: fprs.toml in the data dir]
    #[arg(long, env = "FPRS_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What one process runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the data plane listens.
    pub listen: SocketAddr,
    /// Where control API, metrics and probes listen.
    pub admin: SocketAddr,
    /// Lower case, no dot at the ends.
    pub zone: String,
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// Control processes to follow; empty for `up` and `control`.
    pub control: Vec<String>,
    /// Whose word about clients is believed.
    pub trusted_edges: Vec<IpNet>,
    /// Given outright; `None`: the data dir's.
    pub admin_token: Option<Secret>,
    /// Of this worker.
    pub compute_region: String,
    /// Of this worker.
    pub capacity: u32,
    /// Threads of the data plane.
    pub cores: usize,
    /// What happens after SIGTERM.
    pub drain: Drain,
    /// For what exchanges hold that can't go on, in bytes.
    pub buffer_limit: usize,
    /// What clients of the proxy are held to.
    pub deadlines: Deadlines,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Written once everything serves.
    pub ready_file: Option<PathBuf>,
}

/// How a proxy ends.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Goes on serving for so long after it said that it is leaving.
    pub delay: Duration,
    /// For exchanges in flight, after that.
    pub timeout: Duration,
}

/// Which process is started; decides the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The scaling decision.
    Autoscaler,
    /// Store, feed, API.
    Control,
    /// The data plane.
    Proxy,
    /// A worker.
    Relay,
    /// All of them.
    Up,
}

impl Role {
    /// The role's command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Autoscaler => "autoscaler",
            Self::Control => "control",
            Self::Proxy => "proxy",
            Self::Relay => "relay",
            Self::Up => "up",
        }
    }

    const fn follows(self) -> bool {
        matches!(self, Self::Autoscaler | Self::Proxy | Self::Relay)
    }
}

const DATA_DIR: &str = "./.fprs";

impl Settings {
    /// Puts together what was given and the settings file, and checks it.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub fn resolve(given: Given, role: Role) -> Result<Self, Failure> {
        let given = match settings_file(&given) {
            Some((path, required)) => read_file(&path, required)?
                .map_or_else(|| given.clone(), |file| given.clone().over(file)),
            None => given,
        };
        let (listen, admin) = match role {
            Role::Up => ("127.0.0.1:8080", "127.0.0.1:9090"),
            Role::Control => ("127.0.0.1:8080", "127.0.0.1:9090"),
            Role::Proxy => ("127.0.0.1:8080", "127.0.0.1:0"),
            Role::Autoscaler | Role::Relay => ("127.0.0.1:0", "127.0.0.1:0"),
        };
        // Twice what edges take between two looks at readiness, and one timeout.
        let drain_delay = if role == Role::Up { "0s" } else { "5s" };
        if role.follows() && given.control.is_empty() {
            return Err(Failure::usage(format!(
                "`fprs {}` needs the admin address of control: give `--control HOST:PORT`",
                role.name()
            )));
        }
        Ok(Self {
            listen: address("listen", given.listen.as_deref().unwrap_or(listen))?,
            admin: address("admin", given.admin.as_deref().unwrap_or(admin))?,
            zone: zone(given.zone.as_deref().unwrap_or("region.localhost"))?,
            data_dir: given.data_dir.unwrap_or_else(|| DATA_DIR.into()),
            control: given.control,
            trusted_edges: networks("trusted-edges", &given.trusted_edges)?,
            admin_token: given.admin_token,
            compute_region: given.compute_region.unwrap_or_else(|| "local".to_owned()),
            capacity: positive("capacity", given.capacity.unwrap_or(64))?,
            cores: positive("cores", given.cores.unwrap_or_else(all_cores))?,
            drain: Drain {
                delay: duration(
                    "drain-delay",
                    given.drain_delay.as_deref().unwrap_or(drain_delay),
                )?,
                timeout: duration(
                    "drain-timeout",
                    given.drain_timeout.as_deref().unwrap_or("30s"),
                )?,
            },
            buffer_limit: bytes("buffer-limit", given.buffer_limit.as_deref())?,
            deadlines: deadlines("deadlines", &given.deadlines)?,
            log_format: given.log_format.unwrap_or_default(),
            ready_file: given.ready_file,
        })
    }
}

impl Given {
    /// What is given here wins over what the file says.
    fn over(self, file: Self) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            admin: self.admin.or(file.admin),
            zone: self.zone.or(file.zone),
            data_dir: self.data_dir.or(file.data_dir),
            control: if self.control.is_empty() {
                file.control
            } else {
                self.control
            },
            trusted_edges: if self.trusted_edges.is_empty() {
                file.trusted_edges
            } else {
                self.trusted_edges
            },
            admin_token: self.admin_token,
            compute_region: self.compute_region.or(file.compute_region),
            capacity: self.capacity.or(file.capacity),
            cores: self.cores.or(file.cores),
            drain_delay: self.drain_delay.or(file.drain_delay),
            buffer_limit: self.buffer_limit.or(file.buffer_limit),
            drain_timeout: self.drain_timeout.or(file.drain_timeout),
            deadlines: if self.deadlines.is_empty() {
                file.deadlines
            } else {
                self.deadlines
            },
            log_format: self.log_format.or(file.log_format),
            ready_file: self.ready_file.or(file.ready_file),
            config: self.config,
        }
    }
}

/// The settings file and whether it has to be there.
fn settings_file(given: &Given) -> Option<(PathBuf, bool)> {
    if let Some(path) = &given.config {
        return Some((path.clone(), true));
    }
    let data_dir = given
        .data_dir
        .as_deref()
        .unwrap_or_else(|| Path::new(DATA_DIR));
    Some((data_dir.join("fprs.toml"), false))
}

fn read_file(path: &Path, required: bool) -> Result<Option<Given>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        // Whether the data dir can be one is not for the settings to say.
        Err(error)
            if !required
                && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(Failure::new(format!(
                "can't read settings `{}`: {error}",
                path.display()
            )));
        }
    };
    toml::from_str(&text).map(Some).map_err(|error| {
        let from = error.span().map_or(0, |span| span.start);
        let line = 1 + text
            .bytes()
            .take(from)
            .filter(|byte| *byte == b'\n')
            .count();
        let message = error.message();
        Failure::new(format!(
            "settings `{}` line {line}: {message}",
            path.display()
        ))
    })
}

fn address(name: &str, text: &str) -> Result<SocketAddr, Failure> {
    text.parse().map_err(|_| {
        Failure::usage(format!(
            "`--{name} {text}`: not an address like 127.0.0.1:8080"
        ))
    })
}

/// A DNS suffix: labels of letters, digits and hyphens.
fn zone(text: &str) -> Result<String, Failure> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if text.len() <= 189 && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err(Failure::usage(format!(
        "`--zone {text}`: not a DNS suffix like us-west.region.example, in lower case and without a \
         dot at the ends"
    )))
}

fn networks(name: &str, texts: &[String]) -> Result<Vec<IpNet>, Failure> {
    let network = |text: &String| {
        text.parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| {
                Failure::usage(format!("`--{name} {text}`: not a network like 10.0.0.0/8"))
            })
    };
    texts.iter().map(network).collect()
}

fn positive<T: Default + PartialEq>(name: &str, number: T) -> Result<T, Failure> {
    if number == T::default() {
        return Err(Failure::usage(format!("`--{name} 0`: must be at least 1")));
    }
    Ok(number)
}

fn duration(name: &str, text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text)
        .map_err(|_| Failure::usage(format!("`--{name} {text}`: not a duration like 30s")))
}

/// A number of bytes, with or without a unit of 1,024.
fn bytes(name: &str, text: Option<&str>) -> Result<usize, Failure> {
    let Some(text) = text else {
        return Ok(limits::BUFFERED_BYTES);
    };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: Option<usize> = match text.get(digits.len()..) {
        Some("" | "B") => Some(1),
        Some("KiB") => Some(1 << 10),
        Some("MiB") => Some(1 << 20),
        Some("GiB") => Some(1 << 30),
        Some(_) | None => None,
    };
    let number: Option<usize> = digits.trim_end().parse().ok();
    match unit
        .zip(number)
        .map(|(unit, number)| unit.checked_mul(number))
    {
        Some(Some(limit)) if limit >= LEAST_BUFFER => Ok(limit),
        Some(Some(_)) => Err(Failure::usage(format!(
            "`--{name} {text}`: must be at least 1MiB, or ordinary exchanges would be ended"
        ))),
        Some(None) | None => Err(Failure::usage(format!(
            "`--{name} {text}`: not a size like 512MiB"
        ))),
    }
}

/// One stalled exchange holds up to half of this.
const LEAST_BUFFER: usize = 1 << 20;

/// `name=duration` each; a deadline of nothing would refuse everybody.
fn deadlines(name: &str, texts: &[String]) -> Result<Deadlines, Failure> {
    let mut deadlines = Deadlines::default();
    for text in texts {
        let set = text.split_once('=').is_some_and(|(which, after)| {
            humantime::parse_duration(after)
                .is_ok_and(|after| !after.is_zero() && deadlines.set(which, after))
        });
        if !set {
            return Err(Failure::usage(format!(
                "`--{name} {text}`: not a deadline like idle=2m; there are {}",
                Deadlines::NAMES.join(", ")
            )));
        }
    }
    Ok(deadlines)
}

fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("fprs.toml");
        std::fs::write(&config, "listen = \"127.0.0.1:1\"\nlog-format = \"json\"\n").unwrap();
        let given = Given {
            config: Some(config),
            zone: Some("zone.test".to_owned()),
            ..Given::default()
        };
        let settings = Settings::resolve(given.clone(), Role::Up).unwrap();
        assert_eq!(settings.listen.port(), 1);
        assert_eq!(settings.admin.port(), 9090);
        assert_eq!(settings.log_format, LogFormat::Json);
        let given = Given {
            listen: Some("127.0.0.1:2".to_owned()),
            ..given
        };
        assert_eq!(Settings::resolve(given, Role::Up).unwrap().listen.port(), 2);
    }

    #[test]
    fn sizes_have_units_of_1024() {
        let size = |text| bytes("buffer-limit", Some(text)).ok();
        assert_eq!(size("2097152"), Some(2 << 20));
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("2 GiB"), Some(2 << 30));
        for wrong in ["", "MiB", "1.5GiB", "-1", "1023KiB", "99999999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn wrong_settings_are_bad_usage_and_named() {
        let given = Given::default;
        let table = [
            (
                Given {
                    listen: Some("8080".to_owned()),
                    ..given()
                },
                "--listen",
            ),
            (
                Given {
                    zone: Some("Region.".to_owned()),
                    ..given()
                },
                "--zone",
            ),
            (
                Given {
                    cores: Some(0),
                    ..given()
                },
                "--cores",
            ),
            (
                Given {
                    drain_timeout: Some("soon".to_owned()),
                    ..given()
                },
                "--drain-timeout",
            ),
            (
                Given {
                    buffer_limit: Some("1GB".to_owned()),
                    ..given()
                },
                "--buffer-limit",
            ),
            (
                Given {
                    deadlines: vec!["head=5s".to_owned(), "headd=5s".to_owned()],
                    ..given()
                },
                "`--deadlines headd=5s`",
            ),
            (
                Given {
                    deadlines: vec!["idle=0s".to_owned()],
                    ..given()
                },
                "--deadlines",
            ),
        ];
        for (given, name) in table {
            let failure = Settings::resolve(given, Role::Up).unwrap_err();
            assert_eq!(failure.code(), 64);
            assert!(failure.to_string().contains(name), "{failure}");
        }
        let failure = Settings::resolve(given(), Role::Proxy).unwrap_err();
        assert!(failure.to_string().contains("--control"), "{failure}");
    }

    #[test]
    fn an_unknown_key_in_the_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("fprs.toml");
        std::fs::write(&config, "lisen = \"127.0.0.1:1\"\n").unwrap();
        let given = Given {
            config: Some(config),
            ..Given::default()
        };
        let failure = Settings::resolve(given, Role::Up).unwrap_err();
        assert!(failure.to_string().contains("lisen"), "{failure}");
    }
}
