//! PURE. Envoy as the edge: typed settings in, the bootstrap it runs by out, and the two kinds of file
//! it watches. No file is read or written here, and no process started.

mod bootstrap;
pub mod document;
pub mod limits;
pub mod settings;

pub use bootstrap::Bootstrap;
pub use settings::{
    AccessLog, Admin, Certificate, Custom, Fleet, Header, Listeners, Settings, Tracing,
};

/// A document that can't be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("can't write it as YAML: {0}; report this as a bug")]
pub struct Unwritable(#[from] serde_saphyr::ser::Error);

/// The YAML of a document.
///
/// # Errors
/// The document has a shape that YAML hasn't.
pub fn yaml(document: &impl serde::Serialize) -> Result<String, Unwritable> {
    Ok(serde_saphyr::to_string(document)?)
}
