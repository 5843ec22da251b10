//! Who may ask a gateway for what, and that those who may not are counted and felt by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::world::{CONTROL, GATEWAYS, PATIENCE, SERVER, STATIC, World, container, wait, world};

const AGENT: &str = "w2.agent-secret";
/// 32 bytes of a key that nobody else has.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

#[test]
fn what_is_refused_is_counted_and_disturbs_nobody() {
    let Some(mut world) = world() else { return };
    world.start_all();
    let whoami = world.whoami("srv", SERVER);
    world.bind(0, "one");
    let seen = || world.seen_as(&container(0), whoami);
    wait("the static IP", || seen() == Some(STATIC[0].to_string()));

    let connect = json!({ "static_ip": STATIC[0], "public_key": KEY }).to_string();
    for credential in ["", "w2.wrong", "nobody.agent-secret", "w2", "admin-secret"] {
        assert_eq!(
            ask(&world, credential, "/v1/connect", &connect).0,
            401,
            "{credential}"
        );
    }
    // An agent is no operator.
    let own = json!({ "term": 0, "static_ips": [{ "static_ip": STATIC[0], "epoch": 99 }] });
    let own = own.to_string();
    assert_eq!(ask(&world, AGENT, "/v1/ownership", &own).0, 401);
    for (body, status) in [
        ("{".to_owned(), 400),
        (connect.replace("public_key", "private_key"), 400),
        (connect.replace("203.0.113.101", "203.0.113.99"), 404),
        (
            connect.replace('}', &format!(r#","want":"{}"}}"#, " ".repeat(8192))),
            413,
        ),
    ] {
        assert_eq!(
            ask(&world, AGENT, "/v1/connect", &body).0,
            status,
            "{body:.80}"
        );
    }
    // The first agent's key, and its address.
    let status: Value = serde_json::from_str(&status(&world)).unwrap();
    let peer = &status["static_ips"][0]["peers"][0];
    assert_eq!(peer["identity"], "w1");
    let taken = json!({
        "static_ip": STATIC[0], "public_key": KEY, "want": peer["address"],
    });
    let (refused, free) = ask(&world, AGENT, "/v1/connect", &taken.to_string());
    assert_eq!(refused, 409);
    assert_ne!(
        serde_json::from_str::<Value>(&free).unwrap()["free"],
        peer["address"]
    );
    // Twice the same is once.
    let first = ask(&world, AGENT, "/v1/connect", &connect);
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(
        ask(&world, AGENT, "/v1/connect", &connect),
        first,
        "replayed"
    );
    assert_eq!(
        ask(&world, "w1.agent-secret", "/v1/connect", &connect).0,
        403,
        "another's key"
    );
    let leave = json!({ "static_ip": STATIC[0] }).to_string();
    assert_eq!(ask(&world, AGENT, "/v1/disconnect", &leave).0, 204);

    assert_eq!(
        seen(),
        Some(STATIC[0].to_string()),
        "the first agent noticed nothing"
    );
    let metrics = ask(&world, "admin-secret", "/metrics", "").1;
    for counted in [
        r#"{request="connect",result="unauthenticated"} 5"#,
        r#"{request="ownership",result="unauthenticated"} 1"#,
        r#"{request="connect",result="bad_request"} 2"#,
        r#"{request="connect",result="unknown_ip"} 1"#,
        r#"{request="connect",result="too_large"} 1"#,
        r#"{request="connect",result="address_taken"} 1"#,
        r#"{request="connect",result="key_taken"} 1"#,
        r#"fprs_egress_peers{static_ip="203.0.113.101"} 1"#,
    ] {
        assert!(metrics.contains(counted), "{counted}\n{metrics}");
    }
}

#[test]
fn whoever_is_slow_is_cut_off_while_others_are_served() {
    let Some(mut world) = world() else { return };
    world.start("g1", "gateway");
    let began = Instant::now();
    let silent = world.connect("w", control(), PATIENCE).unwrap();
    let mut head = tls(&world);
    head.write_all(b"POST /v1/connect HTTP/1.1\r\nhost: g\r\n")
        .unwrap();
    let mut body = tls(&world);
    let request = format!(
        "POST /v1/connect HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {AGENT}\r\n\
         content-length: 100\r\n\r\n{{"
    );
    body.write_all(request.as_bytes()).unwrap();
    body.flush().unwrap();
    assert!(!status(&world).is_empty(), "others are served");
    for (what, mut stream) in [
        ("no TLS", Box::new(silent) as Box<dyn std::io::Read>),
        ("half a head", Box::new(head)),
        ("half a body", Box::new(body)),
    ] {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).ok();
        assert!(began.elapsed() < Duration::from_secs(12), "{what}");
    }
    let metrics = ask(&world, "admin-secret", "/metrics", "").1;
    for counted in [
        r#"{request="tls",result="too_slow"} 2"#,
        r#"{request="connect",result="too_slow"} 1"#,
    ] {
        assert!(metrics.contains(counted), "{counted}\n{metrics}");
    }
}

#[test]
fn an_agent_believes_no_certificate_but_its_authoritys() {
    let Some(mut world) = world() else { return };
    // The same name and address, signed by another authority.
    let path = world.path("real.pem");
    std::fs::rename(world.path("ca.pem"), &path).unwrap();
    std::fs::rename(world.path("ca.key"), world.path("real.key")).unwrap();
    world.certificate("g1", GATEWAYS[0]);
    std::fs::rename(&path, world.path("ca.pem")).unwrap();
    // And one of the authority's, for another address.
    std::fs::rename(world.path("real.key"), world.path("ca.key")).unwrap();
    world.certificate("g2", GATEWAYS[0]);
    for (name, role) in [("g1", "gateway"), ("g2", "gateway"), ("w", "agent")] {
        world.start(name, role);
    }
    wait("both to be refused", || {
        let log = world.log("w");
        GATEWAYS.iter().all(|gateway| {
            let refused = format!("{gateway}:{CONTROL} shows a certificate");
            log.contains(&refused)
        })
    });
    assert!(world.pool("one")["active"].is_null());
    assert!(!world.log("w").contains("INFO connected"));
}

fn control() -> SocketAddr {
    SocketAddr::from((GATEWAYS[0], CONTROL))
}

#[test]
fn what_a_tenant_used_is_counted_over_restarts() {
    let Some(mut world) = world() else { return };
    let path = world.path("g1.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let identity = "identity = \"w1\"\n";
    std::fs::write(
        &path,
        text.replace(identity, &format!("{identity}tenant = \"acme\"\n")),
    )
    .unwrap();
    world.start_all();
    wait("keepalives to be counted", || used(&world, "acme").0 > 0);
    // Written down when peers change: the agent connects anew.
    world.kill("w");
    world.start("w", "agent");
    let mut before = (0, 0);
    wait("its new session", || {
        before = used(&world, "acme");
        world.log("w").matches("INFO connected").count() >= 8
    });
    world.kill("g1");
    world.start("g1", "gateway");
    let after = used(&world, "acme");
    assert!(after.0 > 0 && after.1 > 0, "{after:?} after {before:?}");
    wait("more", || used(&world, "acme").0 > after.0);
    let (_, metrics) = ask(&world, "admin-secret", "/metrics", "");
    assert!(
        metrics.contains(
            "fprs_egress_usage_bytes_total{static_ip=\"203.0.113.101\",tenant=\"acme\",way=\"in\"}"
        ),
        "{metrics}"
    );
    assert_eq!(exposed(&metrics), documented());
}

/// Each metric, and the labels of its samples.
type Metrics = BTreeMap<String, BTreeSet<String>>;

fn exposed(metrics: &str) -> Metrics {
    let mut found = Metrics::new();
    for line in metrics.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            found
                .entry(typed.split(' ').next().unwrap().to_owned())
                .or_default();
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels
                .split('"')
                .step_by(2)
                .filter_map(|part| part.strip_suffix('='));
            let labels = labels.map(|label| label.trim_start_matches(',').to_owned());
            found.get_mut(name).unwrap().extend(labels);
        }
    }
    found
}

/// The same of `docs/egress.md`.
fn documented() -> Metrics {
    let docs = include_str!("../../../docs/egress.md");
    let quoted = docs.split('`').skip(1).step_by(2);
    let metrics = quoted.filter(|quoted| quoted.starts_with("fprs_egress_"));
    metrics
        .map(|metric| {
            let (name, labels) = metric.split_once('{').unwrap_or((metric, ""));
            let labels = labels.trim_end_matches('}').split(',');
            let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
            (name.to_owned(), labels.collect())
        })
        .collect()
}

/// Bytes in and out that the first gateway counts for a tenant, of the first static IP.
fn used(world: &World, tenant: &str) -> (u64, u64) {
    let status: Value = serde_json::from_str(&status(world)).unwrap();
    let usage = status["static_ips"][0]["usage"].as_array().unwrap();
    let used = usage.iter().find(|used| used["tenant"] == tenant);
    used.map_or((0, 0), |used| {
        (
            used["received"].as_u64().unwrap(),
            used["sent"].as_u64().unwrap(),
        )
    })
}

fn status(world: &World) -> String {
    let (status, body) = ask(world, "admin-secret", "/v1/status", "");
    assert_eq!(status, 200, "{body}");
    body
}

/// Status and body of the first gateway's answer. Without a body it is a GET.
pub(crate) fn ask(world: &World, credential: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = tls(world);
    let method = if body.is_empty() { "GET" } else { "POST" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {credential}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, body.to_owned())
}

fn tls(world: &World) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(world.path("ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    let stream = world.connect("w", control(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::IpAddress(control().ip().into());
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}
