//! Envoy: one worker, one route, one cluster, no access log, circuit breakers out of the way.
//!
//! Found through `$ENVOY`, as `envoy` on the path, or as `~/.cache/fprs/envoy`.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Proxy, Running, Site, first_line, free_address, launch};
use crate::{cases::Case, load::session::Protocol};

/// A release binary.
#[derive(Debug)]
pub struct Envoy;

impl Proxy for Envoy {
    fn name(&self) -> &'static str {
        "envoy"
    }

    fn version(&self) -> Result<String> {
        let line = first_line(&program()?.display().to_string(), "--version")?;
        Ok(format!(
            "envoy {}",
            line.rsplit("version: ").next().unwrap_or_default()
        ))
    }

    fn supports(&self, case: Case) -> bool {
        !case.is_ours_alone()
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let address = free_address()?;
        run(site, &config(site, address.port()), address)
    }
}

/// Runs Envoy by that bootstrap, with a worker a core.
pub(super) fn run(site: &Site<'_>, bootstrap: &Value, address: SocketAddr) -> Result<Running> {
    let file = site.folder.join("envoy.json");
    fs::write(&file, bootstrap.to_string())?;
    let mut command = vec![program()?.display().to_string()];
    command.extend(
        [
            "-c",
            &file.display().to_string(),
            "--concurrency",
            &site.cores.to_string(),
            "--disable-hot-restart",
        ]
        .map(str::to_owned),
    );
    command.extend(["-l", "error"].map(str::to_owned));
    launch(site, &command, address)
}

fn program() -> Result<PathBuf> {
    let named = env::var_os("ENVOY").map(PathBuf::from);
    let on_path = env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .map(|folder| folder.join("envoy"))
        .find(|file| file.is_file());
    let cached = env::var_os("HOME").map(|home| Path::new(&home).join(".cache/fprs/envoy"));
    [named, on_path, cached]
        .into_iter()
        .flatten()
        .find(|file| file.is_file())
        .context("envoy is not installed: set ENVOY to its binary")
}

fn config(site: &Site<'_>, port: u16) -> Value {
    let h2 = serde_json::json!({
        "max_concurrent_streams": 2048,
        "initial_stream_window_size": 1 << 20,
        "initial_connection_window_size": 256 << 20,
        "allow_connect": true,
    });
    let upstream = match site.pair.up {
        Protocol::H2 => serde_json::json!({"http2_protocol_options": h2}),
        Protocol::H1 => serde_json::json!({"http_protocol_options": {}}),
    };
    let many = 100_000;
    let address = |host: String, port: u16| serde_json::json!({"socket_address": {"address": host, "port_value": port}});
    serde_json::json!({"static_resources": {
        "listeners": [{
            "name": "bench",
            "address": address("127.0.0.1".to_owned(), port),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": HTTP_CONNECTION_MANAGER,
                    "stat_prefix": "bench",
                    "codec_type": "AUTO",
                    "http2_protocol_options": h2,
                    "stream_idle_timeout": "0s",
                    "upgrade_configs": [{"upgrade_type": "websocket"}],
                    "route_config": {"virtual_hosts": [{
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{
                            "match": {"prefix": "/"},
                            "route": {"cluster": "origin", "timeout": "0s"},
                        }],
                    }]},
                    "http_filters": [{
                        "name": "envoy.filters.http.router",
                        "typed_config": {"@type": ROUTER},
                    }],
                },
            }]}],
        }],
        "clusters": [{
            "name": "origin",
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [{
                "max_connections": many,
                "max_pending_requests": many,
                "max_requests": many,
            }]},
            "typed_extension_protocol_options": {(HTTP_OPTIONS_KEY): {
                "@type": HTTP_OPTIONS,
                "explicit_http_config": upstream,
            }},
            "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [{
                "endpoint": {
                    "address": address(site.upstream.ip().to_string(), site.upstream.port()),
                },
            }]}]},
        }],
    }})
}

const HTTP_CONNECTION_MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const HTTP_OPTIONS_KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const HTTP_OPTIONS: &str =
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
