//! The one program that this crate runs, with a deadline: `nft`, which alone knows its text.

use std::io;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::limits;

/// Where they are, for processes that were started without a path, as CNI plugins may be.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A ruleset that is not in force.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not there, or does not run.
    #[error("can't run `nft` ({0}); install it: apt-get install nftables")]
    Missing(#[source] io::Error),
    /// It said no; the first lines of it.
    #[error("`nft` refused the rules: {0}")]
    Refused(String),
    /// It did not end.
    #[error("`nft` did not end in time")]
    Hangs,
}

/// Puts a ruleset in force, all of it or nothing.
///
/// # Errors
/// `nft` is not there or refuses the text.
pub async fn nft(text: &str) -> Result<(), CommandError> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(CommandError::Missing)?;
    let stdin = child.stdin.take();
    let talk = async {
        if let Some(mut stdin) = stdin {
            // One that closes its input early says why itself.
            stdin.write_all(text.as_bytes()).await.ok();
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limits::COMMAND, talk)
        .await
        .map_err(|_| CommandError::Hangs)?
        .map_err(CommandError::Missing)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().take(3).collect::<Vec<_>>().join("; ");
    Err(CommandError::Refused(said))
}
