//! The autoscaler role: takes reports and keeps every pool at its size.

use std::net::SocketAddr;

use fprs_autoscaler::{Autoscaler, Settings};
use fprs_config::{SharedStore, View};
use tonic::service::Routes;

use crate::process::Parts;

/// An autoscaler that decides, or stands by.
#[derive(Debug)]
pub struct Autoscaling {
    autoscaler: Autoscaler,
}

impl Autoscaling {
    /// Starts an autoscaler that takes reports at `address`. `holder` must be no other process's;
    /// one that is the same after a restart takes its lease back at once.
    pub fn start(
        holder: String,
        address: SocketAddr,
        store: SharedStore,
        view: View,
        parts: &mut Parts,
    ) -> Self {
        let settings = Settings {
            holder,
            address,
            tick: Settings::TICK,
        };
        let autoscaler = Autoscaler::new(store, view, settings);
        parts.run("the autoscaler", autoscaler.clone().run());
        Self { autoscaler }
    }

    /// The services of this role, for its process's admin port.
    pub fn routes(&self, routes: Routes) -> Routes {
        routes.add_service(self.autoscaler.service())
    }
}
