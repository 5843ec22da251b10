//! `fprs edge …`: prints an edge's bootstrap, checked by Envoy itself where that is wanted, and writes
//! the certificates that an edge watches.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use fprs_config::whole_file::{self, Outlives, Readers};
use fprs_envoy::settings::Given;
use fprs_envoy::{Bootstrap, Settings, yaml};

use crate::cli::Edge;
use crate::edge::program::Program;
use crate::edge::{exec, watched};
use crate::failure::Failure;
use crate::settings::headers_of_file;

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
            let rendered = render(&settings)?;
            if check {
                checked(&rendered.bootstrap, &Program::find(envoy.as_deref())?)?;
            }
            if let Some(file) = out {
                return written(&rendered, &file);
            }
            print!("{}", rendered.bootstrap);
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

/// A bootstrap.
struct Rendered {
    bootstrap: String,
    /// What a collector knows the edge by is in it.
    secret: bool,
}

fn render(file: &Path) -> Result<Rendered, Failure> {
    let wrong =
        |what: &dyn Display| Failure::new(format!("edge settings `{}`: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let given: Given = toml::from_str(&text).map_err(|error| wrong(&error))?;
    let headers = given.headers().map(Path::to_owned);
    let mut settings: Settings = given.try_into().map_err(|error| wrong(&error))?;
    if let (Some(tracing), Some(file)) = (&mut settings.tracing, &headers) {
        let unusable =
            |what: &dyn Display| wrong(&format!("`headers = {:?}`: {what}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| unusable(&error))?;
        let read = headers_of_file(&text).map_err(|wrong| unusable(&wrong))?;
        tracing.headers = crate::edge::headers(&read).map_err(|wrong| unusable(&wrong))?;
    }
    Ok(Rendered {
        bootstrap: yaml(&Bootstrap::new(&settings)).map_err(Failure::new)?,
        secret: headers.is_some(),
    })
}

fn written(rendered: &Rendered, file: &Path) -> Result<(), Failure> {
    let bytes = rendered.bootstrap.as_bytes();
    let written = match rendered.secret {
        true => whole_file::replace(file, bytes, Readers::Owner, Outlives::Process),
        false => std::fs::write(file, bytes),
    };
    written.map_err(|error| Failure::new(format!("can't write `{}`: {error}", file.display())))
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
