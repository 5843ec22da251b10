//! PURE. Ports, and which certificate and host names belong to a connection.

use std::net::SocketAddr;

use serde::Serialize;

use super::http::HttpConnectionManager;
use super::route::RouteConfig;
use super::tls::TransportSocket;
use super::value::{Address, Extension, Message, Nothing, Time};
use crate::limits;
use crate::settings::{Certificate, Settings};

#[derive(Debug, Serialize)]
pub(crate) struct Listener {
    name: &'static str,
    address: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_connection_buffer_limit_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_backlog_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_filters_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bypass_overload_manager: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp_listener_config: Option<UdpListener>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listener_filters: Vec<ListenerFilter>,
    filter_chains: Vec<FilterChain>,
}

#[derive(Debug, Serialize)]
struct UdpListener {
    quic_options: Nothing,
    downstream_socket_config: UdpSocket,
}

#[derive(Debug, Serialize)]
struct UdpSocket {
    prefer_gro: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ListenerFilter {
    Proxy(Extension<ProxyProtocol>),
    Tls(Extension<TlsInspector>),
}

#[derive(Debug, Serialize)]
struct ProxyProtocol {
    allow_requests_without_proxy_protocol: bool,
}

impl Message for ProxyProtocol {
    const NAME: &'static str = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
}

#[derive(Debug, Serialize)]
struct TlsInspector {}

impl Message for TlsInspector {
    const NAME: &'static str = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
}

#[derive(Debug, Serialize)]
struct FilterChain {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_chain_match: Option<ServerNames>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport_socket_connect_timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport_socket: Option<TransportSocket>,
    filters: [Extension<HttpConnectionManager>; 1],
}

#[derive(Debug, Serialize)]
struct ServerNames {
    server_names: Vec<String>,
}

/// Those that the settings ask for.
pub(crate) fn all(settings: &Settings) -> Vec<Listener> {
    let listeners = &settings.listeners;
    let quic = listeners.https.filter(|_| settings.http3);
    let https = listeners.https.map(|address| https(settings, address));
    let proxied = listeners.proxied.map(|address| proxied(settings, address));
    let redirect = listeners
        .redirect
        .map(|address| redirect(settings, address));
    [
        https,
        proxied,
        quic.map(|address| self::quic(settings, address)),
        redirect,
        listeners.probe.map(probe),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn https(settings: &Settings, address: SocketAddr) -> Listener {
    Listener {
        listener_filters_timeout: Some(Time(limits::HELLO_TIME)),
        listener_filters: vec![tls_inspector()],
        ..Listener::of_clients("https", Address::tcp(address), tls_chains(settings))
    }
}

fn proxied(settings: &Settings, address: SocketAddr) -> Listener {
    let proxy = ProxyProtocol {
        // Else every client could choose its own address.
        allow_requests_without_proxy_protocol: false,
    };
    let proxy = Extension::new("envoy.filters.listener.proxy_protocol", proxy);
    Listener {
        listener_filters_timeout: Some(Time(limits::HELLO_TIME)),
        listener_filters: vec![ListenerFilter::Proxy(proxy), tls_inspector()],
        ..Listener::of_clients("proxied", Address::tcp(address), tls_chains(settings))
    }
}

fn quic(settings: &Settings, address: SocketAddr) -> Listener {
    let chains = certificates(settings).map(|(name, domains, certificate)| FilterChain {
        filter_chain_match: Some(ServerNames {
            server_names: domains.clone(),
        }),
        transport_socket: Some(TransportSocket::quic(&name, certificate)),
        ..FilterChain::new(
            &name,
            HttpConnectionManager::quic(settings, RouteConfig::edge(settings, &name, domains)),
        )
    });
    Listener {
        udp_listener_config: Some(UdpListener {
            quic_options: Nothing {},
            downstream_socket_config: UdpSocket { prefer_gro: true },
        }),
        ..Listener::new("quic", Address::udp(address), chains.collect())
    }
}

fn redirect(settings: &Settings, address: SocketAddr) -> Listener {
    let chain = FilterChain::new("redirect", HttpConnectionManager::redirect(settings));
    Listener::of_clients("redirect", Address::tcp(address), vec![chain])
}

fn probe(address: SocketAddr) -> Listener {
    let chain = FilterChain::new("probe", HttpConnectionManager::probe());
    Listener {
        // An edge that sheds load or drains must still say so.
        bypass_overload_manager: Some(true),
        drain_type: Some("MODIFY_ONLY"),
        ..Listener::new("probe", Address::tcp(address), vec![chain])
    }
}

/// A chain for each certificate and none for other names: who asks for those gets no handshake.
fn tls_chains(settings: &Settings) -> Vec<FilterChain> {
    certificates(settings)
        .map(|(name, domains, certificate)| FilterChain {
            filter_chain_match: Some(ServerNames {
                server_names: domains.clone(),
            }),
            transport_socket_connect_timeout: Some(Time(limits::HANDSHAKE_TIME)),
            transport_socket: Some(TransportSocket::tls(&name, certificate)),
            ..FilterChain::new(
                &name,
                HttpConnectionManager::edge(settings, RouteConfig::edge(settings, &name, domains)),
            )
        })
        .collect()
}

/// Each with its name, which is its secret's too, and its host names.
fn certificates(settings: &Settings) -> impl Iterator<Item = (String, Vec<String>, &Certificate)> {
    let wildcard = (
        "wildcard".to_owned(),
        vec![format!("*.{}", settings.zone)],
        &settings.wildcard,
    );
    let custom = settings.custom.iter().map(|custom| {
        let name = custom.domains.first().cloned().unwrap_or_default();
        (name, custom.domains.clone(), &custom.certificate)
    });
    std::iter::once(wildcard).chain(custom)
}

fn tls_inspector() -> ListenerFilter {
    ListenerFilter::Tls(Extension::new(
        "envoy.filters.listener.tls_inspector",
        TlsInspector {},
    ))
}

impl Listener {
    fn of_clients(name: &'static str, address: Address, filter_chains: Vec<FilterChain>) -> Self {
        Self {
            per_connection_buffer_limit_bytes: Some(limits::CLIENT_BUFFER),
            tcp_backlog_size: Some(limits::BACKLOG),
            ..Self::new(name, address, filter_chains)
        }
    }

    const fn new(name: &'static str, address: Address, filter_chains: Vec<FilterChain>) -> Self {
        Self {
            name,
            address,
            per_connection_buffer_limit_bytes: None,
            tcp_backlog_size: None,
            listener_filters_timeout: None,
            bypass_overload_manager: None,
            drain_type: None,
            udp_listener_config: None,
            listener_filters: Vec::new(),
            filter_chains,
        }
    }
}

impl FilterChain {
    fn new(name: &str, http: HttpConnectionManager) -> Self {
        Self {
            name: name.to_owned(),
            filter_chain_match: None,
            transport_socket_connect_timeout: None,
            transport_socket: None,
            filters: [Extension::new(
                "envoy.filters.network.http_connection_manager",
                http,
            )],
        }
    }
}
