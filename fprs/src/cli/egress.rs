//! What can be typed about egress.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, Target};
use crate::settings::LogFormat;

/// What to do about static IPs for what leaves.
#[derive(Debug, Subcommand)]
pub enum EgressCommand {
    /// Hold static IPs: agents' traffic leaves by them
    Gateway(FollowingRole),
    /// Keep tunnels to the gateways of each pool, for what this host binds to it
    Agent(FollowingRole),
    /// Move static IPs from gateways that are gone or drained
    Reconciler(EgressRole),
    /// About egress pools: static IPs, and the gateways that hold them
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Be the CNI plugin, as its caller asks by environment and standard input
    Cni,
    /// Remove devices of the kernel when the process that made them has ended
    #[command(hide = true)]
    Guard,
    /// Show what a gateway holds and who uses it
    Status {
        /// The gateway's control address
        gateway: SocketAddr,
        /// The authority that signed its certificate, in PEM
        #[arg(long)]
        authority: PathBuf,
        /// The file with the gateway's admin secret
        #[arg(long)]
        secret_file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a gateway's certificate, and the authority that signs it if there is none yet
    Certificate {
        /// The gateway's name: `<name>.pem` and `<name>.key`
        name: String,
        /// The address that agents connect to
        address: IpAddr,
        /// Where `ca.pem`, `ca.key` and the certificate are
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
}

/// About egress pools.
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    /// Make a pool, or change one
    Add(AddPool),
    /// List the pools
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Remove a pool that no server uses
    Remove {
        /// The pool
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Move a pool's addresses away from one of its gateways
    Drain(OfGateway),
    /// Let a gateway own addresses of a pool again
    Resume(OfGateway),
}

/// An egress pool.
#[derive(Debug, Args)]
pub struct AddPool {
    /// What manifests call it
    pub name: String,
    /// A static IP; may be repeated
    #[arg(long = "ip", required = true, value_name = "IP")]
    pub static_ips: Vec<Ipv4Addr>,
    /// A gateway that can hold them, and where its control listens, the preferred one first; may be
    /// repeated
    #[arg(long = "gateway", required = true, value_name = "NAME=IP:PORT")]
    pub gateways: Vec<String>,
    /// What moves an address: `link` (ARP on a link that all gateways share) or `aws`
    #[arg(long, default_value = "link")]
    pub provider: String,
    /// What new connections do while no gateway holds an address: `strict`, they wait, or
    /// `prefer-available`, they leave by another one of the pool
    #[arg(long, default_value = "strict")]
    pub policy: String,
    /// Megabits a second of each static IP, each way
    #[arg(long)]
    pub megabits: Option<u32>,
    /// Whose servers alone may use it
    #[arg(long)]
    pub tenant: Option<String>,
    #[command(flatten)]
    pub target: Target,
}

/// A gateway of a pool.
#[derive(Debug, Args)]
pub struct OfGateway {
    /// The pool
    pub name: String,
    /// The gateway
    pub gateway: String,
    #[command(flatten)]
    pub target: Target,
}

/// How a gateway or an agent is run.
#[derive(Debug, Args)]
pub struct FollowingRole {
    #[command(flatten)]
    pub role: EgressRole,
    /// Have pools of a plane, too: an admin address of control; may be repeated
    #[arg(long, value_name = "HOST:PORT", requires = "token_file")]
    pub control: Vec<String>,
    /// The file with the token for that: an admin's for a gateway, a viewer's for an agent
    #[arg(long, requires = "control")]
    pub token_file: Option<PathBuf>,
    /// A pool of the plane; may be repeated. A gateway has all that name it, unless some are said here
    #[arg(long = "pool", value_name = "NAME", requires = "control")]
    pub pools: Vec<String>,
}

/// How a process of egress is run.
#[derive(Debug, Args)]
pub struct EgressRole {
    /// Its settings, in TOML
    pub settings: PathBuf,
    /// Written when it serves
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
    /// How to log
    #[arg(long, env = "FPRS_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}
