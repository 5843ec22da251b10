//! Becomes another program that ends when its parent does, however that ends.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::failure::Failure;

/// The command that runs us as [`run`]: our own binary, also if its file was replaced meanwhile.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let parent = std::process::id().to_string();
    command.args(["edge", "exec", "--parent", &parent, "--"]);
    command.arg(program);
    command
}

/// Replaces this process by the program, to be killed with the parent.
///
/// # Errors
/// The parent has ended already, or the program can't be run.
pub fn run(parent: u32, program: &[std::ffi::OsString]) -> Result<Infallible, Failure> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Failure::new(format!("can't be tied to the parent: {error}")))?;
    // It may have ended before the line above.
    let now = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get());
    if now.is_none_or(|now| i64::from(now) != i64::from(parent)) {
        return Err(Failure::new("the parent has ended"));
    }
    let Some((program, args)) = program.split_first() else {
        return Err(Failure::usage("no program is given"));
    };
    let error = Command::new(program).args(args).exec();
    Err(Failure::new(format!(
        "can't run `{}`: {error}",
        Path::new(program).display()
    )))
}
