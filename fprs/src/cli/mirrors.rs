//! What can be typed about mirrors.

#![expect(
    missing_docs,
    reason = "doc comments here are help texts; what needs none has none"
)]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::rollouts::Stage;
use super::{Output, Target};

/// About mirrors.
#[derive(Debug, Subcommand)]
pub enum MirrorCommand {
    /// Copy a server's requests to another server, or change how
    Add(Box<AddMirror>),
    /// List the mirrors
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Show what became of the copies and how the shadow's answers differed, at all proxies
    Report {
        name: String,
        /// The mirror whose differences are noise [default: the one of that server to itself, if any]
        #[arg(long)]
        baseline: Option<String>,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Send captured requests again, one after the other, byte for byte
    Replay(Replay),
    /// Copy nothing until `resume`
    Pause {
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Go on after a pause
    Resume {
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a mirror
    Remove {
        name: String,
        #[command(flatten)]
        stage: Stage,
        #[command(flatten)]
        target: Target,
    },
}

/// A mirror.
#[derive(Debug, Args)]
pub struct AddMirror {
    /// Whose requests are copied
    pub server: String,
    /// The server that gets the copies; its answers go nowhere. The same one again, with `--compare`, is
    /// a baseline: what it differs from itself by is noise
    pub shadow: String,
    /// What the mirror is called [default: SERVER-to-SHADOW]
    #[arg(long)]
    pub name: Option<String>,
    /// How many of the key's values are copied, 0.01 to 100
    #[arg(long, default_value_t = 100.0)]
    pub percent: f64,
    /// What decides who is copied: request, client, token, header:NAME or cookie:NAME
    #[arg(long, default_value = "request")]
    pub key: String,
    /// Mirrors of one salt and key take the same callers
    #[arg(long, default_value = "")]
    pub salt: String,
    /// Bytes one copy may hold of its request, in one proxy [default: 1048576]
    #[arg(long)]
    pub exchange_bytes: Option<usize>,
    /// Copies in flight at a time, in one proxy [default: 100]
    #[arg(long)]
    pub copies: Option<u32>,
    /// How long a copy may take, e.g. `90s` [default: 60s]
    #[arg(long)]
    pub deadline: Option<String>,
    /// Compare the shadow's answers with those that clients get
    #[arg(long)]
    pub compare: bool,
    /// Headers to compare, beside status and body
    #[arg(long, value_delimiter = ',', requires = "compare")]
    pub compare_headers: Vec<String>,
    /// JSON values that may differ, like `/choices/*/id`
    #[arg(long, value_delimiter = ',', requires = "compare")]
    pub ignore: Vec<String>,
    /// Write requests and answers down, in the capture directory of each proxy
    #[arg(long)]
    pub capture: bool,
    /// Headers to write down; those that give access never are
    #[arg(
        long,
        value_delimiter = ',',
        requires = "capture",
        default_value = "content-type"
    )]
    pub capture_headers: Vec<String>,
    /// JSON values to leave out, like `/messages/*/content`
    #[arg(long, value_delimiter = ',', requires = "capture")]
    pub redact: Vec<String>,
    /// Write down queries too
    #[arg(long, requires = "capture")]
    pub capture_query: bool,
    #[command(flatten)]
    pub stage: Stage,
    #[command(flatten)]
    pub target: Target,
}

/// What to send again, and where.
#[derive(Debug, Args)]
pub struct Replay {
    /// Captures, `.jsonl.zst`
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Where to send the requests, e.g. `http://127.0.0.1:8080`
    #[arg(long)]
    pub to: String,
    /// A header more for each, e.g. `host: next.region.localhost`
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    #[command(flatten)]
    pub output: Output,
}
