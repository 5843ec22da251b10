//! Processes under test end when the test does, with all they started; and the program that tests
//! deploy is one of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fprs_testkit::client::H1;
use fprs_testkit::{Cli, Process, TempDir, eventually, ports, program, until};

const SOON: Duration = Duration::from_secs(5);

#[test]
#[ignore = "the program that the other tests run"]
fn program() {
    program::main();
}

#[tokio::test]
async fn the_program_serves_records_and_ends_on_sigterm() {
    let dir = TempDir::new().unwrap();
    let record = dir.path().join("record");
    let (address, mut process) = start_program(dir.path(), |command| {
        command.env("GREETING", "hi").env("RECORD", &record);
    });
    let mut client = connect(address).await;
    assert_eq!(client.get("x", "/").await.unwrap().text(), "hi");
    let events = until("both events are recorded", SOON, async || {
        let events = program::events(&record);
        (events.len() == 2).then_some(events)
    })
    .await;
    assert_eq!(events[1]["event"], "complete");
    assert_eq!(events[1]["pid"], process.pid());
    assert!(process.memory() > 100_000);
    assert!(process.memory_peak() >= process.memory());
    process.terminate();
    process.exited(SOON).await;
    assert!(process.log().contains("serving on"));
}

#[tokio::test]
async fn the_program_can_outlive_sigterm() {
    let dir = TempDir::new().unwrap();
    let (address, mut process) = start_program(dir.path(), |command| {
        command.env("IGNORE_SIGTERM", "1");
    });
    let mut client = connect(address).await;
    process.terminate();
    assert_eq!(client.get("x", "/").await.unwrap().status, 200);
    assert!(process.is_running());
    process.kill9();
    assert!(!process.is_running());
}

#[tokio::test]
async fn what_a_dropped_process_started_ends_with_it() {
    let dir = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 & sh -c 'sleep 1000 & wait' & wait"]);
    let mut process = Process::spawn("sh", command, &dir.path().join("log"));
    eventually("all are started", SOON, || process.descendants().len() == 3).await;
    let descendants = process.descendants();
    process.kill9();
    assert!(descendants.iter().all(|pid| is_alive(*pid)));
    drop(process);
    eventually("all are gone", SOON, || {
        !descendants.iter().any(|pid| is_alive(*pid))
    })
    .await;
}

#[tokio::test]
async fn commands_report_their_exit_code_and_both_outputs() {
    let cli = Cli::new("sh").env("WORD", "out");
    let ran = cli.run(&["-c", "echo $WORD; echo no >&2; exit 64"]).await;
    let ran = ran.refused(64);
    assert_eq!((&*ran.stdout, &*ran.stderr), ("out\n", "no\n"));
    let ran = cli.run(&["-c", "echo '[1]'"]).await.succeeded();
    assert_eq!(ran.json()[0], 1);
}

#[test]
fn a_manifest_of_the_program_is_toml_with_its_command() {
    let manifest = program::manifest("one", "min_replicas = 1", &[("GREETING", "a \"b\"")]);
    assert!(manifest.starts_with("name = \"one\"\ncommand = [\"/"));
    assert!(manifest.contains("\nmin_replicas = 1\n[env]\n"));
    assert!(manifest.ends_with("GREETING = \"a \\\"b\\\"\"\n"));
}

fn start_program(dir: &Path, settings: impl FnOnce(&mut Command)) -> (SocketAddr, Process) {
    let address = ports::unused();
    let words = program::command();
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env("PORT", address.port().to_string());
    settings(&mut command);
    let process = Process::spawn("the program", command, &dir.join("log"));
    (address, process)
}

async fn connect(address: SocketAddr) -> H1 {
    until("the program listens", SOON, async || {
        H1::connect(address).await.ok()
    })
    .await
}

/// Not gone, and not only waiting for its parent to look.
fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
