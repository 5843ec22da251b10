//! PURE. Spans of requests: the trace of one begins here, unless whoever asks has begun it.

use std::fmt;

use serde::Serialize;

use super::value::{Extension, Message, Time, Wrapped};
use crate::limits;
use crate::settings::{Header, Tracing};

/// Of a connection manager.
#[derive(Debug, Serialize)]
pub(crate) struct Traced {
    provider: Extension<OpenTelemetry>,
    random_sampling: Wrapped,
    max_path_tag_length: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct OpenTelemetry {
    grpc_service: GrpcService,
    service_name: &'static str,
}

impl Message for OpenTelemetry {
    const NAME: &'static str = "envoy.config.trace.v3.OpenTelemetryConfig";
}

#[derive(Debug, Serialize)]
struct GrpcService {
    envoy_grpc: EnvoyGrpc,
    timeout: Time,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    initial_metadata: Vec<Metadatum>,
}

/// What the collector knows the edge by.
#[derive(Serialize)]
struct Metadatum {
    key: String,
    value: String,
}

impl fmt::Debug for Metadatum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.key)
    }
}

#[derive(Debug, Serialize)]
struct EnvoyGrpc {
    cluster_name: &'static str,
}

/// The cluster of the collector.
pub(crate) const COLLECTOR: &str = "collector";

impl Metadatum {
    fn of(header: &Header) -> Self {
        Self {
            key: header.name.clone(),
            value: header.value.clone(),
        }
    }
}

impl Traced {
    pub(crate) fn new(tracing: &Tracing) -> Self {
        Self {
            provider: Extension::new(
                "envoy.tracers.opentelemetry",
                OpenTelemetry {
                    grpc_service: GrpcService {
                        envoy_grpc: EnvoyGrpc {
                            cluster_name: COLLECTOR,
                        },
                        timeout: Time(limits::COLLECTOR_TIME),
                        initial_metadata: tracing.headers.iter().map(Metadatum::of).collect(),
                    },
                    service_name: "fprs-edge",
                },
            ),
            random_sampling: Wrapped {
                value: 100.0 * tracing.sample,
            },
            // Envoy would add the query, which may hold a credential.
            max_path_tag_length: 0,
        }
    }
}
