//! Devices of the kernel end with the process that made them, killed or not: a tunnel that goes on without its
//! gateway looks alive to agents, and leads nowhere. A program beside the process, `fprs egress guard`, is told
//! by its standard input which devices there are, and removes them when that ends.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use crate::network::{Network, NetworkError};

/// This process's.
static GUARD: Mutex<Guard> = Mutex::new(Guard {
    input: None,
    kept: BTreeSet::new(),
});

struct Guard {
    /// Of the program, once there is a device.
    input: Option<ChildStdin>,
    kept: BTreeSet<u32>,
}

impl Guard {
    /// Tells the program; another one, with all that there is, if that is gone.
    fn tell(&mut self, word: &str) -> io::Result<()> {
        if let Some(input) = &mut self.input
            && input.write_all(word.as_bytes()).is_ok()
        {
            return Ok(());
        }
        let input = self.input.insert(start()?);
        for index in &self.kept {
            writeln!(input, "+{index}")?;
        }
        input.write_all(word.as_bytes())
    }
}

/// A device that ends with this value, or with the process.
#[derive(Debug)]
pub(super) struct Kept(u32);

/// Has the guard know of a device, by its number: another one may have its name by then.
///
/// # Errors
/// The guard can't be started.
pub(super) fn keep(index: u32) -> io::Result<Kept> {
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    guard.tell(&format!("+{index}\n"))?;
    guard.kept.insert(index);
    Ok(Kept(index))
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
        guard.kept.remove(&self.0);
        if let Err(error) = guard.tell(&format!("-{}\n", self.0)) {
            tracing::warn!(%error, index = self.0, "the kernel keeps a tunnel's device");
        }
    }
}

fn start() -> io::Result<ChildStdin> {
    let mut child = Command::new("/proc/self/exe")
        .args(["egress", "guard"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // What ends a terminal's programs is not for it.
        .process_group(0)
        .spawn()?;
    let stdin = child.stdin.take();
    stdin.ok_or_else(|| io::Error::other("it has no input"))
}

/// The guard itself: until its input ends, and everything it was told of is gone.
///
/// # Errors
/// There is no netlink, or its input can't be read.
pub async fn guard() -> Result<(), NetworkError> {
    let network = Network::open()?;
    // It ends after the process, not with it.
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        drop(signal(kind).map_err(NetworkError::Open)?);
    }
    let mut kept = BTreeSet::new();
    // Nothing else is to be done until there is a line.
    for line in io::stdin().lines() {
        let line = line.map_err(NetworkError::Open)?;
        match told(&line) {
            Some(Told::Keep(index)) => {
                kept.insert(index);
            }
            Some(Told::End(index)) => {
                kept.remove(&index);
                remove(&network, index).await;
            }
            None => tracing::warn!(line, "the guard was told what it does not understand"),
        }
    }
    for index in kept {
        remove(&network, index).await;
    }
    Ok(())
}

async fn remove(network: &Network, index: u32) {
    if let Err(error) = network.remove_link(index).await {
        tracing::warn!(%error, "the kernel keeps a tunnel's device");
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Keep(u32),
    End(u32),
}

fn told(line: &str) -> Option<Told> {
    match line.split_at_checked(1)? {
        ("+", index) => index.parse().ok().map(Told::Keep),
        ("-", index) => index.parse().ok().map(Told::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_understands_what_it_is_told_and_nothing_else() {
        assert_eq!(told("+17"), Some(Told::Keep(17)));
        assert_eq!(told("-17"), Some(Told::End(17)));
        for wrong in ["", "+", "17", "*17", "+x", "-1.5", "\u{e9}7"] {
            assert_eq!(told(wrong), None, "{wrong}");
        }
    }
}
