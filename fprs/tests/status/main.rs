//! The status page in a real browser, headless Chromium: what it costs to load, that it shows what the
//! plane does while it does it, and that people who don't see it or have no mouse can use it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod gateway;

#[path = "../clients/install.rs"]
#[allow(dead_code, reason = "every suite installs what it needs")]
mod install;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fprs_testkit::client::get;
use fprs_testkit::plane::{Role, Settings};
use fprs_testkit::{Plane, TempDir, program, until};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const FPRS: &str = env!("CARGO_BIN_EXE_fprs");
const SOON: Duration = Duration::from_secs(30);

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    program::main();
}

#[tokio::test]
async fn the_page_shows_a_scale_up_within_a_second_and_pleases_axe_and_the_console() {
    let Some(mut browser) = Browser::find() else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let egress = gateway::start(dir.path()).await;
    let plane = Settings::new(FPRS)
        .arg("--egress")
        .arg(egress)
        .start()
        .await;
    let more = "target_concurrency = 1\nmax_replicas = 3\nhold = \"10s\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let exits = [("EXIT_CODE", "3")];
    let broken = program::manifest("broken", "min_replicas = 1", &exits);
    plane.try_deploy(&broken).await;
    plane.deploy(&program::protected("api", "", &[])).await;
    let mirror = ["mirror", "add", "web", "api", "--percent", "5", "--compare"];
    plane.run(&mirror).await.succeeded();
    let of_the_store = ("stored", "127.0.0.1:1".parse().unwrap(), false);
    gateway::pool(&plane, &[of_the_store]).await;
    browser
        .open(&plane.admin().to_string(), &plane.admin_token())
        .await;

    let loaded = browser.next("loaded").await;
    let bytes = loaded["bytes"].as_u64().unwrap();
    assert!(bytes < 100_000, "{bytes} bytes until something is asked");
    assert_eq!(loaded["strangers"], Value::from(Vec::<String>::new()));

    // Refused and counted.
    let client = plane.h2().await;
    assert_eq!(
        client.get(&plane.host("api"), "/").await.unwrap().status,
        401
    );
    let mut held = Vec::new();
    for _ in 0..3 {
        let request = get(&plane.host("web"), "/hang");
        held.push(client.open(request, true).await.unwrap());
    }
    let live = browser.next("live").await;
    let late = live["late_ms"].as_f64().unwrap();
    assert!(late < 1_000.0, "the third replica was shown {late} ms late");

    let seen = browser.next("seen").await;
    for (text, what) in [
        ("web", "servers"),
        ("broken", "servers"),
        ("exited with status 3", "servers"),
        ("attached", "workers"),
        ("this process", "processes"),
        ("unauthenticated", "answers"),
        ("api, 5 %", "mirrors"),
        ("copying", "mirrors"),
        ("203.0.113.101", "egress"),
        ("leaves here", "egress"),
        ("3.0 MiB", "egress"),
        ("does not answer", "egress"),
        ("stored", "egress"),
        ("default", "tenants"),
    ] {
        let section = seen[what].as_str().unwrap();
        assert!(section.contains(text), "no {text:?} in {what}: {section}");
    }
    for scheme in ["light", "dark", "narrow", "sign-in"] {
        let violations = browser.next(scheme).await["violations"].clone();
        assert_eq!(violations, Value::from(Vec::<String>::new()), "{scheme}");
    }
    let keys = browser.next("keys").await;
    assert_eq!(keys["signed_in"], true, "by keyboard alone: {keys}");
    let end = browser.next("end").await;
    assert_eq!(end["console"], Value::from(Vec::<String>::new()));
    drop(held);
    gateway::is_told_to_operators_only(&plane).await;
}

#[tokio::test]
async fn gateways_of_pools_in_the_store_are_told_of_like_those_of_settings() {
    let dir = TempDir::new().unwrap();
    let address = gateway::serve(dir.path()).await;
    let plane = Settings::new(FPRS).arg("--egress");
    let plane = plane.arg(gateway::of_a_store(dir.path())).start().await;
    let none = gateway::said(&plane, "GET", "/v1/egress", "").await;
    assert_eq!(none, Value::from(Vec::<Value>::new()));
    let gone = "127.0.0.1:1".parse().unwrap();
    gateway::pool(&plane, &[("g1", address, false), ("g2", gone, true)]).await;
    let told = until("both of them", SOON, async || {
        let told = gateway::said(&plane, "GET", "/v1/egress", "").await;
        let drains = told[1]["draining"] == true;
        drains.then_some(told)
    })
    .await;
    assert_eq!(told[0]["gateway"], "g1", "{told}");
    assert_eq!(told[0]["trouble"], Value::Null, "{told}");
    assert_eq!(told[0]["static_ips"][0]["owned"], true, "{told}");
    assert_eq!(told[1]["gateway"], "g2", "{told}");
    let trouble = told[1]["trouble"].as_str().unwrap();
    assert!(trouble.contains("does not answer"), "{told}");
}

#[tokio::test]
async fn the_page_of_a_process_that_is_not_control_shows_what_it_runs_by() {
    let Some(mut browser) = Browser::find() else {
        return;
    };
    let plane = Plane::start(FPRS).await;
    let token = plane.admin_token();
    let control = plane.admin().to_string();
    let data = plane.dir().join("proxy");
    let args = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let more = ["--control", &control, "--data-dir", data.to_str().unwrap()];
    let token_given = [("FPRS_ADMIN_TOKEN", &*token)];
    let proxy = Role::start(FPRS, "proxy", [args, more].concat(), &token_given).await;
    browser
        .open(&proxy.address("admin").to_string(), &token)
        .await;
    browser.next("loaded").await;
    let seen = browser.next("seen").await;
    let processes = seen["processes"].as_str().unwrap();
    assert!(processes.contains("this process"), "{seen}");
    assert_eq!(seen["servers"], "", "only control knows of servers");
    let end = browser.next("end").await;
    assert_eq!(end["console"], Value::from(Vec::<String>::new()));
}

/// The script `look.js`, and what it says, a line of JSON each.
struct Browser {
    command: Command,
    running: Option<(Child, Lines<BufReader<ChildStdout>>)>,
}

impl Browser {
    /// `None`: skip.
    fn find() -> Option<Self> {
        let package = include_str!("package.json");
        let lock = include_str!("package-lock.json");
        let modules = install::modules("axe", package, lock)?;
        let chromium = install::chromium()?;
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/status");
        let mut command = Command::new("node");
        command.arg(here.join("look.js"));
        command.env("NODE_PATH", modules).env("CHROMIUM", chromium);
        // For whoever wants to look as well.
        let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status");
        std::fs::create_dir_all(&pictures).unwrap();
        command.env("PICTURES", pictures);
        Some(Self {
            command,
            running: None,
        })
    }

    async fn open(&mut self, address: &str, token: &str) {
        self.command.env("ADDRESS", address).env("TOKEN", token);
        self.command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = self.command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.running = Some((child, lines));
    }

    /// What it says under that name, next.
    async fn next(&mut self, name: &str) -> Value {
        let (_, lines) = self.running.as_mut().expect("an open page");
        let line = tokio::time::timeout(SOON, lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("no {name:?} within {SOON:?}"));
        let line = line
            .unwrap()
            .unwrap_or_else(|| panic!("it ended before {name:?}"));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["name"], name, "{line}");
        value
    }
}
