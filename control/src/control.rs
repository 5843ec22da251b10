//! Control as one value: made from settings, store and view; gives the routes and the background
//! work. Both share the fleet of attached workers.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use fprs_config::{SharedStore, View};
use fprs_proto::worker::workers_server::WorkersServer;
use prometheus::Registry;

use crate::admin::Admin;
use crate::api::{self, Api};
use crate::counts;
use crate::driver::Driver;
use crate::metrics::Metrics;
use crate::settings::ControlSettings;
use crate::workers::{Workers, WorkersService};

/// Control. Cheap to clone; every clone is the same control.
#[derive(Clone)]
pub struct Control {
    api: Api,
    metrics: Metrics,
}

/// Why control can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Its metrics are in that registry already: make one control per registry.
    #[error("the metrics of control can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The admin token can't be sent.
    #[error("the admin token has bytes that a header can't carry; use printable ASCII")]
    Token,
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
        let workers = Arc::new(Workers::new(settings.lease));
        Ok(Self {
            api: Api {
                settings: Arc::new(settings),
                store,
                view,
                workers,
            },
            metrics: Metrics::new(registry)?,
        })
    }

    /// The admin port of a process that is control: `admin` with control's API and the `Workers`
    /// service added. Hand in the feed (and what else the process serves) in `admin.grpc` and
    /// `admin.api`.
    ///
    /// # Panics
    /// Where `admin` claims one of control's own paths, like [`Router::merge`].
    pub fn router(&self, admin: Admin) -> Router {
        let service = WorkersService(Arc::clone(&self.api.workers));
        Admin {
            api: admin
                .api
                .reset_fallback()
                .merge(api::router(self.api.clone())),
            grpc: admin.grpc.add_service(WorkersServer::new(service)),
            ..admin
        }
        .router_for(Some(self.api.view.clone()))
    }

    /// Places replicas, moves their records on and ends the leases of silent workers, until the
    /// view's follower ends. Run it once; dropping the future stops it between two commits.
    pub async fn run(self) {
        let Api {
            store,
            view,
            workers,
            ..
        } = self.api;
        let driver = Driver {
            store,
            view,
            workers,
            metrics: self.metrics,
        };
        driver.run().await;
    }

    /// Passes on what relays count to the active autoscaler, whose port asks for `token`. Run it
    /// beside [`Control::run`]; dropping the future ends it.
    ///
    /// # Errors
    /// When the token can't be sent.
    pub fn tell_counts(
        &self,
        token: &str,
    ) -> Result<impl Future<Output = ()> + Send + use<>, ControlError> {
        let authorization = format!("Bearer {token}");
        let authorization = authorization.parse().map_err(|_| ControlError::Token)?;
        let workers = Arc::clone(&self.api.workers);
        Ok(counts::tell(workers, self.api.view.clone(), authorization))
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("settings", &self.api.settings)
            .finish_non_exhaustive()
    }
}
