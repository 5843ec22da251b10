//! A process group of ours. Dropped before it was released, it is killed.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;

use super::process;

/// The process group a program was started in; its number is the first process's.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    released: bool,
}

impl Group {
    /// The group of a child started with `process_group(0)`; `None` if it was reaped already.
    pub(super) fn led_by(child: &Child) -> Option<Self> {
        let leader = i32::try_from(child.id()?).ok()?;
        Some(Self {
            leader: Pid::from_raw(leader),
            released: false,
        })
    }

    pub(super) fn leader(&self) -> i32 {
        self.leader.as_raw()
    }

    /// Signals every process of the group. Nobody there is no error: it ended by itself.
    ///
    /// The number can't belong to a stranger: it stays taken while the group has a member, and
    /// numbers are given out in a circle, so not again within the moment after the last one's end.
    pub(super) fn signal(&self, signal: Signal) {
        match killpg(self.leader, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                tracing::error!(group = self.leader(), %signal, %error, "cannot signal program");
            }
        }
    }

    /// Nothing of it runs. Dead processes that nobody reaped don't count.
    pub(super) fn is_empty(&self) -> bool {
        match killpg(self.leader, None) {
            Err(Errno::ESRCH) => true,
            Ok(()) | Err(_) => !process::group_runs(self.leader()),
        }
    }

    /// There is nothing left to kill.
    pub(super) fn released(&mut self) {
        self.released = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.released {
            self.signal(Signal::SIGKILL);
        }
    }
}
