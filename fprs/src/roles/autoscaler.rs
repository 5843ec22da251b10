//! The autoscaler role: takes reports and keeps every pool at its size.

use std::net::SocketAddr;

use fprs_autoscaler::{Autoscaler, Settings};
use fprs_config::SharedStore;
use tonic::service::Routes;

use crate::process::Parts;
use crate::roles::Following;

/// An autoscaler that decides, or stands by.
#[derive(Debug)]
pub struct Autoscaling {
    autoscaler: Autoscaler,
}

impl Autoscaling {
    /// Starts an autoscaler that takes reports at `address`. `holder` must be no other process's;
    /// one that is the same after a restart takes its lease back at once. It observes `following`.
    pub fn start(
        holder: String,
        address: SocketAddr,
        store: SharedStore,
        following: Following,
        parts: &mut Parts,
    ) -> (Self, Following) {
        let settings = Settings {
            holder,
            address,
            tick: Settings::TICK,
        };
        let (autoscaler, observer) = Autoscaler::new(store, following.view(), settings);
        parts.run("the autoscaler", autoscaler.clone().run());
        (Self { autoscaler }, following.observe(observer))
    }

    /// The services of this role, for its process's admin port.
    pub fn routes(&self, routes: Routes) -> Routes {
        routes.add_service(self.autoscaler.service())
    }
}
