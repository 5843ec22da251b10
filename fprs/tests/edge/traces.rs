//! Promise: a request is one tree of spans from the edge to the program, by W3C's rules for whoever
//! comes before and after; what is not sampled has none, and a collector that fails costs only spans.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fprs_testkit::client::H1;
use fprs_testkit::plane::Settings;
use fprs_testkit::{Plane, TempDir, program, until};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::envoy::envoy;
use crate::plane::{Edged, WEB, settings};
use crate::sink::{Sink, Span};
use crate::{FPRS, SOON, install};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

#[tokio::test]
async fn a_trace_goes_across_edge_proxy_relay_and_program_in_one_tree() {
    let requirements = include_str!("otel_requirements.txt");
    let (Some(envoy), Some(python)) = (envoy(), install::venv("otel", requirements)) else {
        return;
    };
    let sink = Sink::start().await;
    let settings = settings(envoy).arg("--otlp-endpoint").arg(sink.url());
    let edged = Edged::bare(settings.arg("--trace-sample").arg("1")).await;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/edge/otel_program.py");
    let command = Value::from(vec![python.to_str().unwrap(), program.to_str().unwrap()]);
    let collector = Value::from(sink.url());
    let manifest = format!(
        "name = \"web\"\nauth = \"public\"\nmin_replicas = 1\nstartup_timeout = \"60s\"\n\
         command = {command}\n[env]\nCOLLECTOR = {collector}\n"
    );
    edged.deploy("web", &manifest).await;

    let mut client = edged.h1().await;
    let answer = client.get(WEB, "/traced?secret=planted").await.unwrap();
    assert_eq!(answer.status, 200);
    let told = answer.text();
    let trace = told.split('-').nth(1).unwrap().to_owned();
    let services = ["fprs-edge", "fprs-proxy", "fprs-relay", "program"];
    let spans = sink
        .trace(&trace, |spans| {
            let has = |service: &&str| spans.iter().any(|span| span.service == *service);
            services.iter().all(has)
        })
        .await;

    let server = |service: &str| {
        let ids: Vec<String> = spans.iter().map(Span::id).collect();
        let mut found = spans.iter().filter(|span| span.service == service);
        // Parts have their parent in the same service.
        let whole = found.find(|span| {
            let parent = span.parent();
            let inside = ids.contains(&parent)
                && spans
                    .iter()
                    .any(|other| other.id() == parent && other.service == service);
            !inside
        });
        whole.unwrap_or_else(|| panic!("no span of {service} in {spans:?}"))
    };
    let [edge, proxy, relay, work] = services.map(server);
    assert_eq!(edge.parent(), "");
    assert_eq!(proxy.parent(), edge.id());
    assert_eq!(relay.parent(), proxy.id());
    assert_eq!(work.parent(), relay.id());
    assert_eq!(told, format!("00-{trace}-{}-01", relay.id()));
    let parts = |whole: &Span| -> Vec<String> {
        let mut parts: Vec<&Span> = spans
            .iter()
            .filter(|span| span.parent() == whole.id() && span.service == whole.service)
            .collect();
        parts.sort_by_key(|part| part.nanos());
        let within = |part: &&Span| {
            let ((from, to), (begin, end)) = (part.nanos(), whole.nanos());
            begin <= from && from <= to && to <= end
        };
        assert!(parts.iter().all(within), "{parts:?} in {whole:?}");
        parts.iter().map(|part| part.name().to_owned()).collect()
    };
    let of_proxy = ["admission", "balance", "connect", "first byte", "body"];
    assert_eq!(parts(proxy), of_proxy);
    assert_eq!(parts(relay), ["admission", "connect", "first byte", "body"]);
    for (name, value) in [
        ("fprs.server", "web"),
        ("fprs.tenant", "default"),
        ("url.path", "/traced"),
        ("http.response.status_code", "200"),
        ("fprs.end", "complete"),
    ] {
        assert_eq!(proxy.attribute(name), value, "{name} of {proxy:?}");
    }
    // The edge's looks at readiness are nobody's trace.
    for span in sink.spans() {
        assert!(!span.all().contains("planted"), "{span:?}");
        assert_ne!(span.attribute("url.path"), "/readyz", "{span:?}");
    }
}

/// A plane that traces nothing of its own, its program, and what that saw.
async fn untraced(sink: &Sink, sample: &str) -> Plane {
    let settings = Settings::new(FPRS).arg("--otlp-endpoint").arg(sink.url());
    let plane = settings.arg("--trace-sample").arg(sample).start().await;
    let record = plane.dir().join("record");
    let env = [("RECORD", record.to_str().unwrap())];
    let manifest = program::manifest("web", "hold = \"10s\"\nmin_replicas = 1", &env);
    plane.deploy(&manifest).await;
    plane
}

/// Asks with those fields, and returns the head that the program got, in lower case.
async fn ask(plane: &Plane, path: &str, fields: &str) -> String {
    let mut client = plane.h1().await;
    let host = plane.host("web");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n");
    assert_eq!(client.exchange(request).await.unwrap().status, 200);
    let record = plane.dir().join("record");
    until("the program's record of it", SOON, async || {
        let events = program::events(&record);
        let seen = events.iter().find(|event| event["target"] == path)?;
        Some(seen["head"].to_string().to_ascii_lowercase())
    })
    .await
}

#[tokio::test]
async fn a_request_goes_on_in_the_trace_it_comes_with_and_as_it_was_decided() {
    let sink = Sink::start().await;
    let plane = untraced(&sink, "0").await;
    let sampled = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\ntracestate: a=1,b=2\r\n");
    let head = ask(&plane, "/sampled", &sampled).await;
    let spans = sink
        .trace(TRACE, |spans| {
            let whole = spans.iter().filter(|span| span.name() == "GET");
            whole.count() == 2
        })
        .await;
    let of = |service: &str| {
        let mut found = spans.iter();
        let found = found.find(|span| span.service == service && span.name() == "GET");
        found.unwrap()
    };
    assert_eq!(of("fprs-proxy").parent(), SPAN);
    assert_eq!(of("fprs-proxy").state(), "a=1,b=2");
    assert!(
        head.contains(&format!("00-{TRACE}-{}-01", of("fprs-relay").id())),
        "{head}"
    );
    assert!(head.contains("a=1,b=2"), "{head}");

    let unsampled = format!("00-{TRACE}-{SPAN}-00");
    let head = ask(
        &plane,
        "/unsampled",
        &format!("traceparent: {unsampled}\r\ntracestate: a=1\r\n"),
    )
    .await;
    assert!(head.contains(&unsampled), "{head}");
    // Nobody has decided: this proxy does, and says so.
    let head = ask(&plane, "/undecided", "").await;
    assert!(
        head.contains("traceparent") && head.contains("-00"),
        "{head}"
    );
    let wrong = "traceparent: 00-xyz-01\r\ntracestate: secret=planted\r\n";
    let head = ask(&plane, "/malformed", wrong).await;
    assert!(head.contains("traceparent"), "{head}");
    assert!(!head.contains("xyz") && !head.contains("planted"), "{head}");
    // What is asked last is told last.
    ask(&plane, "/last", &sampled).await;
    until("its spans", SOON, async || {
        let spans = sink.spans();
        let last = |span: &&Span| span.attribute("url.path") == "/last";
        (spans.iter().filter(last).count() == 2).then_some(())
    })
    .await;
    for span in sink.spans() {
        let path = span.attribute("url.path");
        assert!(["", "/sampled", "/last"].contains(&&*path), "{span:?}");
    }
}

#[tokio::test]
async fn a_request_that_fprs_answers_is_a_trace_of_its_own_that_says_why() {
    let sink = Sink::start().await;
    let plane = untraced(&sink, "1").await;
    let mut client = plane.h1().await;
    let answer = client.get("nobody.region.localhost", "/refused").await;
    assert_eq!(answer.unwrap().status, 401);
    let refused = until("its span", SOON, async || {
        let spans = sink.spans();
        let refused = |span: &Span| span.attribute("url.path") == "/refused";
        spans.into_iter().find(refused)
    })
    .await;
    assert_eq!(refused.parent(), "");
    assert_eq!(refused.attribute("fprs.reason"), "unauthenticated");
    assert_eq!(refused.attribute("http.response.status_code"), "401");
}

#[tokio::test]
async fn spans_of_a_process_that_ends_are_sent_first() {
    let sink = Sink::start().await;
    let mut plane = untraced(&sink, "1").await;
    let head = ask(&plane, "/last", "").await;
    assert!(head.contains("-01"), "{head}");
    plane.terminate(SOON).await;
    let spans = sink.spans();
    let last = |span: &&Span| span.attribute("url.path") == "/last";
    assert_eq!(spans.iter().filter(last).count(), 2, "{spans:?}");
}

#[tokio::test]
async fn a_collector_that_is_gone_or_hangs_costs_spans_and_no_request() {
    // It accepts, and never says a word.
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_address = gone.local_addr().unwrap();
    drop(gone);
    for collector in [hangs.local_addr().unwrap(), gone_address] {
        let settings = Settings::new(FPRS).arg("--otlp-endpoint");
        let settings = settings.arg(collector.to_string()).arg("--trace-sample");
        let mut plane = settings.arg("1").start().await;
        let manifest = program::manifest("web", "hold = \"10s\"\nmin_replicas = 1", &[]);
        plane.deploy(&manifest).await;
        let (client, host) = (plane.h2().await, plane.host("web"));
        for _ in 0..50 {
            assert_eq!(client.get(&host, "/").await.unwrap().status, 200);
        }
        until("lost spans are counted", SOON, async || {
            let dropped = counted(&plane, "fprs_trace_spans_dropped_total").await;
            (dropped > 0).then_some(())
        })
        .await;
        assert_eq!(counted(&plane, "fprs_trace_spans_exported_total").await, 0);
        assert!(plane.process().log().contains("spans are lost"));
        assert!(plane.terminate(SOON).await.success());
    }
}

/// What the sink behind TLS wants to know whoever sends to it by.
const WORD: &str = "Bearer planted";

/// A file with the headers that it wants.
fn headers(dir: &Path) -> PathBuf {
    let file = dir.join("headers");
    std::fs::write(&file, format!("authorization: {WORD}\n")).unwrap();
    file
}

#[tokio::test]
async fn a_collector_behind_tls_gets_the_spans_of_edge_proxy_and_relay() {
    let Some(envoy) = envoy() else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let sink = Sink::behind_tls(dir.path(), WORD).await;
    let settings = settings(envoy).arg("--otlp-endpoint").arg(sink.url());
    let settings = settings.arg("--otlp-ca").arg(dir.path().join("ca.pem"));
    let settings = settings.arg("--otlp-headers").arg(headers(dir.path()));
    let mut edged = Edged::bare(settings.arg("--trace-sample").arg("1")).await;
    let manifest = program::manifest("web", "min_replicas = 1", &[]);
    edged.deploy("web", &manifest).await;
    let mut client = edged.h1().await;
    assert_eq!(client.get(WEB, "/tls").await.unwrap().status, 200);
    for service in ["fprs-edge", "fprs-proxy", "fprs-relay"] {
        until(service, SOON, async || {
            let spans = sink.spans();
            let mut of_service = spans.iter().map(|span| &*span.service);
            of_service.any(|found| found == service).then_some(())
        })
        .await;
    }
    assert!(!edged.plane.process().log().contains("planted"));
    let bootstrap = edged.plane.data_dir().join("edge/envoy.yaml");
    let mode = std::fs::metadata(bootstrap).unwrap().permissions().mode();
    assert_eq!(
        mode & 0o077,
        0,
        "others read what the collector knows us by"
    );
}

#[tokio::test]
async fn whom_the_system_trusts_is_trusted_unless_others_are_named() {
    let dir = TempDir::new().unwrap();
    let sink = Sink::behind_tls(dir.path(), WORD).await;
    let settings = Settings::new(FPRS).arg("--otlp-endpoint").arg(sink.url());
    let settings = settings.arg("--otlp-headers").arg(headers(dir.path()));
    let settings = settings.env("SSL_CERT_FILE", dir.path().join("ca.pem"));
    let plane = settings.arg("--trace-sample").arg("1").start().await;
    let mut client = plane.h1().await;
    client.get("nobody.region.localhost", "/").await.unwrap();
    until("its span", SOON, async || {
        let exported = counted(&plane, "fprs_trace_spans_exported_total").await;
        (exported > 0 && !sink.spans().is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_is_not_trusted_or_does_not_know_us_costs_a_line_and_no_request() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let sink = Sink::behind_tls(dir.path(), WORD).await;
    Sink::behind_tls(other.path(), WORD).await;
    let ca = |of: &TempDir| of.path().join("ca.pem");
    let named = dir.path().join("named");
    std::fs::write(&named, "authorization: Bearer somebody\n").unwrap();
    for (ca, headers, words) in [
        (
            ca(&other),
            headers(dir.path()),
            ["is not trusted", "`--otlp-ca`"],
        ),
        (ca(&dir), named, ["who are you", "`--otlp-headers`"]),
    ] {
        let settings = Settings::new(FPRS).arg("--otlp-endpoint").arg(sink.url());
        let settings = settings.arg("--otlp-ca").arg(ca).arg("--otlp-headers");
        let settings = settings.arg(headers).arg("--trace-sample").arg("1");
        let mut plane = settings.start().await;
        let manifest = program::manifest("web", "hold = \"10s\"\nmin_replicas = 1", &[]);
        plane.deploy(&manifest).await;
        let (client, host) = (plane.h2().await, plane.host("web"));
        let mut dropped = 0;
        for _ in 0..3 {
            for _ in 0..20 {
                assert_eq!(client.get(&host, "/").await.unwrap().status, 200);
            }
            dropped = until("more are lost", SOON, async || {
                let now = counted(&plane, "fprs_trace_spans_dropped_total").await;
                (now > dropped).then_some(now)
            })
            .await;
        }
        assert_eq!(counted(&plane, "fprs_trace_spans_exported_total").await, 0);
        let log = plane.process().log();
        let told: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("spans are lost"))
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(words.iter().all(|word| told[0].contains(word)), "{told:?}");
        assert!(!log.contains("planted") && !log.contains("Bearer"), "{log}");
    }
    assert!(sink.spans().is_empty());
}

async fn counted(plane: &Plane, name: &str) -> u64 {
    let mut admin = H1::connect(plane.admin()).await.unwrap();
    let answer = admin.get(&plane.admin().to_string(), "/metrics").await;
    let text = answer.unwrap().text();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}
