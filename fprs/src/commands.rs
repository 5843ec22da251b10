//! One file for what users ask of a plane, one for each way of running it.

mod ask;
mod roles;
mod up;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::settings::{Role, Settings};

/// Parses the command line, runs the command and says how it went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fprs: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// clap's message; help and version are no failures.
fn usage(error: &clap::Error) -> ExitCode {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(Failure::usage("").code()),
    };
    // Nobody is left to tell when standard error is closed.
    error.print().ok();
    code
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up { manifests, given } => {
            up::run(Settings::resolve(given, Role::Up)?, &manifests)
        }
        Command::Proxy { given } => roles::proxy(Settings::resolve(given, Role::Proxy)?),
        Command::Control { given } => roles::control(Settings::resolve(given, Role::Control)?),
        Command::Autoscaler { given } => {
            roles::autoscaler(Settings::resolve(given, Role::Autoscaler)?)
        }
        Command::Relay { given } => roles::relay(Settings::resolve(given, Role::Relay)?),
        Command::Deploy { manifest, target } => ask::deploy(&manifest, &target),
        Command::Servers { target, output } => ask::servers(&target, output),
        Command::Server {
            name,
            target,
            output,
        } => ask::server(&name, &target, output),
        Command::Replicas {
            name,
            all,
            target,
            output,
        } => ask::replicas(&name, all, &target, output),
        Command::Logs {
            name,
            lines,
            follow,
            replica,
            target,
        } => ask::logs(&name, lines, follow, replica.as_deref(), &target),
        Command::Delete { name, target } => ask::delete(&name, &target),
    }
}
