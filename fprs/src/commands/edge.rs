//! `fprs edge …`: prints an edge's bootstrap, checked by Envoy itself where that is wanted, and writes
//! the certificates that an edge watches.

use std::io::Write;
use std::path::Path;

use fprs_envoy::settings::Given;
use fprs_envoy::{Bootstrap, yaml};

use crate::cli::Edge;
use crate::edge::program::Program;
use crate::edge::{exec, watched};
use crate::failure::Failure;

/// Does it.
///
/// # Errors
/// Says what is wrong with the settings, or with what they lead to.
pub(super) fn run(command: Edge) -> Result<(), Failure> {
    match command {
        Edge::Render {
            settings,
            check,
            out,
            envoy,
        } => {
            let bootstrap = render(&settings)?;
            if check {
                checked(&bootstrap, &Program::find(envoy.as_deref())?)?;
            }
            if let Some(file) = out {
                return written(&bootstrap, &file);
            }
            print!("{bootstrap}");
            Ok(())
        }
        Edge::Certificate {
            name,
            chain,
            key,
            to,
        } => watched::write(&name, &chain, &key, &to).map_err(Failure::new),
        Edge::Exec { parent, program } => match exec::run(parent, &program)? {},
    }
}

fn render(file: &Path) -> Result<String, Failure> {
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::new(format!("edge settings `{}`: {what}", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let given: Given = toml::from_str(&text).map_err(|error| wrong(&error))?;
    let settings = given.try_into().map_err(|error| wrong(&error))?;
    yaml(&Bootstrap::new(&settings)).map_err(Failure::new)
}

fn written(bootstrap: &str, file: &Path) -> Result<(), Failure> {
    std::fs::write(file, bootstrap)
        .map_err(|error| Failure::new(format!("can't write `{}`: {error}", file.display())))
}

/// Envoy reads files only.
fn checked(bootstrap: &str, envoy: &Program) -> Result<(), Failure> {
    let written = || {
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
        file.write_all(bootstrap.as_bytes())?;
        Ok(file)
    };
    let file = written()
        .map_err(|error: std::io::Error| Failure::new(format!("can't write it: {error}")))?;
    envoy.check(file.path())
}
