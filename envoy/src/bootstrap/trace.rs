//! PURE. Spans of requests: the trace of one begins here, unless whoever asks has begun it.

use serde::Serialize;

use super::value::{Extension, Message, Time, Wrapped};
use crate::limits;
use crate::settings::Tracing;

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
}

#[derive(Debug, Serialize)]
struct EnvoyGrpc {
    cluster_name: &'static str,
}

/// The cluster of the collector.
pub(crate) const COLLECTOR: &str = "collector";

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
