//! Promise: `fprs top` shows what the fleet does, fits whatever terminal it has, and gives it back as it
//! was, however it ends.

use std::path::Path;

use fprs_testkit::{Plane, program, until};
use serde_json::Value;
use tokio::process::Command;

use crate::{FPRS, SOON};

async fn with_server() -> Plane {
    let plane = Plane::start(FPRS).await;
    let manifest = program::manifest("web", "min_replicas = 1", &[]);
    plane.deploy(&manifest).await;
    until("a ready replica", SOON, async || {
        (plane.replicas_in("web", "ready").await == 1).then_some(())
    })
    .await;
    plane
}

#[tokio::test]
async fn top_once_prints_servers_requests_refusals_and_configuration() {
    let plane = with_server().await;
    let client = plane.h2().await;
    let nobody = client.get("nobody.region.localhost", "/").await;
    assert_eq!(nobody.unwrap().status, 401);
    let asks = async {
        loop {
            client.get(&plane.host("web"), "/").await.unwrap();
        }
    };
    let top = plane.run(&["top", "--once", "--interval", "500ms"]);
    let ran = tokio::select! {
        ran = top => ran.succeeded(),
        () = asks => unreachable!("it asks for ever"),
    };
    let line = |start: &str| -> Vec<String> {
        let mut lines = ran.stdout.lines();
        let line = lines.find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("no {start} in {}", ran.stdout));
        line.split_whitespace().map(str::to_owned).collect()
    };
    let web = line("web ");
    assert_eq!(web[..6], ["web", "default", "1", "1", "0", "0"]);
    assert!(web[7].parse::<f64>().unwrap() > 1.0, "{web:?}");
    assert_eq!(line("unauthenticated")[1], "1");
    assert_eq!(line("asked")[2], "current");
    assert!(line("fprs").contains(&"region.localhost".to_owned()));
    assert!(!ran.stdout.contains('\x1b'), "{}", ran.stdout);
}

#[tokio::test]
async fn top_fits_its_terminal_and_gives_it_back_however_it_ends() {
    let plane = with_server().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plane/top_terminal.py");
    for end in ["q", "\x03", "SIGTERM"] {
        let mut command = Command::new("python3");
        command.arg(&script).args([end, "web", FPRS, "top"]);
        command.args(["--interval", "100ms", "--data-dir"]);
        let output = command.arg(plane.data_dir()).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let told: Value = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{end:?}: {error}: {said}{complaint}"));
        assert_eq!(told["was_raw"], true, "{told}");
        assert_eq!(told["restored"], true, "{told}");
        assert_eq!(told["left"], true, "{told}");
        assert_eq!(told["status"], 0, "{told}");
        let rows = told["narrow"].as_array().unwrap().len();
        assert!(rows <= 10, "{told}");
    }
}

#[tokio::test]
async fn top_without_a_terminal_or_a_plane_says_what_to_do() {
    let plane = Plane::start(FPRS).await;
    let ran = plane.run(&["top"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("--once"), "{ran:?}");
    let ran = plane.run(&["top", "--once", "--interval", "never"]).await;
    assert_eq!(ran.code, Some(64), "{ran:?}");
    let ran = plane
        .run(&["top", "--once", "--admin", "127.0.0.1:1"])
        .await;
    assert!(ran.stderr.contains("no answer from"), "{ran:?}");
}
