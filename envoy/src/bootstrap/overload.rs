//! PURE. What the edge gives up, in which order, before it runs out of memory or connections.

use serde::Serialize;

use super::value::{Extension, Message, Time, Wrapped};
use crate::limits;
use crate::settings::Settings;

#[derive(Debug, Serialize)]
pub(crate) struct OverloadManager {
    refresh_interval: Time,
    resource_monitors: (Extension<Heap>, Extension<Connections>),
    actions: Vec<Action>,
    loadshed_points: Vec<Action>,
    buffer_factory_config: BufferFactory,
}

#[derive(Debug, Serialize)]
struct Heap {
    max_heap_size_bytes: u64,
}

impl Message for Heap {
    const NAME: &'static str = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig";
}

#[derive(Debug, Serialize)]
struct Connections {
    max_active_downstream_connections: u64,
}

impl Message for Connections {
    const NAME: &'static str =
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";
}

#[derive(Debug, Serialize)]
struct Action {
    name: &'static str,
    triggers: [Trigger; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    typed_config: Option<super::value::Typed<ScaleTimers>>,
}

#[derive(Debug, Serialize)]
struct Trigger {
    name: &'static str,
    #[serde(flatten)]
    when: When,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum When {
    /// More and more from the first to the second part of the heap.
    Scaled {
        scaling_threshold: f64,
        saturation_threshold: f64,
    },
    /// From that part of the heap on.
    Threshold(Wrapped),
}

#[derive(Debug, Serialize)]
struct ScaleTimers {
    timer_scale_factors: [TimerScale; 1],
}

impl Message for ScaleTimers {
    const NAME: &'static str = "envoy.config.overload.v3.ScaleTimersOverloadActionConfig";
}

#[derive(Debug, Serialize)]
struct TimerScale {
    timer: &'static str,
    min_timeout: Time,
}

#[derive(Debug, Serialize)]
struct BufferFactory {
    minimum_account_to_track_power_of_two: u32,
}

const HEAP: &str = "envoy.resource_monitors.fixed_heap";

impl OverloadManager {
    /// First what nobody notices, then what some do, and at last what all do.
    pub(crate) fn new(settings: &Settings) -> Self {
        let heap = Heap {
            max_heap_size_bytes: settings.heap_bytes,
        };
        let connections = Connections {
            max_active_downstream_connections: settings.connections,
        };
        Self {
            refresh_interval: Time(limits::OVERLOAD_REFRESH),
            resource_monitors: (
                Extension::new(HEAP, heap),
                Extension::new(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    connections,
                ),
            ),
            actions: vec![
                Action {
                    typed_config: Some(idle_clients_go_first().into()),
                    ..Action::scaled("envoy.overload_actions.reduce_timeouts", 0.85, 0.95)
                },
                Action::scaled(
                    "envoy.overload_actions.reset_high_memory_stream",
                    0.85,
                    0.95,
                ),
                Action::at("envoy.overload_actions.shrink_heap", 0.90),
                Action::at("envoy.overload_actions.disable_http_keepalive", 0.92),
                Action::at("envoy.overload_actions.stop_accepting_requests", 0.95),
                Action::at("envoy.overload_actions.stop_accepting_connections", 0.98),
            ],
            loadshed_points: vec![
                Action::at(
                    "envoy.load_shed_points.http_connection_manager_decode_headers",
                    0.95,
                ),
                Action::at("envoy.load_shed_points.tcp_listener_accept", 0.97),
            ],
            buffer_factory_config: BufferFactory {
                minimum_account_to_track_power_of_two: limits::TRACKED_POWER,
            },
        }
    }
}

fn idle_clients_go_first() -> ScaleTimers {
    ScaleTimers {
        timer_scale_factors: [TimerScale {
            timer: "HTTP_DOWNSTREAM_CONNECTION_IDLE",
            min_timeout: Time(limits::PRESSED_IDLE),
        }],
    }
}

impl Action {
    fn at(name: &'static str, value: f64) -> Self {
        Self::when(name, When::Threshold(Wrapped { value }))
    }

    fn scaled(name: &'static str, from: f64, to: f64) -> Self {
        let when = When::Scaled {
            scaling_threshold: from,
            saturation_threshold: to,
        };
        Self::when(name, when)
    }

    fn when(name: &'static str, when: When) -> Self {
        Self {
            name,
            triggers: [Trigger { name: HEAP, when }],
            typed_config: None,
        }
    }
}
