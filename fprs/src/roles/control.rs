//! The control role: the store, its feed, the control API and the placement of replicas.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use fprs_config::store::EmbeddedStore;
use fprs_config::{SharedStore, View};
use fprs_control::{AuditLog, Control, ControlSettings};
use prometheus::Registry;

use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::process::Parts;
use crate::roles::Admin;

/// Opens the embedded store, or says why not.
///
/// # Errors
/// Another process holds it, it is damaged, or its directory is unusable.
pub fn open_store(path: &Path) -> Result<SharedStore, Failure> {
    EmbeddedStore::open(path)
        .map(|store| Arc::new(store) as SharedStore)
        .map_err(Failure::new)
}

/// Opens the audit log, or says why not.
///
/// # Errors
/// It can't be written to.
pub fn open_audit_log(dir: &DataDir) -> Result<AuditLog, Failure> {
    let path = dir.audit_log();
    AuditLog::open(&path)
        .map_err(|error| Failure::new(format!("can't write `{}`: {error}", path.display())))
}

/// Control that runs.
#[expect(missing_debug_implementations, reason = "a store has none")]
pub struct Controlling {
    control: Control,
    store: SharedStore,
}

impl Controlling {
    /// Starts control over a store that is followed by `view`.
    ///
    /// # Errors
    /// Its metrics are registered already.
    pub fn start(
        settings: ControlSettings,
        store: SharedStore,
        view: View,
        registry: &Registry,
        parts: &mut Parts,
    ) -> Result<Self, Failure> {
        let control =
            Control::new(settings, Arc::clone(&store), view, registry).map_err(Failure::new)?;
        parts.run("control", control.clone().run());
        Ok(Self { control, store })
    }

    /// The admin port's routes: what the process has of its own, the control API and the feed.
    pub fn routes(&self, mut admin: Admin) -> Router {
        let feed = fprs_config::feed::server::service(Arc::clone(&self.store));
        admin.grpc = admin.grpc.add_service(feed);
        self.control.router(admin.into_control_admin())
    }
}
