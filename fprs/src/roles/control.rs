//! The control role: the store, its feed, the control API and the placement of replicas.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use fprs_config::feed::server::{Followers, service_noting};
use fprs_config::{SharedStore, StoreAddress, View};
use fprs_control::{AuditLog, Control, ControlSettings};
use prometheus::Registry;
use serde_json::{Value, json};

use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::process::Parts;
use crate::roles::{Admin, Seen, mirrors};

/// Opens that store, or the one in the data dir, or says why not.
///
/// # Errors
/// Another process holds it, it can't be reached, it is damaged, or its directory is unusable.
pub async fn open_store(
    store: Option<&StoreAddress>,
    data_dir: &DataDir,
) -> Result<SharedStore, Failure> {
    let embedded;
    let address = match store {
        Some(address) => address,
        None => {
            embedded = StoreAddress::Embedded(data_dir.store());
            &embedded
        }
    };
    address.open().await.map_err(Failure::new)
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
    view: View,
}

impl Controlling {
    /// Starts control over a store that is followed by `view`. The autoscaler's port asks for
    /// `token`.
    ///
    /// # Errors
    /// Its metrics are registered already, or the token can't be sent.
    pub fn start(
        settings: ControlSettings,
        store: SharedStore,
        view: View,
        token: &str,
        registry: &Registry,
        parts: &mut Parts,
    ) -> Result<Self, Failure> {
        let control = Control::new(settings, Arc::clone(&store), view.clone(), registry)
            .map_err(Failure::new)?;
        parts.run("control", control.clone().run());
        let counts = control.tell_counts(token).map_err(Failure::new)?;
        parts.run("the relays' counts", counts);
        Ok(Self {
            control,
            store,
            view,
        })
    }

    /// What it keeps its records in.
    pub fn store(&self) -> SharedStore {
        Arc::clone(&self.store)
    }

    /// The admin port's routes: what the process has of its own, the control API and the feed, who
    /// follows it, and what those and the process' own proxy have seen of mirrors.
    pub fn routes(&self, mut admin: Admin, own: Option<Seen>) -> Router {
        let followers = Arc::<Followers>::default();
        let feed = service_noting(Arc::clone(&self.store), Arc::clone(&followers));
        admin.grpc = admin.grpc.add_service(feed);
        let (view, asked) = (self.view.clone(), Arc::clone(&followers));
        let mirrors = mirrors::of_all(view, asked, &admin.token, own);
        let show = move || {
            let followers = show_followers(&followers);
            async { Json(followers) }
        };
        let api = admin.api.merge(mirrors);
        admin.api = api.route("/v1/followers", get(show));
        self.control.router(admin.into_control_admin())
    }
}

fn show_followers(followers: &Followers) -> Value {
    let followers = followers.report().into_iter().map(|follower| {
        json!({
            "name": follower.name,
            "admin": follower.admin.map(|admin| admin.to_string()),
            "cell": follower.cell,
            "told_revision": follower.told.0,
            "watches_for_seconds": follower.watches_for.as_secs_f64(),
        })
    });
    followers.collect()
}
