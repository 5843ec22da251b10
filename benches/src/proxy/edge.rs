//! Envoy as the edge, with the bootstrap that fprs renders for it, but without TLS, which the generator
//! does not speak: straight to the program, or before `fprs up` with its proxy and relay, which is the
//! whole way of a request. All processes are on the core under test; the difference of the two is fprs.

use std::fs;

use anyhow::{Context as _, Result};
use fprs_envoy::{Admin, Bootstrap, Certificate, Fleet, Settings};
use serde_json::{Value, json};

use super::{
    Pair, Proxy, Running, Site,
    envoy::{Envoy, run},
    fprs::Fprs,
    free_address,
};
use crate::{
    cases::{Case, Kind},
    load::session::Protocol,
};

/// What is behind the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The program.
    Alone,
    /// A plane, and then the program.
    BeforeFprs,
}

/// The zone of the generator's authority.
const ZONE: &str = "region.localhost";

impl Proxy for Edge {
    fn name(&self) -> &'static str {
        match self {
            Self::Alone => "edge",
            Self::BeforeFprs => "edge+fprs",
        }
    }

    fn version(&self) -> Result<String> {
        let envoy = Envoy.version()?;
        Ok(match self {
            Self::Alone => format!("{envoy}, as the edge"),
            Self::BeforeFprs => format!("{envoy}, as the edge, then {}", Fprs::Whole.version()?),
        })
    }

    fn supports(&self, case: Case) -> bool {
        let kinds = [Kind::Saturation, Kind::LowRate, Kind::Events];
        case.pair.up == Protocol::H1 && kinds.contains(&case.kind)
    }

    fn has_store(&self) -> bool {
        *self == Self::BeforeFprs
    }

    fn has_origin(&self, _pair: Pair) -> bool {
        *self == Self::BeforeFprs
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        if *self == Self::Alone {
            return start(site, true);
        }
        let inner = site.folder.join("plane");
        fs::create_dir_all(&inner)?;
        let plane = Fprs::Whole.start(&Site {
            folder: &inner,
            ..*site
        })?;
        let behind = Site {
            upstream: plane.address,
            ..*site
        };
        let mut edge = start(&behind, false)?;
        edge.headers.clone_from(&plane.headers);
        edge.beside.push(plane.pid());
        edge.kept.push(Box::new(plane));
        Ok(edge)
    }
}

fn start(site: &Site<'_>, to_program: bool) -> Result<Running> {
    let address = free_address()?;
    let mut settings = Settings::new(
        ZONE,
        Certificate::Watched(site.folder.join("unused.yaml")),
        Fleet::Fixed(vec![site.upstream]),
        Admin::Loopback(free_address()?.port()),
    );
    settings.listeners.https = Some(address);
    let mut bootstrap = serde_json::to_value(Bootstrap::new(&settings))?;
    without_tls(&mut bootstrap).context("the bootstrap has another shape")?;
    if to_program {
        to_a_program(&mut bootstrap).context("the bootstrap has another shape")?;
    }
    run(site, &bootstrap, address)
}

fn without_tls(bootstrap: &mut Value) -> Option<()> {
    let listener = bootstrap.pointer_mut("/static_resources/listeners/0")?;
    listener.as_object_mut()?.remove("listener_filters")?;
    let chain = listener.pointer_mut("/filter_chains/0")?.as_object_mut()?;
    chain.remove("filter_chain_match")?;
    chain.remove("transport_socket")?;
    Some(())
}

/// A program speaks HTTP/1.1, and knows nothing of the edge's checks.
fn to_a_program(bootstrap: &mut Value) -> Option<()> {
    let cluster = bootstrap.pointer_mut("/static_resources/clusters/0")?;
    cluster.as_object_mut()?.remove("health_checks")?;
    let options = cluster.get_mut("typed_extension_protocol_options")?;
    let options = options.as_object_mut()?.values_mut().next()?;
    *options.get_mut("explicit_http_config")? = json!({"http_protocol_options": {}});
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rendered_bootstrap_has_the_shape_that_is_changed_here() {
        let mut settings = Settings::new(
            ZONE,
            Certificate::Watched("/unused.yaml".into()),
            Fleet::Fixed(Vec::new()),
            Admin::Loopback(1),
        );
        settings.listeners.https = Some("127.0.0.1:1".parse().unwrap());
        let mut bootstrap = serde_json::to_value(Bootstrap::new(&settings)).unwrap();
        assert_eq!(without_tls(&mut bootstrap), Some(()));
        assert_eq!(to_a_program(&mut bootstrap), Some(()));
        let text = bootstrap.to_string();
        assert!(
            !text.contains("tls") && !text.contains("health_check"),
            "{text}"
        );
    }
}
