//! PURE. Which build this is.

/// The commit it was made of; `development` where nobody said.
pub const COMMIT: &str = env!("FPRS_COMMIT");

/// The release.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Both, as `fprs --version` says it.
pub const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FPRS_COMMIT"), ")");
