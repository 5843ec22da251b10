//! HAProxy: one thread, connections to the origin shared by all clients, no log.

use std::fs;

use anyhow::Result;

use super::{Pair, Proxy, Running, Site, first_line, free_address, launch};
use crate::{
    cases::{Case, Kind},
    load::session::Protocol,
    process::descriptors,
};

/// Descriptors that HAProxy needs beside two for each connection; with too few it does not start.
const SPARE: u64 = 100;

/// The Debian package.
#[derive(Debug)]
pub struct Haproxy;

impl Proxy for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn version(&self) -> Result<String> {
        first_line("haproxy", "-v")
    }

    fn supports(&self, case: Case) -> bool {
        // It checks the origin's word on a key of its own, which takes a hash that no origin here has.
        let checks = case.kind == Kind::WebSocket && case.pair == Pair::H2_H1;
        !checks && !case.is_ours_alone()
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let address = free_address()?;
        let up = if site.pair.up == Protocol::H2 {
            "proto h2"
        } else {
            ""
        };
        let config = format!(
            "global
  nbthread {cores}
  maxconn {connections}
  tune.h2.initial-window-size 1048576
  tune.h2.max-concurrent-streams 2048
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 10m
  timeout server 10m
  timeout tunnel 10m
listen bench
  bind {address}
  server origin {upstream} {up}
",
            connections = descriptors().saturating_sub(SPARE) / 2,
            cores = site.cores,
            upstream = site.upstream,
        );
        let file = site.folder.join("haproxy.cfg");
        fs::write(&file, config)?;
        let command = ["haproxy", "-db", "-f", &file.display().to_string()].map(str::to_owned);
        launch(site, &command, address)
    }
}
