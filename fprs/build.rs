//! Says which commit this is: as given, or as git has it for a release. Others are development builds,
//! which would be compiled again after every commit.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FPRS_COMMIT");
    let given = std::env::var("FPRS_COMMIT").ok();
    let commit = given
        .filter(|commit| !commit.is_empty())
        .or_else(of_a_release);
    let commit = commit.unwrap_or_else(|| "development".to_owned());
    println!("cargo::rustc-env=FPRS_COMMIT={commit}");
}

/// `None` without git, or outside of its repository.
fn of_a_release() -> Option<String> {
    if std::env::var("PROFILE").ok()? != "release" {
        return None;
    }
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let said = said.trim();
    (output.status.success() && !said.is_empty()).then(|| said.to_owned())
}
