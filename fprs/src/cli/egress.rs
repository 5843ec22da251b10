//! What can be typed about egress.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::settings::LogFormat;

/// What to do about static IPs for what leaves.
#[derive(Debug, Subcommand)]
pub enum EgressCommand {
    /// Hold static IPs: agents' traffic leaves by them
    Gateway(EgressRole),
    /// Keep tunnels to the gateways of each pool, for what this host binds to it
    Agent(EgressRole),
    /// Move static IPs from gateways that are gone or drained
    Reconciler(EgressRole),
    /// Be the CNI plugin, as its caller asks by environment and standard input
    Cni,
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
