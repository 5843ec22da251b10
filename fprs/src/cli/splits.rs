//! What can be typed about splits.

#![expect(
    missing_docs,
    reason = "doc comments here are help texts; what needs none has none"
)]

use clap::{Args, Subcommand};

use super::{Output, Target};

/// About splits.
#[derive(Debug, Subcommand)]
pub enum SplitCommand {
    /// Have some of a server's requests served by another server, or change whose
    Add(AddSplit),
    /// List the splits
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Send nothing to the variant until `resume`
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
    /// Remove a split: the server itself serves all its requests again
    Remove {
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

/// A split.
#[derive(Debug, Args)]
pub struct AddSplit {
    /// The server that is asked
    pub server: String,
    /// The server that serves some of its requests
    pub variant: String,
    /// What the split is called [default: SERVER-or-VARIANT]
    #[arg(long)]
    pub name: Option<String>,
    /// How many of the key's values go to the variant, 0.01 to 100
    #[arg(long)]
    pub percent: f64,
    /// What decides who goes there: request, client, token, header:NAME or cookie:NAME
    #[arg(long)]
    pub key: String,
    /// Splits and mirrors of one salt and key take the same callers
    #[arg(long, default_value = "")]
    pub salt: String,
    #[command(flatten)]
    pub target: Target,
}
