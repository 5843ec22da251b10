//! Promise: what helps people on the first day works: `doctor` names what a machine lacks, and
//! completions, manual page and version are those of the binary.

use std::net::TcpListener;

use fprs_testkit::Plane;
use fprs_testkit::plane::Cli;

use crate::FPRS;

#[tokio::test]
async fn doctor_names_a_taken_port_with_what_to_do_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let doctor = [
        "doctor",
        "--json",
        "--admin",
        "127.0.0.1:0",
        "--data-dir",
        data,
    ];
    let cli = Cli::new(FPRS);
    let fit = cli
        .run(&[&doctor[..], &["--listen", "127.0.0.1:0"]].concat())
        .await;
    let fit = fit.succeeded().json();
    for what in ["port", "data dir", "store", "clock", "limits"] {
        assert!(
            fit.as_array()
                .unwrap()
                .iter()
                .any(|one| one["what"] == what),
            "{fit}"
        );
    }
    let ran = cli
        .run(&[&doctor[..], &["--listen", &address]].concat())
        .await;
    let ran = ran.refused(1);
    let found = ran.json();
    let broken: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["health"] == "broken")
        .collect();
    assert_eq!(broken.len(), 1, "{found}");
    assert!(broken[0]["found"].as_str().unwrap().contains(&address));
    assert!(broken[0]["remedy"].as_str().unwrap().contains("--listen"));
}

#[tokio::test]
async fn doctor_asks_control_for_a_role_that_follows_one() {
    let plane = Plane::start(FPRS).await;
    let (control, token) = (plane.admin().to_string(), plane.admin_token());
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let doctor = [
        "doctor",
        "--json",
        "--role",
        "autoscaler",
        "--data-dir",
        data,
        "--control",
        &control,
    ];
    let right = Cli::new(FPRS).env("FPRS_ADMIN_TOKEN", token);
    let found = right.run(&doctor).await.succeeded().json();
    let clock = found
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["what"] == "clock");
    assert_eq!(clock.unwrap()["found"], "agrees with control's");
    let wrong = Cli::new(FPRS).env("FPRS_ADMIN_TOKEN", "no-such-token");
    let found = wrong.run(&doctor).await.refused(1).json();
    let store = found
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["what"] == "store");
    assert_eq!(store.unwrap()["health"], "broken", "{found}");
}

#[tokio::test]
async fn completions_manual_and_version_are_those_of_the_binary() {
    let cli = Cli::new(FPRS);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = cli.run(&["completions", shell]).await.succeeded().stdout;
        assert!(script.contains("buffer-limit"), "{shell}");
    }
    let page = cli.run(&["man"]).await.succeeded().stdout;
    assert!(page.starts_with(".ie") && page.contains("deploy"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let to = ["man", "--dir", pages.to_str().unwrap()];
    cli.run(&to).await.succeeded();
    assert!(pages.join("fprs-proxy.1").exists());
    let version = cli.run(&["--version"]).await.succeeded().stdout;
    let (release, commit) = version.trim().split_once(" (").unwrap();
    assert_eq!(release, format!("fprs {}", env!("CARGO_PKG_VERSION")));
    assert!(commit.len() > 2 && commit.ends_with(')'), "{version}");
}
