//! PURE. The way to fprs: HTTP/2 over connections that are kept, to those of a fleet that are ready.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;

use super::tls::{UpstreamTls, upstream};
use super::trace::COLLECTOR;
use super::value::{Address, BindConfig, Extension, FileSource, Message, Time, Typed, Wrapped};
use crate::limits;
use crate::settings::{Fleet, Settings, Tracing};

#[derive(Debug, Default, Serialize)]
pub(crate) struct Cluster {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_type: Option<Extension<Dns>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_health_on_host_removal: Option<bool>,
    connect_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lb_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_connection_buffer_limit_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    common_lb_config: Option<CommonLb>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_bind_config: Option<BindConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_connection_options: Option<ConnectionOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preconnect_policy: Option<Preconnect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_breakers: Option<CircuitBreakers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outlier_detection: Option<OutlierDetection>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    health_checks: Vec<HealthCheck>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    typed_extension_protocol_options: BTreeMap<&'static str, Typed<ProtocolOptions>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport_socket: Option<Extension<UpstreamTls>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eds_cluster_config: Option<EdsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_assignment: Option<LoadAssignment>,
}

/// All addresses of a name, each an endpoint of its own.
#[derive(Debug, Serialize)]
struct Dns {
    dns_refresh_rate: Time,
    respect_dns_ttl: bool,
    dns_lookup_family: &'static str,
    all_addresses_in_single_endpoint: bool,
}

impl Message for Dns {
    const NAME: &'static str = "envoy.extensions.clusters.dns.v3.DnsCluster";
}

#[derive(Debug, Serialize)]
struct CommonLb {
    healthy_panic_threshold: Wrapped,
}

#[derive(Debug, Serialize)]
struct ConnectionOptions {
    tcp_keepalive: TcpKeepalive,
}

#[derive(Debug, Serialize)]
struct TcpKeepalive {
    keepalive_time: u32,
    keepalive_interval: u32,
    keepalive_probes: u32,
}

#[derive(Debug, Serialize)]
struct Preconnect {
    per_upstream_preconnect_ratio: f64,
}

#[derive(Debug, Serialize)]
struct CircuitBreakers {
    thresholds: [Threshold; 1],
}

#[derive(Debug, Serialize)]
struct Threshold {
    max_connections: u32,
    max_pending_requests: u32,
    max_requests: u32,
    retry_budget: RetryBudget,
    track_remaining: bool,
}

#[derive(Debug, Serialize)]
struct RetryBudget {
    budget_percent: Wrapped,
    min_retry_concurrency: u32,
}

/// Only what happens between the edge and fprs: a program's 5xx says nothing about the fprs it came by.
#[derive(Debug, Serialize)]
struct OutlierDetection {
    split_external_local_origin_errors: bool,
    enforcing_consecutive_5xx: u32,
    enforcing_consecutive_gateway_failure: u32,
    enforcing_success_rate: u32,
    enforcing_local_origin_success_rate: u32,
    consecutive_local_origin_failure: u32,
    base_ejection_time: Time,
    max_ejection_percent: u32,
}

#[derive(Debug, Serialize)]
struct HealthCheck {
    timeout: Time,
    interval: Time,
    no_traffic_interval: Time,
    unhealthy_interval: Time,
    unhealthy_threshold: u32,
    healthy_threshold: u32,
    http_health_check: HttpHealthCheck,
}

#[derive(Debug, Serialize)]
struct HttpHealthCheck {
    path: &'static str,
    host: &'static str,
    codec_client_type: &'static str,
}

#[derive(Debug, Serialize)]
struct ProtocolOptions {
    common_http_protocol_options: CommonOptions,
    explicit_http_config: ExplicitHttp,
}

impl Message for ProtocolOptions {
    const NAME: &'static str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
}

#[derive(Debug, Serialize)]
struct CommonOptions {
    idle_timeout: Time,
    max_headers_count: u32,
    max_response_headers_kb: u32,
}

#[derive(Debug, Serialize)]
struct ExplicitHttp {
    http2_protocol_options: Http2Options,
}

#[derive(Debug, Serialize)]
struct Http2Options {
    max_concurrent_streams: u32,
    initial_stream_window_size: u32,
    initial_connection_window_size: u32,
    allow_connect: bool,
    override_stream_error_on_invalid_http_message: bool,
    connection_keepalive: Keepalive,
}

#[derive(Debug, Serialize)]
struct Keepalive {
    interval: Time,
    timeout: Time,
    connection_idle_interval: Time,
}

#[derive(Debug, Serialize)]
struct EdsConfig {
    eds_config: FileSource,
}

/// Which endpoints a cluster has.
#[derive(Debug, Serialize)]
pub(crate) struct LoadAssignment {
    cluster_name: &'static str,
    endpoints: [Locality; 1],
}

impl Message for LoadAssignment {
    const NAME: &'static str = "envoy.config.endpoint.v3.ClusterLoadAssignment";
}

#[derive(Debug, Serialize)]
struct Locality {
    lb_endpoints: Vec<LbEndpoint>,
}

#[derive(Debug, Serialize)]
struct LbEndpoint {
    endpoint: Endpoint,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    address: Address,
}

impl Cluster {
    /// The fleet.
    pub(crate) fn fprs(settings: &Settings) -> Self {
        let members = Self::members(&settings.fleet);
        Self {
            name: LoadAssignment::FPRS,
            ignore_health_on_host_removal: Some(true),
            connect_timeout: Some(Time(limits::CONNECT_TIME)),
            lb_policy: Some("LEAST_REQUEST"),
            per_connection_buffer_limit_bytes: Some(limits::PROXY_BUFFER),
            common_lb_config: Some(CommonLb {
                healthy_panic_threshold: Wrapped {
                    value: limits::PANIC_PERCENT,
                },
            }),
            upstream_bind_config: settings.source.map(BindConfig::new),
            upstream_connection_options: Some(ConnectionOptions {
                tcp_keepalive: TcpKeepalive {
                    keepalive_time: limits::KEEPALIVE_TIME,
                    keepalive_interval: limits::KEEPALIVE_INTERVAL,
                    keepalive_probes: limits::KEEPALIVE_PROBES,
                },
            }),
            preconnect_policy: Some(Preconnect {
                per_upstream_preconnect_ratio: limits::PRECONNECT_RATIO,
            }),
            circuit_breakers: Some(CircuitBreakers::out_of_the_way()),
            outlier_detection: Some(OutlierDetection::of_connections()),
            health_checks: vec![HealthCheck::of_readiness()],
            typed_extension_protocol_options: BTreeMap::from([(
                ProtocolOptions::NAME,
                ProtocolOptions::h2().into(),
            )]),
            ..members
        }
    }

    /// The edge's own operators' interface, for the probe.
    pub(crate) fn admin(address: Address) -> Self {
        Self {
            name: "admin",
            r#type: Some("STATIC"),
            connect_timeout: Some(Time(limits::CONNECT_TIME)),
            load_assignment: Some(LoadAssignment {
                cluster_name: "admin",
                endpoints: [Locality {
                    lb_endpoints: vec![LbEndpoint::new(address)],
                }],
            }),
            ..Self::default()
        }
    }

    /// Where spans go.
    pub(crate) fn collector(tracing: &Tracing) -> Self {
        let (host, port) = (&*tracing.host, tracing.port);
        let members = match host.parse() {
            Ok(ip) => Self::at_addresses(COLLECTOR, &[SocketAddr::new(ip, port)]),
            Err(_) => Self::at_name(COLLECTOR, host, port),
        };
        Self {
            name: COLLECTOR,
            connect_timeout: Some(Time(limits::CONNECT_TIME)),
            typed_extension_protocol_options: BTreeMap::from([(
                ProtocolOptions::NAME,
                ProtocolOptions::h2().into(),
            )]),
            transport_socket: tracing
                .authorities
                .as_deref()
                .map(|authorities| upstream(host, authorities)),
            ..members
        }
    }

    fn members(fleet: &Fleet) -> Self {
        match fleet {
            Fleet::Fixed(addresses) => Self::at_addresses(LoadAssignment::FPRS, addresses),
            Fleet::Dns { name, port } => Self::at_name(LoadAssignment::FPRS, name, *port),
            Fleet::Watched(file) => Self {
                r#type: Some("EDS"),
                eds_cluster_config: Some(EdsConfig {
                    eds_config: FileSource::new(file),
                }),
                ..Self::default()
            },
        }
    }

    fn at_addresses(cluster: &'static str, addresses: &[SocketAddr]) -> Self {
        Self {
            r#type: Some("STATIC"),
            load_assignment: Some(LoadAssignment::of(cluster, addresses)),
            ..Self::default()
        }
    }

    fn at_name(cluster: &'static str, name: &str, port: u16) -> Self {
        Self {
            cluster_type: Some(Extension::new(
                "envoy.clusters.dns",
                Dns {
                    dns_refresh_rate: Time(limits::DNS_REFRESH),
                    respect_dns_ttl: true,
                    // By default the IPv4 ones only count where there is none of IPv6.
                    dns_lookup_family: "ALL",
                    all_addresses_in_single_endpoint: false,
                },
            )),
            load_assignment: Some(LoadAssignment {
                cluster_name: cluster,
                endpoints: [Locality {
                    lb_endpoints: vec![LbEndpoint::new(Address::named(name, port))],
                }],
            }),
            ..Self::default()
        }
    }
}

impl LoadAssignment {
    const FPRS: &'static str = "fprs";

    /// fprs at those addresses.
    pub(crate) fn fprs(addresses: &[SocketAddr]) -> Self {
        Self::of(Self::FPRS, addresses)
    }

    fn of(cluster_name: &'static str, addresses: &[SocketAddr]) -> Self {
        let endpoint = |address: &SocketAddr| LbEndpoint::new(Address::tcp(*address));
        Self {
            cluster_name,
            endpoints: [Locality {
                lb_endpoints: addresses.iter().map(endpoint).collect(),
            }],
        }
    }
}

impl LbEndpoint {
    const fn new(address: Address) -> Self {
        Self {
            endpoint: Endpoint { address },
        }
    }
}

impl CircuitBreakers {
    /// fprs admits by itself; these only end a runaway.
    const fn out_of_the_way() -> Self {
        Self {
            thresholds: [Threshold {
                max_connections: limits::PROXY_CONNECTIONS,
                max_pending_requests: limits::PROXY_CONNECTIONS,
                max_requests: limits::EXCHANGES,
                retry_budget: RetryBudget {
                    budget_percent: Wrapped {
                        value: limits::RETRY_PERCENT,
                    },
                    min_retry_concurrency: limits::RETRIES_AT_LEAST,
                },
                track_remaining: true,
            }],
        }
    }
}

impl OutlierDetection {
    const fn of_connections() -> Self {
        Self {
            split_external_local_origin_errors: true,
            enforcing_consecutive_5xx: 0,
            enforcing_consecutive_gateway_failure: 0,
            enforcing_success_rate: 0,
            enforcing_local_origin_success_rate: 0,
            consecutive_local_origin_failure: limits::CONNECT_FAILURES,
            base_ejection_time: Time(limits::EJECTION),
            max_ejection_percent: limits::EJECTION_PERCENT,
        }
    }
}

impl HealthCheck {
    const fn of_readiness() -> Self {
        Self {
            timeout: Time(limits::HEALTH_TIME),
            interval: Time(limits::HEALTH_INTERVAL),
            no_traffic_interval: Time(limits::HEALTH_INTERVAL),
            unhealthy_interval: Time(limits::HEALTH_RETRY),
            unhealthy_threshold: limits::HEALTH_FAILURES,
            healthy_threshold: 1,
            http_health_check: HttpHealthCheck {
                path: "/readyz",
                host: "fprs.internal",
                codec_client_type: "HTTP2",
            },
        }
    }
}

impl ProtocolOptions {
    const fn h2() -> Self {
        Self {
            common_http_protocol_options: CommonOptions {
                idle_timeout: Time(limits::PROXY_IDLE),
                max_headers_count: limits::RESPONSE_FIELDS,
                max_response_headers_kb: limits::RESPONSE_FIELDS_KB,
            },
            explicit_http_config: ExplicitHttp {
                http2_protocol_options: Http2Options {
                    max_concurrent_streams: limits::PROXY_STREAMS,
                    initial_stream_window_size: limits::STREAM_WINDOW,
                    initial_connection_window_size: limits::PROXY_WINDOW,
                    allow_connect: true,
                    // Else one bad field of one program ends every stream on the connection.
                    override_stream_error_on_invalid_http_message: true,
                    connection_keepalive: Keepalive {
                        interval: Time(limits::PROXY_PING),
                        timeout: Time(limits::PROXY_PING_TIME),
                        connection_idle_interval: Time(limits::PROXY_PING_IDLE),
                    },
                },
            },
        }
    }
}
