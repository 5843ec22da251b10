//! The smallest forwarder that pingora-proxy makes: no filters, no modules, windows opened.

use std::net::SocketAddr;

use anyhow::Result;
use async_trait::async_trait;
use pingora_core::{
    apps::HttpServerOptions,
    modules::http::HttpModules,
    protocols::http::v2::server::default_h2_options,
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

use crate::load::session::Protocol;

/// Requests that share an upstream connection; pingora's default is one each.
const STREAMS_PER_CONNECTION: usize = 128;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;
/// More than any case keeps idle, so that no connection is thrown away.
const POOL: usize = 2048;

/// How to run it.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Where to listen, HTTP/1.1 and HTTP/2 alike.
    pub listen: SocketAddr,
    /// The origin.
    pub upstream: SocketAddr,
    /// How to speak to it.
    pub protocol: Protocol,
    /// Threads.
    pub threads: usize,
    /// tokio's multi-thread scheduler, pingora's default, or one current-thread runtime.
    pub steal: bool,
}

/// Serves until a signal.
///
/// # Errors
/// None: pingora ends the process when it can't listen.
pub fn run(setup: Setup) -> Result<()> {
    let conf = ServerConf {
        threads: setup.threads,
        work_stealing: setup.steal,
        upstream_keepalive_pool_size: POOL,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Forward(setup));
    if let Some(proxy) = service.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        proxy.server_options = Some(options);
        let mut h2 = default_h2_options();
        h2.max_concurrent_streams(2048)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        proxy.h2_options = Some(h2);
    }
    service.add_tcp(&setup.listen.to_string());
    server.add_service(service);
    server.run_forever()
}

struct Forward(Setup);

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> pingora_core::Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.0.upstream, false, String::new());
        if self.0.protocol == Protocol::H2 {
            peer.options.set_http_version(2, 2);
            peer.options.max_h2_streams = STREAMS_PER_CONNECTION;
            peer.options.h2_stream_window_size = Some(STREAM_WINDOW);
            peer.options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        }
        Ok(Box::new(peer))
    }
}
