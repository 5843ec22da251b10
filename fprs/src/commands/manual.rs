//! `fprs completions` and `fprs man`: the declared commands, for shells and for readers.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;

/// Prints the completions of a shell.
///
/// # Errors
/// Standard output is closed.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fprs", &mut script);
    print(&script)
}

/// Prints the manual page, or writes all of them to a directory.
///
/// # Errors
/// Standard output is closed, or the directory can't be written to.
pub(super) fn pages(dir: Option<&Path>) -> Result<(), Failure> {
    if let Some(dir) = dir {
        let unwritable =
            |error: io::Error| Failure::new(format!("can't write to `{}`: {error}", dir.display()));
        std::fs::create_dir_all(dir).map_err(unwritable)?;
        return clap_mangen::generate_to(Cli::command(), dir).map_err(unwritable);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(Failure::new)?;
    print(&page)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    io::stdout()
        .write_all(text)
        .map_err(|error| Failure::new(format!("can't write to standard output: {error}")))
}
