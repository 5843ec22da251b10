//! What a process is started with: flags and environment before the settings file before the
//! defaults, checked once into values that hold.

mod given;
mod headers;
mod kubernetes;
mod traces;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use fprs_config::{Secret, StoreAddress};
use fprs_control::PublicUrl;
use fprs_forward::{Deadlines, limits};
use ipnet::IpNet;
use serde::Deserialize;

use crate::failure::Failure;
use crate::proxy::access_log::Destination;
use crate::proxy::mirror::{Bucket, HELD_BYTES};

pub use given::{Given, GivenEdge, GivenKubernetes, GivenPod};
pub use headers::{Header, of_file as headers_of_file};
pub use kubernetes::{Kubernetes, Pod, PodCollector, SecretKey};
pub use traces::{Tracing, Trust};
pub use values::store;
use values::{address, bytes, cell, deadlines, duration, networks, positive, public_url, zone};

/// The edge beside a plane.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Where it listens.
    pub listen: SocketAddr,
    /// HTTP/3 too.
    pub http3: bool,
    /// Envoy's binary, where one is named.
    pub envoy: Option<PathBuf>,
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
    /// How clients reach servers; `None`: as the data plane or the edge beside it listens.
    pub public_url: Option<PublicUrl>,
    /// Lower case, no dot at the ends.
    pub zone: String,
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// Where control keeps its records; `None`: in the data dir.
    pub store: Option<StoreAddress>,
    /// Control processes to follow; empty for `up` and `control`.
    pub control: Vec<String>,
    /// Whose word about clients is believed.
    pub trusted_edges: Vec<IpNet>,
    /// Given outright; `None`: the data dir's.
    pub admin_token: Option<Secret>,
    /// Of this worker.
    pub compute_region: String,
    /// Where this proxy is.
    pub cell: Option<String>,
    /// Of this worker.
    pub capacity: u32,
    /// Threads of the data plane.
    pub cores: usize,
    /// The edge beside the plane.
    pub edge: Option<Edge>,
    /// What happens after SIGTERM.
    pub drain: Drain,
    /// For what exchanges hold that can't go on, in bytes.
    pub buffer_limit: usize,
    /// For what copies of requests hold on their way to shadows, in bytes.
    pub mirror_limit: usize,
    /// Where the proxy writes what mirrors capture, if anywhere.
    pub capture_dir: Option<PathBuf>,
    /// Where the egress agent of this machine keeps its state.
    pub egress_state_dir: PathBuf,
    /// The egress pool by which proxies reach this worker; empty: by none.
    pub reached_by: String,
    /// Where captures go from there, if anywhere.
    pub capture_store: Option<Bucket>,
    /// Where the proxy writes a line for each request, if anywhere.
    pub access_log: Option<Destination>,
    /// Settings of the egress that control tells of, if there is one.
    pub egress: Option<PathBuf>,
    /// Where spans go, if anywhere.
    pub tracing: Option<Tracing>,
    /// What clients of the proxy are held to.
    pub deadlines: Deadlines,
    /// The pod this relay is part of.
    pub pod: Option<Pod>,
    /// Where control runs what has an image.
    pub kubernetes: Option<Kubernetes>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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
const EGRESS_STATE_DIR: &str = "/run/fprs-egress";

impl Settings {
    /// Puts together what was given and the settings file, and checks it.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub fn resolve(given: Given, role: Role) -> Result<Self, Failure> {
        let mut given = given.with_file()?;
        let (listen, admin) = match role {
            Role::Up => ("127.0.0.1:8080", "127.0.0.1:9090"),
            Role::Control => ("127.0.0.1:8080", "127.0.0.1:9090"),
            Role::Proxy => ("127.0.0.1:8080", "127.0.0.1:0"),
            Role::Autoscaler | Role::Relay => ("127.0.0.1:0", "127.0.0.1:0"),
        };
        let capture_store = capture_store(&given)?;
        // Twice what edges take between two looks at readiness, and one timeout.
        let drain_delay = if role == Role::Up { "0s" } else { "5s" };
        if role.follows() && given.control.is_empty() {
            return Err(Failure::usage(format!(
                "`fprs {}` needs the admin address of control: give `--control HOST:PORT`",
                role.name()
            )));
        }
        let tracing = tracing(&mut given)?;
        let pod = given.pod.checked()?;
        let own = |given: Option<&str>, default: &str, pods: Option<SocketAddr>, name: &str| match (
            given, pods,
        ) {
            (None, Some(address)) => Ok(address),
            (given, _) => address(name, given.unwrap_or(default)),
        };
        let (data, probes) = pod.as_ref().map(|pod| (pod.listen, pod.admin)).unzip();
        Ok(Self {
            listen: own(given.listen.as_deref(), listen, data, "listen")?,
            admin: own(given.admin.as_deref(), admin, probes, "admin")?,
            kubernetes: given.kubernetes.checked(tracing.as_ref())?,
            pod,
            public_url: given.public_url.as_deref().map(public_url).transpose()?,
            zone: zone(given.zone.as_deref().unwrap_or("region.localhost"))?,
            data_dir: given.data_dir.unwrap_or_else(|| DATA_DIR.into()),
            store: given.store.as_deref().map(store).transpose()?,
            control: given.control,
            trusted_edges: networks("trusted-edges", &given.trusted_edges)?,
            admin_token: given.admin_token,
            compute_region: given.compute_region.unwrap_or_else(|| "local".to_owned()),
            cell: given.cell.as_deref().map(cell).transpose()?,
            capacity: positive("capacity", given.capacity.unwrap_or(64))?,
            cores: positive("cores", given.cores.unwrap_or_else(all_cores))?,
            edge: given.edge.checked()?,
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
            buffer_limit: bytes(
                "buffer-limit",
                given.buffer_limit.as_deref(),
                limits::BUFFERED_BYTES,
            )?,
            mirror_limit: bytes("mirror-limit", given.mirror_limit.as_deref(), HELD_BYTES)?,
            capture_store,
            capture_dir: given.capture_dir,
            egress_state_dir: given
                .egress_state_dir
                .unwrap_or_else(|| EGRESS_STATE_DIR.into()),
            reached_by: given.reached_by.unwrap_or_default(),
            access_log: given.access_log.map(destination),
            egress: given.egress,
            tracing,
            deadlines: deadlines("deadlines", &given.deadlines)?,
            log_format: given.log_format.unwrap_or_default(),
            ready_file: given.ready_file,
        })
    }
}

impl GivenEdge {
    fn checked(self) -> Result<Option<Edge>, Failure> {
        let listen = self.edge_listen.as_deref().unwrap_or("127.0.0.1:8443");
        let edge = Edge {
            listen: address("edge-listen", listen)?,
            http3: self.edge_http3,
            envoy: self.envoy,
        };
        Ok(self.edge.then_some(edge))
    }
}

/// Captures are in a directory until they are in the store.
fn capture_store(given: &Given) -> Result<Option<Bucket>, Failure> {
    let Some(store) = &given.capture_store else {
        return Ok(None);
    };
    if given.capture_dir.is_none() {
        return Err(Failure::usage(
            "--capture-store needs --capture-dir, where captures wait until they are uploaded",
        ));
    }
    let bucket = store.parse::<Bucket>();
    bucket
        .map(Some)
        .map_err(|error| Failure::usage(format!("--capture-store `{store}`: {error}")))
}

fn tracing(given: &mut Given) -> Result<Option<Tracing>, Failure> {
    let asked = traces::Asked {
        endpoint: given.otlp_endpoint.take(),
        authorities: given.otlp_ca.take(),
        headers: given.otlp_headers.take(),
        sample: given.trace_sample,
    };
    Tracing::of(
        asked,
        |name| std::env::var(name).ok(),
        |file| std::fs::read_to_string(file),
    )
}

fn destination(path: PathBuf) -> Destination {
    match path.as_os_str() == "-" {
        true => Destination::Stdout,
        false => Destination::File(path),
    }
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
    #[expect(clippy::too_many_lines, reason = "a table")]
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
                    public_url: Some("https://plane.example".to_owned()),
                    ..given()
                },
                "--public-url",
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
                    mirror_limit: Some("1KiB".to_owned()),
                    ..given()
                },
                "--mirror-limit",
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
                    otlp_endpoint: Some("ftp://collector:4317".to_owned()),
                    ..given()
                },
                "--otlp-endpoint",
            ),
            (
                Given {
                    otlp_endpoint: Some("https://collector:4317".to_owned()),
                    otlp_ca: Some("/nowhere/ca.pem".into()),
                    ..given()
                },
                "`--otlp-ca /nowhere/ca.pem`",
            ),
            (
                Given {
                    trace_sample: Some(5.0),
                    ..given()
                },
                "--trace-sample",
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
    fn the_edge_is_a_table_of_the_file_and_flags_win_over_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("fprs.toml");
        let text = "[edge]\nrun = true\nlisten = \"127.0.0.1:1\"\nhttp3 = true\n";
        std::fs::write(&config, text).unwrap();
        let given = Given {
            config: Some(config),
            edge: GivenEdge {
                edge_listen: Some("127.0.0.1:2".to_owned()),
                ..GivenEdge::default()
            },
            ..Given::default()
        };
        let edge = Settings::resolve(given, Role::Up).unwrap().edge.unwrap();
        assert_eq!((edge.listen.port(), edge.http3), (2, true));
        assert!(
            Settings::resolve(Given::default(), Role::Up)
                .unwrap()
                .edge
                .is_none()
        );
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
