//! The whole way of a request: Envoy as the edge, then `fprs up` with its proxy and relay, then the
//! program; both processes on the core under test. Without TLS, which the generator does not speak.

use std::fs;

use anyhow::Result;

use super::{Pair, Proxy, Running, Site, envoy::Envoy, fprs::Fprs};
use crate::{
    cases::{Case, Kind},
    load::session::Protocol,
};

/// Envoy in front of a plane.
#[derive(Debug)]
pub struct Edge;

impl Proxy for Edge {
    fn name(&self) -> &'static str {
        "envoy+fprs"
    }

    fn version(&self) -> Result<String> {
        Ok(format!(
            "{}, then {}",
            Envoy.version()?,
            Fprs::Whole.version()?
        ))
    }

    fn supports(&self, case: Case) -> bool {
        let kinds = [Kind::Saturation, Kind::LowRate, Kind::Events];
        case.pair.up == Protocol::H1 && kinds.contains(&case.kind)
    }

    fn has_store(&self) -> bool {
        true
    }

    fn has_origin(&self, _pair: Pair) -> bool {
        true
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let inner = site.folder.join("plane");
        fs::create_dir_all(&inner)?;
        let plane = Fprs::Whole.start(&Site {
            folder: &inner,
            ..*site
        })?;
        let mut edge = Envoy.start(&Site {
            pair: Pair {
                up: Protocol::H2,
                ..site.pair
            },
            upstream: plane.address,
            ..*site
        })?;
        edge.headers.clone_from(&plane.headers);
        edge.beside.push(plane.pid());
        edge.kept.push(Box::new(plane));
        Ok(edge)
    }
}
