//! What a process was given, by flag, environment or file, before anything of it is checked: what is
//! said first wins.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use fprs_config::Secret;
use serde::Deserialize;

use super::{DATA_DIR, LogFormat};
use crate::failure::Failure;

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
    /// How clients reach servers, for the URLs that are told: https, http, or with a port https:8443
    /// [default: http at the data plane's port; of `up --edge` the edge's]
    #[arg(long, env = "FPRS_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Suffix of the host names this plane answers for [default: region.localhost]
    #[arg(long, env = "FPRS_ZONE")]
    pub zone: Option<String>,
    /// Where state is kept [default: ./.fprs]
    #[arg(long, env = "FPRS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where control keeps its records: a path, spanner://projects/P/instances/I/databases/D or
    /// etcd://host:port,…/prefix [default: store.redb in the data dir]
    #[arg(long, env = "FPRS_STORE")]
    pub store: Option<String>,
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
    /// Where this proxy is, for records that are staged for some cells first [default: nowhere, which has
    /// what is promoted]
    #[arg(long, env = "FPRS_CELL")]
    pub cell: Option<String>,
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
    /// Memory for what copies of requests hold on their way to shadows; beyond it copies are cut
    /// [default: 256MiB]
    #[arg(long, env = "FPRS_MIRROR_LIMIT")]
    pub mirror_limit: Option<String>,
    /// Where the proxy writes what mirrors capture [default: nowhere]
    #[arg(long, env = "FPRS_CAPTURE_DIR")]
    pub capture_dir: Option<PathBuf>,
    /// Where the egress agent of this machine keeps its state, for replicas that are reached by a pool
    /// [default: /run/fprs-egress]
    #[arg(long, env = "FPRS_EGRESS_STATE_DIR")]
    pub egress_state_dir: Option<PathBuf>,
    /// The egress pool by which proxies reach this worker [default: none]
    #[arg(long, env = "FPRS_REACHED_BY")]
    pub reached_by: Option<String>,
    /// Where closed captures go from there: s3://BUCKET/PREFIX, with the credentials, region and endpoint
    /// of the usual AWS_… variables [default: nowhere]
    #[arg(long, env = "FPRS_CAPTURE_STORE")]
    pub capture_store: Option<String>,
    /// Where the proxy writes a line of JSON for each request: a file, or `-` for standard output
    /// [default: nowhere]
    #[arg(long, env = "FPRS_ACCESS_LOG")]
    pub access_log: Option<PathBuf>,
    /// Settings of an egress reconciler: what its gateways say, and those of pools in the store, is shown
    /// on control's status page [default: none]
    #[arg(long, env = "FPRS_EGRESS")]
    pub egress: Option<PathBuf>,
    /// Where proxy and relay send spans of requests: OTLP over gRPC, e.g. http://127.0.0.1:4317, or
    /// https://… with TLS [default: what OTEL_EXPORTER_OTLP_ENDPOINT says, else nowhere]
    #[arg(long, env = "FPRS_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Who may have signed the certificate of that collector: a file of certificates in PEM
    /// [default: whom the system trusts]
    #[arg(long, env = "FPRS_OTLP_CA")]
    pub otlp_ca: Option<PathBuf>,
    /// Headers that the collector wants, over TLS only: a file with one a line, as
    /// `authorization: Bearer TOKEN` [default: none]
    #[arg(long, env = "FPRS_OTLP_HEADERS")]
    pub otlp_headers: Option<PathBuf>,
    /// Share of the requests that come without a decision which are traced, from 0 to 1
    /// [default: 0.01]
    #[arg(long, env = "FPRS_TRACE_SAMPLE")]
    pub trace_sample: Option<f64>,
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
    /// Of `up` only, where it is a set of flags.
    #[arg(skip)]
    pub edge: GivenEdge,
    /// Of `relay` only.
    #[arg(skip)]
    #[serde(skip)]
    pub pod: GivenPod,
    /// Of `control` only.
    #[arg(skip)]
    #[serde(skip)]
    pub kubernetes: GivenKubernetes,
    /// Settings file, with the names of these flags as keys [default: fprs.toml in the data dir]
    #[arg(long, env = "FPRS_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// The edge beside a plane; in the settings file a table of its own.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GivenEdge {
    /// Run an Envoy in front, with TLS; clients are to trust `edge/ca.pem` of the data dir
    #[arg(long, env = "FPRS_EDGE")]
    #[serde(rename = "run")]
    pub edge: bool,
    /// The edge's address [default: 127.0.0.1:8443]
    #[arg(long, env = "FPRS_EDGE_LISTEN")]
    #[serde(rename = "listen")]
    pub edge_listen: Option<String>,
    /// HTTP/3 too, on the UDP port of the same number
    #[arg(long, env = "FPRS_EDGE_HTTP3")]
    #[serde(rename = "http3")]
    pub edge_http3: bool,
    /// Envoy's binary [default: `envoy` on the path, else ~/.cache/fprs/envoy]
    #[arg(long, env = "FPRS_ENVOY")]
    pub envoy: Option<PathBuf>,
}

/// The pod a relay is part of, as the pod's own environment says.
#[derive(Args, Clone, Debug, Default)]
pub struct GivenPod {
    /// This relay is part of a pod that was made for a version of a server: SERVER/GENERATION. It
    /// runs nothing itself and forwards to the container beside
    #[arg(long, env = "FPRS_POD", requires = "pod_name", requires = "pod_ip")]
    pub pod: Option<String>,
    /// The pod's name, which is the worker's
    #[arg(long, env = "FPRS_POD_NAME")]
    pub pod_name: Option<String>,
    /// The pod's address; proxies reach the relay at its port 8001, probes at 8002
    #[arg(long, env = "FPRS_POD_IP")]
    pub pod_ip: Option<String>,
    /// Where the container beside listens [default: 127.0.0.1:8000]
    #[arg(long, env = "FPRS_POD_PROGRAM")]
    pub pod_program: Option<String>,
}

/// Replicas in pods, made by control.
#[derive(Args, Clone, Debug, Default)]
pub struct GivenKubernetes {
    /// Run servers with an `image` as pods in this namespace of the cluster that this process is in,
    /// or that its kubeconfig names; those of the compute region of `--compute-region`
    #[arg(
        long,
        env = "FPRS_KUBERNETES",
        requires = "kubernetes_relay_image",
        requires = "kubernetes_control"
    )]
    pub kubernetes: Option<String>,
    /// The image of the relay in each pod: that of fprs
    #[arg(long, env = "FPRS_KUBERNETES_RELAY_IMAGE")]
    pub kubernetes_relay_image: Option<String>,
    /// Admin addresses of control as those relays reach it
    #[arg(long, env = "FPRS_KUBERNETES_CONTROL", value_delimiter = ',')]
    pub kubernetes_control: Vec<String>,
    /// The Secret in that namespace that has a token of the role `worker` as `token`
    /// [default: fprs-worker]
    #[arg(long, env = "FPRS_KUBERNETES_TOKEN_SECRET")]
    pub kubernetes_token_secret: Option<String>,
    /// What `--otlp-ca` is to those relays, which send spans where `--otlp-endpoint` of control says: a
    /// Secret in that namespace and its key, e.g. collector/ca.crt
    #[arg(long, env = "FPRS_KUBERNETES_OTLP_CA", requires = "kubernetes")]
    pub kubernetes_otlp_ca: Option<String>,
    /// What `--otlp-headers` is to them, likewise
    #[arg(long, env = "FPRS_KUBERNETES_OTLP_HEADERS", requires = "kubernetes")]
    pub kubernetes_otlp_headers: Option<String>,
}

impl Given {
    /// Together with the settings file, which has to be there if one is named.
    ///
    /// # Errors
    /// It can't be read, or says what no settings file can.
    pub(super) fn with_file(self) -> Result<Self, Failure> {
        let file = match &self.config {
            Some(path) => read_file(path, true)?,
            None => {
                let data_dir = self.data_dir.as_deref();
                let data_dir = data_dir.unwrap_or_else(|| Path::new(DATA_DIR));
                read_file(&data_dir.join("fprs.toml"), false)?
            }
        };
        Ok(match file {
            Some(file) => self.over(file),
            None => self,
        })
    }

    /// What is given here wins over what the file says.
    fn over(self, file: Self) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            admin: self.admin.or(file.admin),
            public_url: self.public_url.or(file.public_url),
            zone: self.zone.or(file.zone),
            data_dir: self.data_dir.or(file.data_dir),
            store: self.store.or(file.store),
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
            cell: self.cell.or(file.cell),
            capacity: self.capacity.or(file.capacity),
            cores: self.cores.or(file.cores),
            drain_delay: self.drain_delay.or(file.drain_delay),
            buffer_limit: self.buffer_limit.or(file.buffer_limit),
            mirror_limit: self.mirror_limit.or(file.mirror_limit),
            capture_dir: self.capture_dir.or(file.capture_dir),
            egress_state_dir: self.egress_state_dir.or(file.egress_state_dir),
            reached_by: self.reached_by.or(file.reached_by),
            capture_store: self.capture_store.or(file.capture_store),
            access_log: self.access_log.or(file.access_log),
            egress: self.egress.or(file.egress),
            otlp_endpoint: self.otlp_endpoint.or(file.otlp_endpoint),
            otlp_ca: self.otlp_ca.or(file.otlp_ca),
            otlp_headers: self.otlp_headers.or(file.otlp_headers),
            trace_sample: self.trace_sample.or(file.trace_sample),
            drain_timeout: self.drain_timeout.or(file.drain_timeout),
            deadlines: if self.deadlines.is_empty() {
                file.deadlines
            } else {
                self.deadlines
            },
            log_format: self.log_format.or(file.log_format),
            ready_file: self.ready_file.or(file.ready_file),
            edge: self.edge.over(file.edge),
            pod: self.pod,
            kubernetes: self.kubernetes,
            config: self.config,
        }
    }
}

impl GivenEdge {
    fn over(self, file: Self) -> Self {
        Self {
            edge: self.edge || file.edge,
            edge_listen: self.edge_listen.or(file.edge_listen),
            edge_http3: self.edge_http3 || file.edge_http3,
            envoy: self.envoy.or(file.envoy),
        }
    }
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
        let message = nearest(error.message());
        Failure::new(format!(
            "settings `{}` line {line}: {message}",
            path.display()
        ))
    })
}

/// Of an unknown key the library names every known one; the nearest is what helps.
fn nearest(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names
        .next()
        .filter(|_| message.starts_with("unknown field"));
    let known = unknown
        .and_then(|unknown| names.min_by_key(|known| strsim::damerau_levenshtein(known, unknown)));
    match (unknown, known) {
        (Some(unknown), Some(known)) => {
            format!("unknown key `{unknown}`; the nearest valid key is `{known}`")
        }
        _ => message.to_owned(),
    }
}
