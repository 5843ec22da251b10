//! Malformed, ambiguous and odd requests through the real binary: each is refused, or read by every
//! origin as the very same single request; never do bytes of one appear on the next.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod attackers;
mod flood;
mod frames;
mod h1;
mod h1_table;
mod h2;
mod h2_table;
#[path = "../clients/install.rs"]
#[allow(dead_code, reason = "every suite installs what it needs")]
mod install;
mod recorder;
mod row;
mod slow;
mod stage;

use std::path::{Path, PathBuf};

use stage::Stage;

#[test]
#[ignore = "the program beside slow clients"]
fn program() {
    fprs_testkit::program::main();
}

#[test]
#[ignore = "the program behind slow clients"]
fn flood_program() {
    flood::main();
}

#[test]
#[ignore = "the program that the other tests deploy"]
fn recorder_program() {
    recorder::main();
}

#[test]
fn every_row_has_a_name_of_its_own_and_the_rfc_it_is_about() {
    let h1 = h1_table::rows().map(|row| (format!("h1 {}", row.name), row.rfc));
    let h2 = h2_table::rows().map(|row| (format!("h2 {}", row.name), row.rfc));
    let mut names = std::collections::BTreeSet::new();
    for (name, rfc) in h1.chain(h2) {
        assert!(
            rfc.starts_with("RFC ") && rfc.contains('§'),
            "{name}: {rfc}"
        );
        assert!(names.insert(name.clone()), "twice: {name}");
    }
    assert!(names.len() >= 120, "{}", names.len());
}

#[tokio::test]
async fn the_strictest_origin_reads_every_row_in_one_form_or_not_at_all() {
    every_row("recorder", &own_program("recorder_program")).await;
}

#[tokio::test]
async fn node_reads_every_row_in_one_form_or_not_at_all() {
    let Some(node) = install::tool("node", "--version") else {
        return;
    };
    every_row("node", &[text(&node), text(&origin("node_origin.js"))]).await;
}

#[tokio::test]
async fn uvicorn_reads_every_row_in_one_form_or_not_at_all() {
    let Some(python) = python() else {
        return;
    };
    let command = format!(
        "{} -m uvicorn --host 127.0.0.1 --port $PORT --no-access-log --log-level warning --app-dir {} asgi_origin:app",
        text(&python),
        text(&origin("")),
    );
    every_row("uvicorn", &words(&command)).await;
}

#[tokio::test]
async fn gunicorn_reads_every_row_in_one_form_or_not_at_all() {
    let Some(python) = python() else {
        return;
    };
    let command = format!(
        "{} -m gunicorn --bind 127.0.0.1:$PORT --worker-class gthread --threads 4 --no-control-socket --chdir {} wsgi_origin:app",
        text(&python),
        text(&origin("")),
    );
    every_row("gunicorn", &words(&command)).await;
}

#[tokio::test]
async fn nginx_reads_every_row_in_one_form_or_not_at_all() {
    if install::tool("nginx", "-v").is_none() {
        return;
    }
    every_row(
        "nginx",
        &["sh".to_owned(), text(&origin("nginx_origin.sh"))],
    )
    .await;
}

/// Sends every row to a plane with that origin, and fails with all that went wrong.
async fn every_row(origin: &str, command: &[String]) {
    let mut stage = Stage::set(command).await;
    let mut wrong = Vec::new();
    for row in h1_table::rows() {
        if let Err(why) = h1::send(&mut stage, row, origin).await {
            wrong.push(format!("h1, {} ({}): {why}", row.name, row.rfc));
        }
    }
    for row in h2_table::rows() {
        if let Err(why) = h2::send(&mut stage, row, origin).await {
            wrong.push(format!("h2, {} ({}): {why}", row.name, row.rfc));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows at {origin}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The command of a program in this very executable.
pub(crate) fn own_program(name: &str) -> Vec<String> {
    let command = fprs_testkit::program::command().into_iter();
    command
        .map(|part| {
            if part == "program" {
                name.to_owned()
            } else {
                part
            }
        })
        .collect()
}

fn python() -> Option<PathBuf> {
    install::venv("origins", include_str!("origins/requirements.txt"))
}

fn origin(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/hostile/origins")
        .join(name)
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path that is text").to_owned()
}

fn words(command: &str) -> Vec<String> {
    command.split(' ').map(str::to_owned).collect()
}
