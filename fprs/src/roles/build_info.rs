//! Which build a process runs, as a metric: while an upgrade rolls, two are seen.

use prometheus::{IntGauge, Opts, Registry};

use crate::failure::Failure;
use crate::version;

/// A registry for one process, with that in it.
///
/// # Errors
/// Never with this name; the library checks it anyway.
pub fn registry() -> Result<Registry, Failure> {
    let registry = Registry::new();
    let opts = Opts::new("fprs_build_info", "1; which build runs.")
        .const_label("version", version::RELEASE)
        .const_label("commit", version::COMMIT);
    let build = IntGauge::with_opts(opts).map_err(Failure::new)?;
    build.set(1);
    registry.register(Box::new(build)).map_err(Failure::new)?;
    Ok(registry)
}
