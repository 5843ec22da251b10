//! PURE. A server's record in the words of its manifest: the same keys, durations as users write
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use fprs_config::{Auth, Cors, Server, WebSocketAuth};
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
    tenant: String,
    auth: &'static str,
    auth_websocket: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<CorsSpec>,
    target_concurrency: Option<f64>,
    min_replicas: u32,
    max_replicas: u32,
    buffer_replicas: u32,
    scaleup_window: String,
    scaledown_window: String,
    scaleup_rate_limit: Option<u32>,
    scaledown_rate_limit: Option<u32>,
    paused: bool,
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

#[derive(Clone, Debug, Serialize)]
struct CorsSpec {
    allow_origins: Vec<String>,
    allow_methods: Vec<String>,
    allow_headers: Vec<String>,
    max_age: String,
}

impl From<&Cors> for CorsSpec {
    fn from(cors: &Cors) -> Self {
        Self {
            allow_origins: cors.allow_origins.clone(),
            allow_methods: cors.allow_methods.clone(),
            allow_headers: cors.allow_headers.clone(),
            max_age: words(cors.max_age),
        }
    }
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
            tenant: server.tenant().to_owned(),
            auth_websocket: server.websocket_auth.iter().map(way).collect(),
            cors: server.cors.as_ref().map(CorsSpec::from),
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
            scaleup_rate_limit: scaling.scaleup_rate_limit,
            scaledown_rate_limit: scaling.scaledown_rate_limit,
            paused: scaling.paused,
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

const fn way(way: &WebSocketAuth) -> &'static str {
    match way {
        WebSocketAuth::Subprotocol => "subprotocol",
        WebSocketAuth::Query => "query",
    }
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
