//! What can be typed: commands, flags and the environment variables that stand for them.

#![expect(
    missing_docs,
    reason = "doc comments here are help texts; what needs none has none"
)]

pub mod callers;
pub mod egress;
pub mod mirrors;
pub mod rollouts;
pub mod scaling;
pub mod splits;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use fprs_config::Secret;

use crate::settings::{Given, GivenEdge, GivenKubernetes, GivenPod, Role};

use self::callers::{IssuerCommand, TenantCommand, TokenCommand};
use self::egress::EgressCommand;
use self::mirrors::MirrorCommand;
use self::rollouts::{RolloutCommand, Stage};
use self::scaling::{AutoscalerCommand, ScalingArgs, WorkerCommand};
use self::splits::SplitCommand;

/// The routing plane for serverless servers.
#[derive(Debug, Parser)]
#[command(name = "fprs", version = crate::version::TEXT, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole plane on this machine: control, proxy, autoscaler and relay
    Up {
        /// Servers to deploy once it runs
        manifests: Vec<PathBuf>,
        #[command(flatten)]
        edge: GivenEdge,
        #[command(flatten)]
        given: Given,
    },
    /// The Envoy in front of a fleet
    #[command(subcommand)]
    Edge(Edge),
    /// Static IPs for what leaves
    #[command(subcommand)]
    Egress(EgressCommand),
    /// Run the proxy alone, following a control process
    Proxy {
        /// Relieve the proxy that runs in the data dir: take its listeners over, serve, let it drain
        #[arg(long)]
        take_over: bool,
        #[command(flatten)]
        given: Given,
    },
    /// Run control alone: store, feed, control API, placement
    Control {
        #[command(flatten)]
        kubernetes: GivenKubernetes,
        #[command(flatten)]
        given: Given,
    },
    /// Run the autoscaler alone, following a control process; or ask the one that decides
    #[command(args_conflicts_with_subcommands = true)]
    Autoscaler {
        #[command(subcommand)]
        ask: Option<AutoscalerCommand>,
        #[command(flatten)]
        given: Given,
    },
    /// Run a relay alone: this machine becomes a worker
    Relay {
        #[command(flatten)]
        pod: GivenPod,
        #[command(flatten)]
        given: Given,
    },
    /// Deploy a server from its manifest
    Deploy {
        /// The manifest
        manifest: PathBuf,
        #[command(flatten)]
        stage: Stage,
        #[command(flatten)]
        target: Target,
    },
    /// List the deployed servers
    Servers {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Show one server: what runs, where it answers, and what is wrong with it
    Server {
        name: String,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Change how many replicas a server has while it runs, and show all settings
    Scale {
        name: String,
        #[command(flatten)]
        settings: ScalingArgs,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// List, empty and reuse the machines that run replicas
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// List a server's replicas
    Replicas {
        name: String,
        /// Failed ones too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Show what a server's replicas print
    Logs {
        name: String,
        /// So many lines of each replica, from the end
        #[arg(long, short = 'n', default_value_t = 100)]
        lines: u32,
        /// Go on with what is printed from now on
        #[arg(long, short)]
        follow: bool,
        /// Only this replica
        #[arg(long)]
        replica: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Make, list, rotate and revoke tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make, list, change and delete tenants
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Add, list and remove issuers of JWTs
    #[command(subcommand)]
    Issuer(IssuerCommand),
    /// Copy a server's requests to another one, and see how it does
    #[command(subcommand)]
    Mirror(MirrorCommand),
    /// Send some of a server's requests to another server, always the same callers'
    #[command(subcommand)]
    Split(SplitCommand),
    /// Show what tenants used in a month: exchanges, bytes, seconds of replicas
    Usage {
        /// Only this tenant's servers
        #[arg(long)]
        tenant: Option<String>,
        /// Which month, UTC, like 2026-11 [default: this one]
        #[arg(long)]
        month: Option<String>,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Watch the fleet in the terminal: servers, replicas, requests, refusals, configuration
    Top {
        /// Print it once, as plain text, and end
        #[arg(long)]
        once: bool,
        /// Between two looks
        #[arg(long, default_value = "1s")]
        interval: String,
        /// Admin addresses of proxies whose requests count, where they are processes of their own
        #[arg(long, value_delimiter = ',')]
        proxies: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// List, promote and take back what is staged for some cells
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Delete a server; its replicas end what they are doing
    Delete {
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Look at this machine and say what a role would lack on it
    Doctor {
        /// The process that is to run here
        #[arg(long, value_enum, default_value_t = Role::Up)]
        role: Role,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        given: Given,
    },
    /// Print completions for a shell, e.g. for `source <(fprs completions bash)`
    Completions { shell: Shell },
    /// Print the manual page
    Man {
        /// Write it there, and one for every command
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Prepare, check, back up or move the store that control keeps its records in
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
}

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Create what is missing of it and bring it to this build's schema
    Init {
        #[command(flatten)]
        place: StorePlace,
    },
    /// Read all of it and say which records this build could not use
    Check {
        #[command(flatten)]
        place: StorePlace,
    },
    /// Write every record to a file
    Export {
        file: PathBuf,
        #[command(flatten)]
        place: StorePlace,
    },
    /// Write every record of a file to an empty store
    Import {
        file: PathBuf,
        #[command(flatten)]
        place: StorePlace,
    },
}

/// Which store.
#[derive(Debug, Args)]
pub struct StorePlace {
    /// A path, spanner://projects/P/instances/I/databases/D or etcd://host:port,…/prefix
    /// [default: store.redb in the data dir]
    #[arg(long, env = "FPRS_STORE")]
    pub store: Option<String>,
    /// Where the plane keeps its state
    #[arg(long, env = "FPRS_DATA_DIR", default_value = "./.fprs")]
    pub data_dir: PathBuf,
}

/// What to do about the edge.
#[derive(Debug, Subcommand)]
pub enum Edge {
    /// Print the bootstrap of an edge, for `envoy -c`
    Render {
        /// What differs from one edge to another, in TOML
        settings: PathBuf,
        /// Only if Envoy accepts it
        #[arg(long)]
        check: bool,
        /// Write it to this file instead
        #[arg(long)]
        out: Option<PathBuf>,
        /// Envoy's binary [default: `envoy` on the path, else ~/.cache/fprs/envoy]
        #[arg(long, env = "FPRS_ENVOY")]
        envoy: Option<PathBuf>,
    },
    /// Write a certificate from elsewhere as an edge watches it, for hooks that renew it
    Certificate {
        /// `wildcard`, or the first of its domains as the edge's settings have them
        name: String,
        /// The certificate and those between it and its authority, in PEM
        #[arg(long)]
        chain: PathBuf,
        /// Its key, in PEM
        #[arg(long)]
        key: PathBuf,
        /// The watched file, replaced at once
        #[arg(long)]
        to: PathBuf,
    },
    /// Become a program that ends with its parent
    #[command(hide = true)]
    Exec {
        #[arg(long)]
        parent: u32,
        #[arg(last = true)]
        program: Vec<OsString>,
    },
}

/// Which plane a command talks to.
#[derive(Debug, Args)]
pub struct Target {
    /// Address of the control API [default: that of the plane that runs in the data dir]
    #[arg(long, env = "FPRS_ADMIN")]
    pub admin: Option<String>,
    /// Where the plane keeps its address and admin token
    #[arg(long, env = "FPRS_DATA_DIR", default_value = "./.fprs")]
    pub data_dir: PathBuf,
    /// The token to ask with [default: the admin token in the data dir]
    #[arg(long, env = "FPRS_ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<Secret>,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
