//! What [`Plane`] does around the binary, shown with a script in its place.

#![allow(
    clippy::unwrap_used,
    reason = "a broken expectation is a failed test with its place"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use fprs_testkit::plane::Settings;
use fprs_testkit::{Plane, TempDir};

/// Writes its ready file, remembers its arguments, ends on SIGTERM.
const SERVES: &str = r#"
case $1 in
  up)
    mkdir -p data
    echo "$@ GREETING=$GREETING" >>data/started
    for arg; do
      [ "$previous" != --ready-file ] || ready=$arg
      previous=$arg
    done
    echo '{"listen":"127.0.0.1:1","admin":"127.0.0.1:2"}' >"$ready"
    trap 'exit 0' TERM
    sleep 1000 &
    wait ;;
  deploy) echo "deployed $(cat "$2")" ;;
  replicas) echo '[{"id":"a","state":"ready"},{"id":"b","state":"starting"}]' ;;
  *) echo "no command $1" >&2; exit 64 ;;
esac
"#;

fn script(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("script");
    // Renamed into place: a file that is being written can't be run.
    let draft = dir.path().join("draft");
    std::fs::write(&draft, format!("#!/bin/sh\n{text}")).unwrap();
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(draft, &path).unwrap();
    path
}

#[tokio::test]
async fn a_plane_is_asked_through_its_commands() {
    let dir = TempDir::new().unwrap();
    let plane = Plane::start(script(&dir, SERVES)).await;
    assert_eq!(plane.listen().port(), 1);
    assert_eq!(plane.admin().port(), 2);
    assert_eq!(plane.host("hello"), "hello.region.localhost");
    let deployed = plane.deploy("name = \"x\"").await;
    assert_eq!(deployed.stdout, "deployed name = \"x\"\n");
    assert_eq!(plane.replicas("x").await.len(), 2);
    assert_eq!(plane.replicas_in("x", "ready").await, 1);
    let refused = plane.run(&["nonsense"]).await.refused(64);
    assert_eq!(refused.stderr, "no command nonsense\n");
}

#[tokio::test]
async fn a_plane_comes_back_on_its_data_with_its_settings() {
    let dir = TempDir::new().unwrap();
    let settings = Settings::new(script(&dir, SERVES)).arg("--log-format");
    let settings = settings.arg("json").env("GREETING", "hi");
    let mut plane = settings.start().await;
    plane.kill9();
    plane.restart().await;
    let ended = plane.terminate(Duration::from_secs(5)).await;
    assert!(ended.success());
    plane.restart().await;
    let started = std::fs::read_to_string(plane.data_dir().join("started")).unwrap();
    let mut lines = started.lines();
    assert!(lines.all(|line| line.ends_with("--log-format json GREETING=hi")));
    assert_eq!(started.lines().count(), 3);
}

#[tokio::test]
#[should_panic(expected = "the process ended before it was ready")]
async fn a_plane_that_ends_before_it_serves_fails_the_test_at_once() {
    let dir = TempDir::new().unwrap();
    Plane::start(script(&dir, "echo 'port 8080 is taken' >&2; exit 1")).await;
}
