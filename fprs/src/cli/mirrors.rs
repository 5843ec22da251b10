//! What can be typed about mirrors.

#![expect(
    missing_docs,
    reason = "doc comments here are help texts; what needs none has none"
)]

use clap::{Args, Subcommand};

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
    /// Show what became of the copies and how the shadow's answers differed, at the proxy that is asked
    Report {
        name: String,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
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
        target: Target,
    },
}

/// A mirror.
#[derive(Debug, Args)]
pub struct AddMirror {
    /// Whose requests are copied
    pub server: String,
    /// The server that gets the copies; its answers go nowhere
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
    #[command(flatten)]
    pub target: Target,
}
