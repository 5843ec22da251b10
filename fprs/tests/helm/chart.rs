//! Promise: the binary takes every command line in the chart, and means by it what the chart does.

use std::path::Path;

use clap::Parser;
use fprs::cli::{Cli, Command};
use fprs::settings::{Given, Role, Settings};
use fprs_testkit::TempDir;

use crate::{collector, golden};

#[test]
fn the_binary_takes_every_command_line_of_the_chart() {
    let mut roles = Vec::new();
    let dir = TempDir::new().unwrap();
    let [authorities, headers] = collector(dir.path());
    for (file, text) in golden() {
        for mut line in command_lines(&text) {
            for word in &mut line {
                match word.split_once('=') {
                    Some((flag @ "--otlp-ca", _)) => *word = of(flag, &authorities),
                    Some((flag @ "--otlp-headers", _)) => *word = of(flag, &headers),
                    _ => {}
                }
            }
            let words = std::iter::once("fprs").chain(line.iter().map(String::as_str));
            let cli = Cli::try_parse_from(words);
            let command = cli
                .unwrap_or_else(|error| panic!("{file}: {line:?}: {error}"))
                .command;
            let (given, role) = match command {
                Command::Proxy { given, .. } => (given, Role::Proxy),
                Command::Control { kubernetes, given } => {
                    let given = Given {
                        kubernetes,
                        ..given
                    };
                    (given, Role::Control)
                }
                Command::Autoscaler { given, .. } => (given, Role::Autoscaler),
                Command::Edge(_)
                | Command::Egress(_)
                | Command::Servers { .. }
                | Command::Store { .. } => continue,
                other => panic!("{file}: what does {other:?} do in the chart?"),
            };
            if given.store.as_deref().is_none_or(is_built_in) {
                let settings = Settings::resolve(given, role);
                settings.unwrap_or_else(|error| panic!("{file}: {line:?}: {error}"));
            }
            roles.push(role);
        }
    }
    for role in [Role::Proxy, Role::Control, Role::Autoscaler] {
        assert!(roles.contains(&role), "the chart starts no {}", role.name());
    }
}

#[tokio::test]
async fn the_helm_test_hook_passes_with_controls_token_and_fails_without() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("control");
    let args = [
        "--admin",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let token = "0123456789abcdef";
    let env = [("FPRS_ADMIN_TOKEN", token)];
    let binary = env!("CARGO_BIN_EXE_fprs");
    let control = fprs_testkit::Role::start(binary, "control", args, &env).await;
    let at = format!("--admin={}", control.address("admin"));
    let golden = golden();
    let (_, text) = golden
        .iter()
        .find(|(file, _)| file == "smallest.yaml")
        .unwrap();
    let (_, hook) = text.split_once("helm.sh/hook: test").unwrap();
    let mut line = command_lines(&hook.replace("---", "image: none"))
        .into_iter()
        .next()
        .unwrap();
    let asked = line.iter_mut().find(|word| word.starts_with("--admin="));
    *asked.unwrap() = at;
    let hook = fprs_testkit::Cli::new(binary).env("FPRS_ADMIN_TOKEN", token);
    hook.run(&line).await.succeeded();
    let wrong = fprs_testkit::Cli::new(binary).env("FPRS_ADMIN_TOKEN", "another-token-of-16");
    wrong.run(&line).await.refused(1);
}

fn of(flag: &str, file: &Path) -> String {
    format!("{flag}={}", file.display())
}

/// Not every build has every store.
fn is_built_in(store: &str) -> bool {
    let built_in = [
        ("spanner://", cfg!(feature = "spanner")),
        ("etcd://", cfg!(feature = "etcd")),
    ];
    let of_its_kind = built_in
        .iter()
        .find(|(scheme, _)| store.starts_with(scheme));
    of_its_kind.is_none_or(|(_, built_in)| *built_in)
}

/// The arguments of our own containers: lists of one a line, or in brackets.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    let mut ours = false;
    while let Some(line) = lines.next() {
        if let Some(image) = line.trim_start().strip_prefix("image: ") {
            ours = image.contains("/fprs");
        }
        let Some(rest) = line.trim_start().strip_prefix("args:") else {
            continue;
        };
        let mut words = Vec::new();
        let inline = rest.trim().trim_start_matches('[').trim_end_matches(']');
        words.extend(
            inline
                .split(", ")
                .filter(|word| !word.is_empty())
                .map(known),
        );
        while let Some(next) = lines.peek().map(|next| next.trim_start().to_owned()) {
            let Some(word) = next.strip_prefix("- ") else {
                if next.starts_with('#') {
                    lines.next();
                    continue;
                }
                break;
            };
            words.push(known(word));
            lines.next();
        }
        if ours {
            found.push(words);
        }
    }
    found
}

/// As Kubernetes passes it on: with its address in it.
fn known(word: &str) -> String {
    let address = if word.contains("[$(POD_IP)]") {
        "fd00::7"
    } else {
        "10.0.0.7"
    };
    word.replace("$(POD_IP)", address)
}
