//! PURE. The bootstrap: everything an edge is told at its start.

mod cluster;
mod fields;
mod http;
mod listener;
mod log;
mod overload;
mod probe;
mod route;
mod tls;
mod trace;
pub(crate) mod value;

use std::collections::BTreeMap;

use serde::Serialize;

use self::cluster::Cluster;
pub(crate) use self::cluster::LoadAssignment;
use self::listener::Listener;
use self::overload::OverloadManager;
use self::value::Address;
use crate::limits;
use crate::settings::{self, Settings};

/// What Envoy is started with: `envoy -c FILE`, as YAML or JSON.
#[derive(Debug, Serialize)]
pub struct Bootstrap {
    node: Node,
    admin: Admin,
    overload_manager: OverloadManager,
    layered_runtime: LayeredRuntime,
    static_resources: StaticResources,
}

/// Envoy wants a name before it watches a file.
#[derive(Debug, Serialize)]
struct Node {
    id: &'static str,
    cluster: &'static str,
}

#[derive(Debug, Serialize)]
struct Admin {
    address: Address,
}

#[derive(Debug, Serialize)]
struct LayeredRuntime {
    layers: [Layer; 1],
}

#[derive(Debug, Serialize)]
struct Layer {
    name: &'static str,
    static_layer: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct StaticResources {
    listeners: Vec<Listener>,
    clusters: Vec<Cluster>,
}

impl Bootstrap {
    /// The bootstrap of that edge.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let mut clusters = vec![Cluster::fprs(settings)];
        if settings.listeners.probe.is_some() {
            clusters.push(Cluster::admin(admin(settings)));
        }
        clusters.extend(settings.tracing.as_ref().map(Cluster::collector));
        Self {
            node: Node {
                id: "edge",
                cluster: "fprs-edge",
            },
            admin: Admin {
                address: admin(settings),
            },
            overload_manager: OverloadManager::new(settings),
            layered_runtime: LayeredRuntime {
                layers: [Layer {
                    name: "static",
                    static_layer: runtime(settings),
                }],
            },
            static_resources: StaticResources {
                listeners: listener::all(settings),
                clusters,
            },
        }
    }
}

fn admin(settings: &Settings) -> Address {
    match &settings.admin {
        settings::Admin::Loopback(port) => Address::named("127.0.0.1", *port),
        settings::Admin::Socket(path) => Address::socket(path),
    }
}

/// What Envoy has no place for in its API.
fn runtime(settings: &Settings) -> BTreeMap<String, u64> {
    let mut runtime = BTreeMap::from([
        (
            "http.max_requests_per_io_cycle".to_owned(),
            u64::from(limits::REQUESTS_PER_READ),
        ),
        (
            "overload.premature_reset_total_stream_count".to_owned(),
            u64::from(limits::PREMATURE_RESETS),
        ),
        (
            "overload.premature_reset_min_stream_lifetime_seconds".to_owned(),
            limits::PREMATURE_RESET_AGE.as_secs(),
        ),
    ]);
    if settings.listeners.redirect.is_some() {
        runtime.insert(
            "envoy.resource_limits.listener.redirect.connection_limit".to_owned(),
            limits::REDIRECT_CONNECTIONS,
        );
    }
    runtime
}
