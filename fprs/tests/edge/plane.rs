//! A plane with its edge, as `fprs up --edge` starts it, with two servers; or nothing, where Envoy
//! isn't.

use std::net::SocketAddr;
use std::path::PathBuf;

use fprs_testkit::client::{H1, H2};
use fprs_testkit::plane::Settings;
use fprs_testkit::{Plane, program, until};
use serde_json::Value;

use crate::envoy::envoy;
use crate::tls::{Trust, Tunnel};
use crate::{FPRS, SOON};

/// The server whose program speaks HTTP/1.1.
pub(crate) const WEB: &str = "web.region.localhost";
/// The server whose program speaks h2c.
pub(crate) const ECHO: &str = "echo.region.localhost";

pub(crate) struct Edged {
    pub(crate) plane: Plane,
    pub(crate) trust: Trust,
    tunnel: Tunnel,
}

/// What `fprs up` is started with for an edge, on a port of its own.
pub(crate) fn settings(envoy: PathBuf) -> Settings {
    Settings::new(FPRS)
        .arg("--edge")
        .arg("--edge-listen")
        .arg("127.0.0.1:0")
        .arg("--cores")
        .arg("1")
        .arg("--envoy")
        .arg(envoy)
}

impl Edged {
    /// With both servers; `None`: skip.
    pub(crate) async fn start() -> Option<Self> {
        let edged = Self::bare(settings(envoy()?)).await;
        let record = edged.record();
        let env = [("RECORD", record.to_str().unwrap())];
        for (name, more) in [("web", ""), ("echo", "h2 = true")] {
            let more = format!("min_replicas = 1\n{more}");
            edged
                .deploy(name, &program::manifest(name, &more, &env))
                .await;
        }
        Some(edged)
    }

    /// With the program that says what no other would, as `web`; `None`: skip.
    pub(crate) async fn raw() -> Option<Self> {
        let edged = Self::bare(settings(envoy()?)).await;
        edged
            .deploy("web", &crate::raw_program::manifest("web"))
            .await;
        Some(edged)
    }

    /// Without a server.
    pub(crate) async fn bare(settings: Settings) -> Self {
        let plane = settings.start().await;
        let trust = Trust::new(address(&plane), &plane.data_dir().join("edge/ca.pem"));
        let tunnel = trust.tunnel(WEB).await;
        Self {
            plane,
            trust,
            tunnel,
        }
    }

    pub(crate) async fn deploy(&self, name: &str, manifest: &str) {
        self.plane.deploy(manifest).await;
        until("a ready replica", SOON, async || {
            (self.plane.replicas_in(name, "ready").await > 0).then_some(())
        })
        .await;
    }

    /// The edge itself.
    pub(crate) fn edge(&self) -> SocketAddr {
        address(&self.plane)
    }

    /// The edge for clients without TLS.
    pub(crate) const fn tunnel(&self) -> SocketAddr {
        self.tunnel.address()
    }

    pub(crate) async fn h1(&self) -> H1 {
        H1::connect(self.tunnel()).await.unwrap()
    }

    pub(crate) async fn h2(&self) -> H2 {
        H2::connect(self.tunnel()).await.unwrap()
    }

    /// What the programs saw.
    pub(crate) fn seen(&self) -> Vec<Value> {
        program::events(&self.record())
    }

    fn record(&self) -> PathBuf {
        self.plane.dir().join("record")
    }

    /// What the edge wrote down, a request a line.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        program::events(&self.plane.data_dir().join("edge/access.json"))
    }
}

fn address(plane: &Plane) -> SocketAddr {
    plane.ready()["edge"].as_str().unwrap().parse().unwrap()
}
