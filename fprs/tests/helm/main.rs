//! The chart, by Helm's own engine: what it renders to, what it refuses, and that the binary and
//! Envoy take what it gives them. Without Helm from its registry these are skipped loudly, or fail
//! where `FPRS_REQUIRE_HELM=1` says that it must be there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod chart;
mod edge;
#[path = "../edge/envoy.rs"]
mod envoy;
#[path = "../clients/install.rs"]
#[allow(dead_code, reason = "every suite installs what it needs")]
mod install;

use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = include_str!("../../../helm/tests/requirements.txt");

#[test]
fn every_combination_of_values_renders_to_its_golden_file() {
    check("golden");
}

#[test]
fn wrong_values_are_refused_with_the_name_of_their_field() {
    check("schema");
}

#[test]
fn what_is_rendered_is_valid_in_every_kubernetes_from_the_oldest_to_the_newest() {
    check("kubernetes");
}

#[test]
fn helm_lint_has_nothing_to_say() {
    check("lint");
}

#[test]
fn pods_outlive_their_drain_and_are_confined() {
    check("grace");
}

#[test]
fn whoever_must_reach_another_one_may_and_nobody_else() {
    check("policies");
}

#[test]
fn hadolint_has_nothing_to_say_of_the_image() {
    let Some(python) = helm() else { return };
    let hadolint = python.with_file_name("hadolint");
    run(Command::new(hadolint).arg(root().join("Dockerfile")));
}

#[test]
fn the_image_is_built_by_the_pinned_toolchain() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let pinned = read("rust-toolchain.toml");
    let mut quoted = pinned.split('"').skip(1);
    let from = format!("FROM docker.io/library/rust:{}", quoted.next().unwrap());
    assert!(read("Dockerfile").contains(&from), "not {from}");
}

/// Runs one check of `helm/tests/check.py`.
fn check(name: &str) {
    let Some(python) = helm() else { return };
    let script = root().join("helm/tests/check.py");
    run(Command::new(python)
        .arg(script)
        .arg(name)
        .env_remove("GOLDEN")
        .env("PYTHONDONTWRITEBYTECODE", "1"));
}

/// A Python with Helm in it; `None`: skip.
fn helm() -> Option<PathBuf> {
    install::venv("helm", REQUIREMENTS)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// A collector's files, which pods have of Secrets: who may have signed its certificate, and headers.
fn collector(dir: &Path) -> [PathBuf; 2] {
    let authority = dir.join("authority");
    std::fs::create_dir_all(&authority).unwrap();
    let now = std::time::SystemTime::now();
    fprs::edge::certificates::keep(&authority, "collector.example", now).unwrap();
    let headers = dir.join("headers");
    std::fs::write(&headers, "authorization: Bearer token\n").unwrap();
    [authority.join("ca.pem"), headers]
}

/// Every golden file: what Helm renders, as the first test has it.
fn golden() -> Vec<(String, String)> {
    let files = std::fs::read_dir(root().join("helm/tests/golden")).unwrap();
    let golden: Vec<_> = files
        .map(|file| {
            let file = file.unwrap();
            let text = std::fs::read_to_string(file.path()).unwrap();
            (file.file_name().into_string().unwrap(), text)
        })
        .collect();
    assert!(!golden.is_empty(), "no golden files");
    golden
}
