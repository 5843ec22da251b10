//! What can be typed about records that are staged for some cells first.

#![expect(
    missing_docs,
    reason = "doc comments here are help texts; what needs none has none"
)]

use clap::{Args, Subcommand};

use super::{Output, Target};

/// Where it comes in force first.
#[derive(Clone, Debug, Default, Args)]
pub struct Stage {
    /// Only in these cells, until `fprs rollout promote`
    #[arg(long, value_delimiter = ',')]
    pub cells: Vec<String>,
    /// Only in so many percent of all cells, until `fprs rollout promote`
    #[arg(long, value_name = "PERCENT")]
    pub cells_percent: Option<f64>,
}

impl Stage {
    /// What the control API is told; empty: everywhere.
    pub fn query(&self) -> String {
        let cells = (!self.cells.is_empty()).then(|| format!("cells={}", self.cells.join(",")));
        let percent = self.cells_percent;
        let percent = percent.map(|percent| format!("cells_percent={percent}"));
        let parts: Vec<_> = cells.into_iter().chain(percent).collect();
        parts.join("&")
    }
}

/// About what is staged.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// List what is staged, and for which cells
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Bring what is staged in force everywhere
    Promote {
        /// As `list` names it, e.g. `server/hello`
        set: String,
        #[command(flatten)]
        target: Target,
    },
    /// Take back what is staged
    Back {
        /// As `list` names it, e.g. `server/hello`
        set: String,
        #[command(flatten)]
        target: Target,
    },
}
