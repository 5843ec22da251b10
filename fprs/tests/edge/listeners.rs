//! Promise: an edge as fleets have it, with all its ports, by what `fprs edge render` prints.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use fprs::edge::certificates;
use fprs_testkit::client::{H1, H2};
use fprs_testkit::plane::Settings;
use fprs_testkit::{Cli, Plane, Process, ports, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::custom::{self, SHOP};
use crate::envoy::envoy;
use crate::plane::WEB;
use crate::tls::Trust;
use crate::{FPRS, SOON, raw_program};

/// A plane, and an edge before it that is started as its operators would.
pub(crate) struct Site {
    https: SocketAddr,
    proxied: SocketAddr,
    redirect: SocketAddr,
    pub(crate) probe: SocketAddr,
    pub(crate) dir: PathBuf,
    _envoy: Process,
    _plane: Plane,
}

impl Site {
    /// `None`: skip.
    pub(crate) async fn start() -> Option<Self> {
        Self::with("", |proxy| format!("fixed = [\"{proxy}\"]")).await
    }

    /// With more settings, and the fleet as it is written for a proxy at that address.
    pub(crate) async fn with(more: &str, fleet: impl FnOnce(SocketAddr) -> String) -> Option<Self> {
        let envoy = envoy()?;
        let settings = Settings::new(FPRS).arg("--trusted-edges").arg("127.0.0.1");
        let plane = settings.start().await;
        let manifest = raw_program::manifest("web") + &format!("domains = [\"{SHOP}\"]\n");
        plane.deploy(&manifest).await;
        until("a ready replica", SOON, async || {
            (plane.replicas_in("web", "ready").await > 0).then_some(())
        })
        .await;
        let dir = plane.dir().join("site");
        certificates::keep(&dir, "region.localhost", SystemTime::now()).unwrap();
        custom::make(&dir, "shop");
        custom::watch(&dir, "shop", "shop").await.succeeded();
        let [https, proxied, redirect, probe] = std::array::from_fn(|_| ports::unused());
        let toml = format!(
            "zone = \"region.localhost\"\nhttps = \"{https}\"\nproxied = \"{proxied}\"\n\
             redirect = \"{redirect}\"\nprobe = \"{probe}\"\nhsts = true\naccess-log = \"off\"\n\
             admin = \"{dir}/admin.sock\"\n{more}\n[wildcard]\nwatched = \"{dir}/wildcard.yaml\"\n\
             [[custom]]\ndomains = [\"{SHOP}\"]\n\
             certificate = {{ watched = \"{dir}/shop.yaml\" }}\n\
             [fleet]\n{fleet}\n",
            fleet = fleet(plane.listen()),
            dir = dir.display(),
        );
        let file = dir.join("edge.toml");
        std::fs::write(&file, toml).unwrap();
        let cli = Cli::new(FPRS);
        let rendered = cli.run(&["edge", "render", file.to_str().unwrap()]).await;
        let bootstrap = dir.join("envoy.yaml");
        std::fs::write(&bootstrap, rendered.succeeded().stdout).unwrap();
        let mut command = Command::new(envoy);
        command.arg("-c").arg(bootstrap);
        command.args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "warning",
        ]);
        let envoy = Process::spawn("envoy", command, &dir.join("envoy.log"));
        until("the edge is ready", SOON, async || {
            let mut client = H1::connect(probe).await.ok()?;
            (client.get("probe", "/ready").await.ok()?.status == 200).then_some(())
        })
        .await;
        Some(Self {
            https,
            proxied,
            redirect,
            probe,
            dir,
            _envoy: envoy,
            _plane: plane,
        })
    }

    pub(crate) fn trust(&self, ca: &str) -> Trust {
        Trust::new(self.https, &self.dir.join(ca))
    }
}

#[tokio::test]
async fn a_proxy_header_says_who_the_client_is_and_nobody_is_served_without() {
    let Some(site) = Site::start().await else {
        return;
    };
    let trust = Trust::new(site.proxied, &site.dir.join("ca.pem"));
    assert!(trust.connect(WEB, &[b"http/1.1"]).await.is_err());
    for (header, address) in [
        (
            "PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n",
            "203.0.113.9",
        ),
        (
            "PROXY TCP6 2001:db8::9 2001:db8::1 5000 443\r\n",
            "2001:db8::9",
        ),
    ] {
        let mut stream = TcpStream::connect(site.proxied).await.unwrap();
        stream.write_all(header.as_bytes()).await.unwrap();
        let mut stream = trust.over(stream, WEB, &[b"http/1.1"]).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nhost: {WEB}\r\nx-forwarded-for: 1.2.3.4\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let told = answer.matches("x-forwarded-for: ").count();
        assert_eq!(told, 1, "{answer}");
        assert!(
            answer.contains(&format!("x-forwarded-for: {address}\r\n")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_custom_domain_has_its_own_certificate_and_its_own_hosts() {
    let Some(site) = Site::start().await else {
        return;
    };
    // Its certificate is its own authority.
    let shop = site.trust("shop.pem").tunnel(SHOP).await;
    let client = H2::connect(shop.address()).await.unwrap();
    let answer = client.get(SHOP, "/").await.unwrap();
    assert_eq!(answer.status, 200);
    let hsts = answer.header("strict-transport-security");
    assert_eq!(hsts, Some("max-age=31536000"));
    assert!(
        answer.text().contains(&format!("host: {SHOP}\r\n")),
        "{}",
        answer.text()
    );
    assert_eq!(client.get(WEB, "/").await.unwrap().status, 421);

    let zone = site.trust("ca.pem").tunnel(WEB).await;
    let client = H2::connect(zone.address()).await.unwrap();
    assert_eq!(client.get(WEB, "/").await.unwrap().status, 200);
    assert_eq!(client.get(SHOP, "/").await.unwrap().status, 421);
}

#[tokio::test]
async fn of_the_addresses_of_a_name_those_are_used_that_are_ready() {
    // On most machines two addresses, and nobody listens at the other one.
    let fleet = |proxy: SocketAddr| format!("dns = \"localhost\"\nport = {}", proxy.port());
    let Some(site) = Site::with("", fleet).await else {
        return;
    };
    let zone = site.trust("ca.pem").tunnel(WEB).await;
    let client = H2::connect(zone.address()).await.unwrap();
    for _ in 0..20 {
        assert_eq!(client.get(WEB, "/").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn plain_http_is_sent_to_https_and_the_probe_shows_readiness_and_metrics_alone() {
    let Some(site) = Site::start().await else {
        return;
    };
    let mut plain = H1::connect(site.redirect).await.unwrap();
    let answer = plain.get(WEB, "/a?b=1").await.unwrap();
    assert_eq!(answer.status, 308);
    assert_eq!(
        answer.header("location"),
        Some(&*format!("https://{WEB}/a?b=1"))
    );

    let mut probe = H1::connect(site.probe).await.unwrap();
    for (path, status) in [
        ("/healthz", 200),
        ("/ready", 200),
        ("/stats/prometheus", 200),
        ("/config_dump", 404),
        ("/quitquitquit", 404),
    ] {
        let answer = probe.get("probe", path).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
    }
    let ready = "POST /ready HTTP/1.1\r\nhost: probe\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(probe.exchange(ready).await.unwrap().status, 404);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_the_probe_still_answers() {
    let fleet = |proxy| format!("fixed = [\"{proxy}\"]");
    let Some(site) = Site::with("connections = 3", fleet).await else {
        return;
    };
    let trust = site.trust("ca.pem");
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(trust.connect(WEB, &[b"h2"]).await.unwrap());
    }
    assert!(trust.connect(WEB, &[b"h2"]).await.is_err());
    let mut probe = H1::connect(site.probe).await.unwrap();
    assert_eq!(probe.get("probe", "/healthz").await.unwrap().status, 200);
    drop(held);
    until("there is room again", SOON, async || {
        trust.connect(WEB, &[b"h2"]).await.ok()
    })
    .await;
}
