//! PURE. A server's record in the words of its manifest: the same keys, durations as users write
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use fprs_config::{Auth, Server};
use serde::Serialize;

/// What was deployed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Spec {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    image: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    working_dir: String,
    h2: bool,
    auth: &'static str,
    target_concurrency: Option<f64>,
    min_replicas: u32,
    max_replicas: u32,
    buffer_replicas: u32,
    scaleup_window: String,
    scaledown_window: String,
    startup_timeout: String,
    exit_grace_period: String,
    hold: String,
    request_timeout: String,
    domains: Vec<String>,
    env: BTreeMap<String, String>,
    routing_region: String,
    compute_region: String,
    egress: String,
}

impl Spec {
    /// The record in manifest words.
    pub(crate) fn new(server: &Server, domains: Vec<String>) -> Self {
        let (version, scaling) = (&server.target, &server.scaling);
        Self {
            command: version.command.clone(),
            image: version.image.clone(),
            working_dir: version.working_dir.clone(),
            h2: version.h2,
            auth: match server.auth {
                Auth::Public => "public",
                Auth::Required => "required",
            },
            target_concurrency: scaling.target_concurrency,
            min_replicas: scaling.min_replicas,
            max_replicas: scaling.max_replicas,
            buffer_replicas: scaling.buffer_replicas,
            scaleup_window: words(scaling.scaleup_window),
            scaledown_window: words(scaling.scaledown_window),
            startup_timeout: words(version.startup_timeout),
            exit_grace_period: words(version.exit_grace),
            hold: words(server.hold),
            request_timeout: server
                .request_timeout
                .map_or_else(|| "none".to_owned(), words),
            domains,
            env: version.env.clone(),
            routing_region: server.routing_region.clone(),
            compute_region: server.compute_region.clone(),
            egress: server.egress.clone(),
        }
    }
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
