//! A real Envoy before proxies that a file lists, for clients without TLS; or nothing, where Envoy isn't.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use fprs::edge::certificates;
use fprs_envoy::{Admin, Bootstrap, Certificate, Fleet, Settings, document, yaml};
use fprs_testkit::client::H2;
use fprs_testkit::{Process, ports, until};

use crate::SOON;
use crate::envoy::envoy;
use crate::tls::{Trust, Tunnel};
use crate::world::WEB;

/// Dropping it ends Envoy.
pub(crate) struct Front {
    dir: PathBuf,
    tunnel: Tunnel,
    _envoy: Process,
}

impl Front {
    /// Keeps what it is started with in that directory, and waits until a request comes through.
    /// `None`: skip.
    pub(crate) async fn start(dir: PathBuf, proxies: &[SocketAddr]) -> Option<Self> {
        let envoy = envoy()?;
        certificates::keep(&dir, "region.localhost", SystemTime::now()).unwrap();
        announce(&dir, proxies);
        let address = ports::unused();
        let envoy = start(&envoy, &dir, address);
        let trust = Trust::new(address, &dir.join("ca.pem"));
        let tunnel = trust.tunnel(WEB).await;
        until("the edge serves", SOON, async || {
            let client = H2::connect(tunnel.address()).await.ok()?;
            (client.get(WEB, "/").await.ok()?.status == 200).then_some(())
        })
        .await;
        Some(Self {
            dir,
            tunnel,
            _envoy: envoy,
        })
    }

    /// Says where proxies are.
    pub(crate) fn announce(&self, proxies: &[SocketAddr]) {
        announce(&self.dir, proxies);
    }

    /// Where clients without TLS connect.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.tunnel.address()
    }
}

/// As whoever watches a fleet does: beside, then moved.
fn announce(dir: &Path, addresses: &[SocketAddr]) {
    let text = yaml(&document::endpoints(addresses)).unwrap();
    let beside = dir.join("endpoints.new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, dir.join("endpoints.yaml")).unwrap();
}

fn start(envoy: &Path, dir: &Path, address: SocketAddr) -> Process {
    let mut settings = Settings::new(
        "region.localhost",
        Certificate::Watched(certificates::watched(dir)),
        Fleet::Watched(dir.join("endpoints.yaml")),
        Admin::socket(&dir.join("admin.sock")).unwrap(),
    );
    settings.listeners.https = Some(address);
    let file = dir.join("envoy.yaml");
    std::fs::write(&file, yaml(&Bootstrap::new(&settings)).unwrap()).unwrap();
    let mut command = Command::new(envoy);
    command.arg("-c").arg(file);
    command.args([
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "warning",
    ]);
    Process::spawn("envoy", command, &dir.join("envoy.log"))
}
