//! PURE. How requests of clients are read: normalized, cleaned, limited.

use serde::Serialize;

use super::fields::{EarlyMutation, LateMutation};
use super::log::Logger;
use super::route::RouteConfig;
use super::trace::Traced;
use super::value::{Extension, Message, Time};
use crate::limits;
use crate::settings::Settings;

#[derive(Debug, Default, Serialize)]
pub(crate) struct HttpConnectionManager {
    stat_prefix: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_header_transformation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_remote_address: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    always_set_request_id_in_response: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalize_path: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_with_escaped_slashes_action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strip_any_host_port: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strip_trailing_host_dot: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme_header_transformation: Option<Scheme>,
    #[serde(skip_serializing_if = "Option::is_none")]
    common_http_protocol_options: Option<CommonOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_protocol_options: Option<Http1Options>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http2_protocol_options: Option<Http2Options>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http3_protocol_options: Option<Http3Options>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_headers_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_idle_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upgrade_configs: Vec<Upgrade>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    early_header_mutation_extensions: Vec<Extension<EarlyMutation>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    access_log: Vec<Logger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<Traced>,
    http_filters: Vec<HttpFilter>,
    route_config: Option<RouteConfig>,
}

impl Message for HttpConnectionManager {
    const NAME: &'static str =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
}

#[derive(Debug, Serialize)]
struct Scheme {
    scheme_to_overwrite: &'static str,
}

#[derive(Debug, Default, Serialize)]
struct CommonOptions {
    idle_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_headers_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers_with_underscores_action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_requests_per_connection: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Http1Options {
    enable_trailers: bool,
}

#[derive(Debug, Serialize)]
struct Http2Options {
    max_concurrent_streams: u32,
    initial_stream_window_size: u32,
    initial_connection_window_size: u32,
    allow_connect: bool,
    max_outbound_frames: u32,
    max_outbound_control_frames: u32,
    max_consecutive_inbound_frames_with_empty_payload: u32,
    max_inbound_priority_frames_per_stream: u32,
    max_inbound_window_update_frames_per_data_frame_sent: u32,
    connection_keepalive: Keepalive,
}

#[derive(Debug, Serialize)]
struct Keepalive {
    interval: Time,
    timeout: Time,
}

#[derive(Debug, Serialize)]
struct Http3Options {
    quic_protocol_options: QuicOptions,
}

#[derive(Debug, Serialize)]
struct QuicOptions {
    max_concurrent_streams: u32,
    initial_stream_window_size: u32,
    initial_connection_window_size: u32,
}

#[derive(Debug, Serialize)]
struct Upgrade {
    upgrade_type: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum HttpFilter {
    Fields(Extension<LateMutation>),
    Health(Extension<super::probe::HealthCheck>),
    Router(Extension<Router>),
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Router {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suppress_envoy_headers: bool,
}

impl Message for Router {
    const NAME: &'static str = "envoy.extensions.filters.http.router.v3.Router";
}

impl HttpConnectionManager {
    /// For clients over TCP, whichever version of HTTP they chose.
    pub(crate) fn edge(settings: &Settings, routes: RouteConfig) -> Self {
        Self {
            http_protocol_options: Some(Http1Options {
                enable_trailers: true,
            }),
            http2_protocol_options: Some(Http2Options::of_clients()),
            upgrade_configs: vec![Upgrade {
                upgrade_type: "websocket",
            }],
            ..Self::of_clients(settings, "edge", routes)
        }
    }

    /// For clients over QUIC. Without WebSockets: Envoy calls those work in progress there, and clients
    /// that are refused one use HTTP/1.1 or 2.
    pub(crate) fn quic(settings: &Settings, routes: RouteConfig) -> Self {
        Self {
            codec_type: Some("HTTP3"),
            http3_protocol_options: Some(Http3Options {
                quic_protocol_options: QuicOptions {
                    max_concurrent_streams: limits::CLIENT_STREAMS,
                    initial_stream_window_size: limits::STREAM_WINDOW,
                    initial_connection_window_size: limits::CLIENT_WINDOW,
                },
            }),
            ..Self::of_clients(settings, "edge_h3", routes)
        }
    }

    /// For who comes without TLS.
    pub(crate) fn redirect(settings: &Settings) -> Self {
        Self {
            codec_type: Some("HTTP1"),
            strip_any_host_port: Some(true),
            common_http_protocol_options: Some(CommonOptions {
                idle_timeout: Some(Time(limits::REDIRECT_IDLE)),
                max_requests_per_connection: Some(limits::REDIRECT_REQUESTS),
                ..CommonOptions::default()
            }),
            request_headers_timeout: Some(Time(limits::HEAD_TIME)),
            access_log: Logger::all(&settings.access_log),
            ..Self::new("redirect", RouteConfig::redirect(), Vec::new())
        }
    }

    /// For probes.
    pub(crate) fn probe() -> Self {
        let health = super::probe::HealthCheck::of_the_edge();
        Self::new(
            "probe",
            RouteConfig::probe(),
            vec![HttpFilter::Health(health)],
        )
    }

    fn of_clients(settings: &Settings, stat_prefix: &'static str, routes: RouteConfig) -> Self {
        let late = HttpFilter::Fields(LateMutation::of_trailers_and_responses());
        Self {
            server_header_transformation: Some("PASS_THROUGH"),
            use_remote_address: Some(true),
            always_set_request_id_in_response: Some(true),
            normalize_path: Some(true),
            path_with_escaped_slashes_action: Some("KEEP_UNCHANGED"),
            strip_any_host_port: Some(true),
            strip_trailing_host_dot: Some(true),
            scheme_header_transformation: Some(Scheme {
                scheme_to_overwrite: "https",
            }),
            common_http_protocol_options: Some(CommonOptions {
                idle_timeout: Some(Time(limits::CLIENT_IDLE)),
                max_headers_count: Some(limits::REQUEST_FIELDS),
                headers_with_underscores_action: Some("DROP_HEADER"),
                ..CommonOptions::default()
            }),
            request_headers_timeout: Some(Time(limits::HEAD_TIME)),
            stream_idle_timeout: Some(Time(limits::STREAM_IDLE)),
            early_header_mutation_extensions: vec![EarlyMutation::of_requests()],
            access_log: Logger::all(&settings.access_log),
            tracing: settings.tracing.as_ref().map(Traced::new),
            ..Self::new(stat_prefix, routes, vec![late])
        }
    }

    fn new(
        stat_prefix: &'static str,
        routes: RouteConfig,
        mut http_filters: Vec<HttpFilter>,
    ) -> Self {
        let router = Router {
            suppress_envoy_headers: true,
        };
        http_filters.push(HttpFilter::Router(Extension::new(
            "envoy.filters.http.router",
            router,
        )));
        Self {
            stat_prefix,
            http_filters,
            route_config: Some(routes),
            ..Self::default()
        }
    }
}

impl Http2Options {
    const fn of_clients() -> Self {
        Self {
            max_concurrent_streams: limits::CLIENT_STREAMS,
            initial_stream_window_size: limits::STREAM_WINDOW,
            initial_connection_window_size: limits::CLIENT_WINDOW,
            allow_connect: true,
            max_outbound_frames: limits::OUTBOUND_FRAMES,
            max_outbound_control_frames: limits::OUTBOUND_CONTROL_FRAMES,
            max_consecutive_inbound_frames_with_empty_payload: limits::EMPTY_FRAMES,
            max_inbound_priority_frames_per_stream: limits::PRIORITY_FRAMES,
            max_inbound_window_update_frames_per_data_frame_sent: limits::WINDOW_UPDATES,
            connection_keepalive: Keepalive {
                interval: Time(limits::CLIENT_PING),
                timeout: Time(limits::CLIENT_PING_TIME),
            },
        }
    }
}
