//! Promise: the certificate of a domain outside of the zone is renewed without a dropped connection, and
//! one that nobody could be served with is refused before the edge sees it.

use std::path::Path;

use fprs_testkit::client::H2;
use fprs_testkit::plane::Ran;
use fprs_testkit::{Cli, TempDir, until};

use crate::listeners::Site;
use crate::{FPRS, SOON};

/// A domain outside of the zone, bound to the same server.
pub(crate) const SHOP: &str = "shop.example.com";

/// A certificate for it that is its own authority, and the key, with that file name.
pub(crate) fn make(dir: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed([SHOP.to_owned()]).unwrap();
    std::fs::write(dir.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_pem();
    std::fs::write(dir.join(format!("{name}.key")), key).unwrap();
}

/// Has the edge take that certificate with that key, as whoever renewed it does.
pub(crate) async fn watch(dir: &Path, chain: &str, key: &str) -> Ran {
    let path = |name: String| dir.join(name).display().to_string();
    let (chain, key) = (path(format!("{chain}.pem")), path(format!("{key}.key")));
    let to = path("shop.yaml".to_owned());
    let args = [
        "edge",
        "certificate",
        SHOP,
        "--chain",
        &chain,
        "--key",
        &key,
    ];
    let cli = Cli::new(FPRS);
    cli.run(&[&args[..], &["--to", &to]].concat()).await
}

#[tokio::test]
async fn the_certificate_of_a_custom_domain_is_renewed_without_a_dropped_connection() {
    let Some(site) = Site::start().await else {
        return;
    };
    let tunnel = site.trust("shop.pem").tunnel(SHOP).await;
    let client = H2::connect(tunnel.address()).await.unwrap();
    assert_eq!(client.get(SHOP, "/").await.unwrap().status, 200);
    make(&site.dir, "renewed");
    let renewed = site.trust("renewed.pem");
    assert!(renewed.connect(SHOP, &[b"h2"]).await.is_err());
    watch(&site.dir, "renewed", "renewed").await.succeeded();
    until("the new certificate", SOON, async || {
        renewed.connect(SHOP, &[b"h2"]).await.ok()
    })
    .await;
    assert_eq!(client.get(SHOP, "/").await.unwrap().status, 200);
    assert!(client.is_open());
}

#[tokio::test]
async fn a_certificate_that_nobody_could_be_served_with_is_refused_and_the_one_before_stays() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    make(dir, "shop");
    make(dir, "other");
    std::fs::write(dir.join("empty.pem"), "").unwrap();
    std::fs::write(dir.join("empty.key"), "").unwrap();
    watch(dir, "shop", "shop").await.succeeded();
    let before = std::fs::read(dir.join("shop.yaml")).unwrap();
    for (chain, key, named) in [
        ("shop", "other", "other.key"),
        ("empty", "shop", "empty.pem"),
        ("shop", "empty", "empty.key"),
        ("missing", "shop", "missing.pem"),
    ] {
        let refused = watch(dir, chain, key).await.refused(1);
        assert!(refused.stderr.contains(named), "{}", refused.stderr);
        assert_eq!(std::fs::read(dir.join("shop.yaml")).unwrap(), before);
    }
}
