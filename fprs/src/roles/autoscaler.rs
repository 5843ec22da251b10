//! The autoscaler role: takes reports and keeps every pool at its size.

use std::net::SocketAddr;

use fprs_autoscaler::{Autoscaler, Settings};
use fprs_config::SharedStore;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Result};
use tonic::service::Routes;

use crate::failure::Failure;
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
    ///
    /// # Errors
    /// The registry has an autoscaler already.
    pub fn start(
        holder: String,
        address: SocketAddr,
        store: SharedStore,
        following: Following,
        registry: &Registry,
        parts: &mut Parts,
    ) -> std::result::Result<(Self, Following), Failure> {
        let settings = Settings {
            holder,
            address,
            tick: Settings::TICK,
        };
        let (autoscaler, observer) = Autoscaler::new(store, following.view(), settings);
        let metrics = Metrics::new(autoscaler.clone()).map_err(Failure::new)?;
        registry.register(Box::new(metrics)).map_err(Failure::new)?;
        parts.run("the autoscaler", autoscaler.clone().run());
        Ok((Self { autoscaler }, following.observe(observer)))
    }

    /// The services of this role, for its process's admin port.
    pub fn routes(&self, routes: Routes) -> Routes {
        routes.add_service(self.autoscaler.service())
    }
}

/// What proxies tell an autoscaler, for operators: read when somebody asks.
#[derive(Debug)]
struct Metrics {
    autoscaler: Autoscaler,
    proxies: IntGauge,
    in_flight: IntGauge,
}

impl Metrics {
    fn new(autoscaler: Autoscaler) -> Result<Self> {
        Ok(Self {
            autoscaler,
            proxies: IntGauge::new(
                "fprs_autoscaler_proxies",
                "Proxies that report demand here; 0 on a standby.",
            )?,
            in_flight: IntGauge::new(
                "fprs_autoscaler_in_flight",
                "Exchanges in flight as proxies reported them last; 0 on a standby.",
            )?,
        })
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.proxies.desc(), self.in_flight.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let proxies = self.autoscaler.reporting();
        self.proxies.set(i64::try_from(proxies).unwrap_or(i64::MAX));
        let in_flight = self.autoscaler.in_flight();
        self.in_flight
            .set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        [self.proxies.collect(), self.in_flight.collect()].concat()
    }
}
