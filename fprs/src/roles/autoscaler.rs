//! The autoscaler role: takes reports and keeps every pool at its size.

mod api;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
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

    /// Whether it decides now.
    pub fn leads(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let autoscaler = self.autoscaler.clone();
        Arc::new(move || autoscaler.leads())
    }

    /// The JSON API of this role, for its process's admin port.
    pub fn api(&self) -> Router {
        api::router(self.autoscaler.clone())
    }
}

/// What proxies tell an autoscaler, for operators: read when somebody asks.
#[derive(Debug)]
struct Metrics {
    autoscaler: Autoscaler,
    proxies: IntGauge,
    in_flight: IntGauge,
    unheard: IntGauge,
    disagreeing: IntGauge,
    leads: IntGauge,
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
            unheard: IntGauge::new(
                "fprs_autoscaler_unheard_in_flight",
                "Of these, those of proxies that fell silent, as relays confirm them.",
            )?,
            disagreeing: IntGauge::new(
                "fprs_autoscaler_disagreeing_replicas",
                "Replicas whose load proxies and relays did not agree on for 5 s: a proxy is cut off.",
            )?,
            leads: IntGauge::new(
                "fprs_autoscaler_leads",
                "1 in the process that decides; 0 on a standby.",
            )?,
        })
    }
}

impl Metrics {
    const fn gauges(&self) -> [&IntGauge; 5] {
        [
            &self.proxies,
            &self.in_flight,
            &self.unheard,
            &self.disagreeing,
            &self.leads,
        ]
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges();
        gauges.into_iter().flat_map(|gauge| gauge.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let autoscaler = &self.autoscaler;
        self.proxies.set(number(autoscaler.reporting() as u64));
        self.in_flight.set(number(autoscaler.in_flight()));
        self.unheard.set(number(autoscaler.unheard()));
        self.disagreeing
            .set(number(autoscaler.disagreeing() as u64));
        self.leads.set(i64::from(autoscaler.leads()));
        let gauges = self.gauges();
        gauges
            .into_iter()
            .flat_map(|gauge| gauge.collect())
            .collect()
    }
}
