//! What can be typed about scaling: settings, the autoscaler that decides, and workers.

#![expect(
    missing_docs,
    reason = "doc comments here are help texts; what needs none has none"
)]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, Target};

/// Settings to change; those that aren't given stay, and `none` takes a limit or the target away.
#[derive(Debug, Args)]
pub struct ScalingArgs {
    /// Exchanges in flight a replica should have, e.g. 2.5
    #[arg(long)]
    pub target_concurrency: Option<String>,
    /// Never fewer
    #[arg(long)]
    pub min_replicas: Option<String>,
    /// Never more
    #[arg(long)]
    pub max_replicas: Option<String>,
    /// Extra while there is traffic
    #[arg(long)]
    pub buffer_replicas: Option<String>,
    /// How long load must ask for more, e.g. 10s
    #[arg(long)]
    pub scaleup_window: Option<String>,
    /// How long load must ask for fewer
    #[arg(long)]
    pub scaledown_window: Option<String>,
    /// Replicas that load may add in any minute
    #[arg(long)]
    pub scaleup_rate_limit: Option<String>,
    /// Replicas that may be taken away in any minute
    #[arg(long)]
    pub scaledown_rate_limit: Option<String>,
    /// Leave the pool as large as it is
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// Follow the load again
    #[arg(long)]
    pub resume: bool,
}

/// What to ask the autoscaler, or to do with what it recorded.
#[derive(Debug, Subcommand)]
pub enum AutoscalerCommand {
    /// Show the last decisions about a server: what they were made by and which rule bound them
    Why {
        name: String,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Record the decisions about a server as they are made, one JSON object a line
    Record {
        name: String,
        /// End after this long, e.g. `10m` [default: when interrupted]
        #[arg(long = "for")]
        duration: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Decide about a recorded load again, as it was or with other settings
    Simulate {
        /// What `record` printed, or lines like {"at_ms":0,"load":{"average":3}}
        #[arg(long)]
        trace: PathBuf,
        /// A setting to change, e.g. `scaledown_window=30s`; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// From a replica's request until it is ready
        #[arg(long, default_value = "1s")]
        startup: String,
        /// Write a picture of load, wanted and ready replicas there, as SVG
        #[arg(long)]
        svg: Option<PathBuf>,
        /// Compare with Knative's published algorithm
        #[arg(long)]
        knative: bool,
    },
}

/// What to do with workers.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// List the machines that run replicas
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Move everything off a worker and wait until nothing is left on it
    Drain {
        name: String,
        /// How long to wait; the worker drains on after that
        #[arg(long, default_value = "10m")]
        timeout: String,
        #[command(flatten)]
        target: Target,
    },
    /// Let a worker take replicas again
    Resume {
        name: String,
        #[command(flatten)]
        target: Target,
    },
}
