//! One file for what users ask of a plane, one for each way of running it.

mod ask;
mod autoscaler;
mod callers;
mod doctor;
mod edge;
mod egress;
mod manual;
mod mirrors;
mod roles;
mod rollouts;
mod scaling;
mod splits;
mod store;
mod top;
mod up;
mod usage;
mod used;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::settings::{Given, Role, Settings};

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

/// What was called wrongly, in one line; help and version are no failures.
fn usage(error: &clap::Error) -> ExitCode {
    let code = Failure::usage("").code();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nobody is left to tell when standard output is closed.
            error.print().ok();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.print().ok();
            ExitCode::from(code)
        }
        _ => {
            eprintln!("fprs: {}", usage::line(&error.render().to_string()));
            ExitCode::from(code)
        }
    }
}

#[expect(clippy::too_many_lines, reason = "an arm a command, each a call")]
fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up {
            manifests,
            edge,
            given,
        } => {
            let given = Given { edge, ..given };
            up::run(Settings::resolve(given, Role::Up)?, &manifests)
        }
        Command::Edge(command) => edge::run(command),
        Command::Egress(command) => egress::run(command),
        Command::Proxy { take_over, given } => {
            roles::proxy(Settings::resolve(given, Role::Proxy)?, take_over)
        }
        Command::Control { kubernetes, given } => {
            let given = Given {
                kubernetes,
                ..given
            };
            roles::control(Settings::resolve(given, Role::Control)?)
        }
        Command::Autoscaler { ask: Some(ask), .. } => autoscaler::run(ask),
        Command::Autoscaler { ask: None, given } => {
            roles::autoscaler(Settings::resolve(given, Role::Autoscaler)?)
        }
        Command::Relay { pod, given } => {
            let given = Given { pod, ..given };
            roles::relay(Settings::resolve(given, Role::Relay)?)
        }
        Command::Deploy {
            manifest,
            stage,
            target,
        } => ask::deploy(&manifest, &stage, &target),
        Command::Servers { target, output } => ask::servers(&target, output),
        Command::Server {
            name,
            target,
            output,
        } => ask::server(&name, &target, output),
        Command::Scale {
            name,
            settings,
            target,
            output,
        } => scaling::scale(&name, &settings, &target, output),
        Command::Worker(command) => scaling::worker(command),
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
        Command::Token(command) => callers::token(command),
        Command::Tenant(command) => callers::tenant(command),
        Command::Issuer(command) => callers::issuer(command),
        Command::Mirror(command) => mirrors::mirror(command),
        Command::Split(command) => splits::split(command),
        Command::Usage {
            tenant,
            month,
            target,
            output,
        } => used::show(tenant.as_deref(), month.as_deref(), &target, output),
        Command::Top {
            once,
            interval,
            proxies,
            target,
        } => top::run(once, &interval, &proxies, &target),
        Command::Rollout(command) => rollouts::rollout(command),
        Command::Delete { name, target } => ask::delete(&name, &target),
        Command::Doctor {
            role,
            output,
            given,
        } => doctor::run(&Settings::resolve(given, role)?, role, output),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(dir.as_deref()),
        Command::Store { command } => store::run(command),
    }
}
