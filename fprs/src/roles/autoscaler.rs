//! The autoscaler role: takes reports and keeps every pool at its size.

use std::net::SocketAddr;

use axum::Router;
use fprs_autoscaler::{Autoscaler, Settings};
use fprs_config::{SharedStore, View};
use tonic::service::Routes;

use crate::failure::Failure;
use crate::process::Parts;

/// An autoscaler that decides, or stands by.
#[derive(Debug)]
pub struct Autoscaling {
    autoscaler: Autoscaler,
}

impl Autoscaling {
    /// Starts an autoscaler that takes reports at `address`.
    pub fn start(address: SocketAddr, store: SharedStore, view: View, parts: &mut Parts) -> Self {
        let name = format!("autoscaler-{:08x}", fastrand::u32(..));
        let autoscaler = Autoscaler::new(store, view, Settings::new(name, address));
        parts.run("the autoscaler", autoscaler.clone().run());
        Self { autoscaler }
    }

    /// The services of this role, for its process's admin port.
    pub fn routes(&self, routes: Routes) -> Routes {
        routes.add_service(self.autoscaler.service())
    }
}
