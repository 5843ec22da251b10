//! Promise: what `fprs edge render` prints is what Envoy takes, and wrong settings are named.

use std::path::Path;
use std::time::SystemTime;

use fprs::edge::certificates;
use fprs_testkit::{Cli, TempDir};

use crate::FPRS;
use crate::envoy::envoy;

/// Everything that can be had, with files in that directory.
fn whole(dir: &Path, fleet: &str) -> String {
    std::fs::write(dir.join("headers"), "authorization: Bearer planted\n").unwrap();
    let dir = dir.display();
    format!(
        "zone = \"region.localhost\"\nhttps = \"127.0.0.1:8443\"\nproxied = \"127.0.0.1:8444\"\n\
         redirect = \"127.0.0.1:8080\"\nprobe = \"127.0.0.1:8002\"\nhttp3 = true\nhsts = true\n\
         access-log = \"{dir}/access.json\"\nadmin = \"{dir}/admin.sock\"\nsource = \"127.0.0.2\"\n\
         [wildcard]\nwatched = \"{dir}/wildcard.yaml\"\n\
         [[custom]]\ndomains = [\"shop.example.com\"]\n\
         certificate = {{ chain = \"{dir}/shop.pem\", key = \"{dir}/shop.key\" }}\n\
         [tracing]\nhost = \"collector\"\ntls = true\nca = \"{dir}/ca.pem\"\n\
         headers = \"{dir}/headers\"\n\
         [fleet]\n{fleet}\n"
    )
}

#[tokio::test]
async fn every_kind_of_bootstrap_is_one_that_envoy_takes() {
    let Some(envoy) = envoy() else {
        return;
    };
    let dir = TempDir::new().unwrap();
    certificates::keep(dir.path(), "region.localhost", SystemTime::now()).unwrap();
    let shop = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
    std::fs::write(dir.path().join("shop.pem"), shop.cert.pem()).unwrap();
    std::fs::write(
        dir.path().join("shop.key"),
        shop.signing_key.serialize_pem(),
    )
    .unwrap();
    let endpoints = fprs_envoy::document::endpoints(&["127.0.0.1:1".parse().unwrap()]);
    let watched = dir.path().join("endpoints.yaml");
    std::fs::write(&watched, fprs_envoy::yaml(&endpoints).unwrap()).unwrap();
    let cli = Cli::new(FPRS);
    for fleet in [
        "fixed = [\"10.0.0.1:8080\", \"[fd00::1]:8080\"]".to_owned(),
        "dns = \"fprs-proxy.fprs.svc\"\nport = 8080".to_owned(),
        format!("watched = \"{}\"", watched.display()),
    ] {
        let file = dir.path().join("edge.toml");
        std::fs::write(&file, whole(dir.path(), &fleet)).unwrap();
        let file = file.to_str().unwrap();
        let args = [
            "edge",
            "render",
            file,
            "--check",
            "--envoy",
            envoy.to_str().unwrap(),
        ];
        let ran = cli.run(&args).await.succeeded();
        assert!(ran.stdout.starts_with("node:\n"), "{}", ran.stdout);
        assert_eq!(ran.stderr, "", "Envoy warns");
    }
}

#[tokio::test]
async fn settings_that_no_edge_can_run_by_are_one_line() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("edge.toml");
    let good = whole(dir.path(), "dns = \"fprs\"\nport = 8080");
    let cli = Cli::new(FPRS);
    for (from, to, named) in [
        ("zone =", "zoned =", "zoned"),
        ("\"127.0.0.1:8443\"", "\"8443\"", "https"),
        ("http3 = true", "http3 = 1", "http3"),
        ("port = 8080", "", "`fleet`"),
    ] {
        std::fs::write(&file, good.replacen(from, to, 1)).unwrap();
        let ran = cli.run(&["edge", "render", file.to_str().unwrap()]).await;
        let ran = ran.refused(1);
        assert!(ran.stderr.contains(named), "{ran:?}");
    }
    // What only Envoy knows: there is no such certificate.
    let Some(envoy) = envoy() else {
        return;
    };
    std::fs::write(&file, good).unwrap();
    let envoy = envoy.to_str().unwrap();
    let args = [
        "edge",
        "render",
        file.to_str().unwrap(),
        "--check",
        "--envoy",
        envoy,
    ];
    let ran = cli.run(&args).await.refused(1);
    assert!(ran.stderr.contains("Envoy refuses it"), "{ran:?}");
}
