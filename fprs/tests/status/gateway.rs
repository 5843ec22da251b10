//! What looks like an egress gateway to whoever asks how it is: HTTPS with a certificate of its own
//! authority, and one answer. And the settings of the reconciler that knows it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fprs_testkit::Plane;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const SAYS: &str = r#"{"gateway": "g1", "static_ips": [
    {"static_ip": "203.0.113.101", "epoch": 3, "local": "10.0.0.101", "peers": [
        {"identity": "worker-1", "address": "100.64.1.10", "ports": {"first": 1024, "last": 2047},
         "endpoint": null, "handshake_seconds": 4, "received": 3145728, "sent": 2048}]},
    {"static_ip": "203.0.113.102", "epoch": 0, "local": "10.0.0.102", "peers": []}]}"#;

/// Starts it beside another one that is gone; returns the reconciler's settings.
pub(crate) async fn start(dir: &Path) -> PathBuf {
    let address = serve(dir).await;
    written(
        dir,
        &format!(
            r#"
[gateways.g1]
node = "127.0.0.1"
control = "{address}"
[gateways.g2]
node = "127.0.0.9"
control = "127.0.0.1:1"
draining = true
[[static_ips]]
ip = "203.0.113.101"
gateways = ["g1", "g2"]
"#
        ),
    )
}

/// The settings of a reconciler whose pools are in the store.
pub(crate) fn of_a_store(dir: &Path) -> PathBuf {
    written(dir, "control = [\"127.0.0.1:1\"]\ntoken_file = \"admin\"\n")
}

fn written(dir: &Path, gateways: &str) -> PathBuf {
    std::fs::write(dir.join("admin"), "planted\n").unwrap();
    let settings = dir.join("reconciler.toml");
    let own = "admin_secret_file = \"admin\"\nauthority = \"ca.pem\"\n";
    std::fs::write(&settings, format!("{own}{gateways}")).unwrap();
    settings
}

/// Puts a pool into the store, with gateways by name, where each is asked, and whether it drains.
pub(crate) async fn pool(plane: &Plane, gateways: &[(&str, SocketAddr, bool)]) {
    let node = |number: usize| format!("203.0.113.{}", number + 1);
    let spec = |(number, (name, control, _)): (usize, &(&str, SocketAddr, bool))| json!({ "name": name, "control": control, "node": node(number) });
    let gateways_json: Vec<Value> = gateways.iter().enumerate().map(spec).collect();
    let body = json!({ "static_ips": ["203.0.113.101"], "gateways": gateways_json });
    said(plane, "PUT", "/v1/egress/pools/payments", &body.to_string()).await;
    for (name, ..) in gateways.iter().filter(|(.., drains)| *drains) {
        let drain = ["egress", "pool", "drain", "payments", name];
        plane.run(&drain).await.succeeded();
    }
}

/// What the plane answers its admin.
pub(crate) async fn said(plane: &Plane, method: &str, path: &str, body: &str) -> Value {
    let (host, token) = (plane.admin(), plane.admin_token());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut admin = fprs_testkit::client::H1::connect(host).await.unwrap();
    let answer = admin.exchange(request).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

/// Starts it; returns where it is asked.
pub(crate) async fn serve(dir: &Path) -> SocketAddr {
    fprs_egress::certificate::make(dir, "g1", [127, 0, 0, 1].into()).unwrap();
    let chain = CertificateDer::from_pem_file(dir.join("g1.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("g1.key")).unwrap();
    let tls = ServerConfig::builder().with_no_client_auth();
    let tls = TlsAcceptor::from(Arc::new(tls.with_single_cert(vec![chain], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let mut stream = tls.accept(stream).await.unwrap();
                let mut asked = vec![0; 4096];
                let length = stream.read(&mut asked).await.unwrap();
                let asked = String::from_utf8_lossy(&asked[..length]).to_lowercase();
                assert!(asked.contains("bearer planted"), "{asked}");
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", SAYS.len());
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(SAYS.as_bytes()).await.unwrap();
                stream.shutdown().await.ok();
            });
        }
    });
    address
}

/// Whoever asks for it is told neither the secret nor anything as a stranger.
pub(crate) async fn is_told_to_operators_only(plane: &Plane) {
    let mut admin = fprs_testkit::client::H1::connect(plane.admin())
        .await
        .unwrap();
    let host = plane.admin().to_string();
    assert_eq!(admin.get(&host, "/v1/egress").await.unwrap().status, 401);
    let token = [
        "token", "create", "--tenant", "default", "--role", "viewer", "--json",
    ];
    let token = plane.run(&token).await.succeeded().json();
    let part = |name: &str| token[name].as_str().unwrap();
    let token = format!("{}.{}", part("id"), part("secret"));
    let asked =
        format!("GET /v1/egress HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut admin = fprs_testkit::client::H1::connect(plane.admin())
        .await
        .unwrap();
    assert_eq!(admin.exchange(asked).await.unwrap().status, 403);
}
