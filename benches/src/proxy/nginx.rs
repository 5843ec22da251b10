//! nginx: one worker, idle connections to the origin kept, no log. It speaks only HTTP/1.1
//! upstream, and HTTP/2 without TLS only on a port that speaks nothing else.

use std::fs;

use anyhow::Result;

use super::{Proxy, Running, Site, first_line, free_address, launch};
use crate::{
    cases::{Case, Kind},
    load::session::Protocol,
    wire::websocket,
};

/// The Debian package.
#[derive(Debug)]
pub struct Nginx;

impl Proxy for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn version(&self) -> Result<String> {
        first_line("nginx", "-v")
    }

    fn supports(&self, case: Case) -> bool {
        // It opens WebSockets only for HTTP/1.1 clients.
        let opens = case.kind != Kind::WebSocket || case.pair.down == Protocol::H1;
        case.pair.up == Protocol::H1 && opens && !case.is_ours_alone()
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let address = free_address()?;
        let http2 = if site.pair.down == Protocol::H2 {
            "http2"
        } else {
            ""
        };
        let folder = site.folder.display();
        let config = format!(
            "user root;
daemon off;
worker_processes {cores};
pid {folder}/pid;
error_log {folder}/error.log crit;
worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  http2_max_concurrent_streams 2048;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream origin {{
    server {upstream};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {address} {http2};
    location {socket} {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection \"upgrade\";
      proxy_set_header Host $host;
      proxy_read_timeout 10m;
    }}
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_buffering off;
      proxy_read_timeout 10m;
    }}
  }}
}}
",
            cores = site.cores,
            socket = websocket::PATH,
            upstream = site.upstream,
        );
        let file = site.folder.join("nginx.conf");
        fs::write(&file, config)?;
        let command = ["nginx", "-c", &file.display().to_string()].map(str::to_owned);
        launch(site, &command, address)
    }
}
