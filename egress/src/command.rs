//! The few programs that this crate runs, each with a deadline: `nft`, which alone knows its text, and
//! `arping`, since sending such a frame wants `unsafe`.

use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::limits;

/// Where they are, for processes that were started without a path, as CNI plugins may be.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that did not do it.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It is not there, or does not run.
    #[error("can't run `{program}` ({error}); install it: apt-get install {package}")]
    Missing {
        /// Which.
        program: &'static str,
        /// Debian's package of it.
        package: &'static str,
        /// Why.
        error: io::Error,
    },
    /// It said no.
    #[error("`{program}` refused: {said}")]
    Refused {
        /// Which.
        program: &'static str,
        /// The first lines of what it said.
        said: String,
    },
    /// It did not end.
    #[error("`{0}` did not end in time")]
    Hangs(&'static str),
}

/// Puts a ruleset in force, all of it or nothing.
///
/// # Errors
/// `nft` is not there or refuses the text.
pub async fn nft(text: &str) -> Result<(), CommandError> {
    run("nft", "nftables", &["-f", "-"], text).await
}

/// Tells everybody on the link that this host has that address now.
///
/// # Errors
/// `arping` is not there or fails.
pub async fn announce(uplink: &str, address: Ipv4Addr) -> Result<(), CommandError> {
    let address = address.to_string();
    let args = ["-q", "-c", "1", "-w", "1", "-U", "-I", uplink, &address];
    run("arping", "iputils-arping", &args, "").await
}

async fn run(
    program: &'static str,
    package: &'static str,
    args: &[&str],
    input: &str,
) -> Result<(), CommandError> {
    let missing = |error| CommandError::Missing {
        program,
        package,
        error,
    };
    let mut child = Command::new(program)
        .args(args)
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(missing)?;
    let stdin = child.stdin.take();
    let talk = async {
        if let Some(mut stdin) = stdin {
            // One that closes its input early says why itself.
            stdin.write_all(input.as_bytes()).await.ok();
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limits::COMMAND, talk)
        .await
        .map_err(|_| CommandError::Hangs(program))?
        .map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().take(3).collect::<Vec<_>>().join("; ");
    Err(CommandError::Refused { program, said })
}
