//! Promise: `docs/settings.md` is what the types say, no more and no less. `SETTINGS=write` writes it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken expectation is a failed test with its place"
)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, CommandFactory};
use fprs::cli::Cli;
use fprs::settings::Given;

const HEAD: &str = "# Settings

What a process is started with. Flags win over environment variables, those over the settings file, and that
over defaults. The file is `fprs.toml` in the data dir, or the one of `--config`; an unknown key or a wrong
value is refused by name before anything starts. This page is generated from the types
(`fprs/tests/settings_reference.rs`).

Durations are like `30s` or `1h 30m`, sizes like `512MiB`. Lists are separated by commas in flags and
variables, and are arrays in the file.
";

/// Not in the file: a secret would lie about, and the file can't name itself.
const NOT_IN_THE_FILE: [&str; 2] = ["admin-token", "config"];

#[test]
fn the_reference_is_what_the_types_say() {
    let file = root().join("docs/settings.md");
    let generated = reference();
    if std::env::var_os("SETTINGS").is_some_and(|value| value == "write") {
        std::fs::write(&file, &generated).unwrap();
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(written, generated, "SETTINGS=write takes it");
}

#[test]
fn the_settings_file_takes_every_key_of_the_reference_and_no_other() {
    for arg in args("proxy").iter().filter(|arg| is_setting(arg)) {
        let key = arg.get_id().as_str().replace('_', "-");
        let taken = taken(&key);
        assert_eq!(taken, !NOT_IN_THE_FILE.contains(&&*key), "{key}");
    }
    for arg in edge() {
        let key = arg.get_id().as_str().trim_start_matches("edge_").to_owned();
        let key = if key == "edge" { "run".to_owned() } else { key };
        assert!(taken(&format!("edge.{key}")), "edge.{key}");
    }
    assert!(!taken("nothing"));
}

/// The file may have that key, with a value of some kind.
fn taken(key: &str) -> bool {
    let values = ["\"text\"", "7", "true", "[\"a\"]"];
    values
        .iter()
        .any(|value| toml::from_str::<Given>(&format!("{key} = {value}")).is_ok())
}

fn reference() -> String {
    let mut text = HEAD.to_owned();
    text += "\n## Every role\n\n";
    table(&mut text, &args("autoscaler"), |flag| format!("`{flag}`"));
    text += "\n## The edge of `fprs up`\n\nIn the file they are a table, `[edge]`.\n\n";
    table(&mut text, &edge(), |flag| {
        let key = flag.trim_start_matches("edge-");
        format!("`edge.{}`", if key == "edge" { "run" } else { key })
    });
    text += "\n## One role only\n\n";
    text += "| command | flag | what it does |\n|---|---|---|\n";
    let common: Vec<String> = args("autoscaler").iter().map(id).collect();
    for role in ["up", "proxy", "control", "autoscaler", "relay"] {
        let own = args(role)
            .into_iter()
            .filter(|arg| !common.contains(&id(arg)) && !is_edge(arg));
        for arg in own {
            let name = arg
                .get_long()
                .map_or_else(|| id(&arg).to_uppercase(), |long| format!("--{long}"));
            writeln!(text, "| `fprs {role}` | `{name}` | {} |", help(&arg).0).unwrap();
        }
    }
    text
}

fn table(text: &mut String, args: &[Arg], key: impl Fn(&str) -> String) {
    *text += "| flag | variable | in the file | default | what it is |\n|---|---|---|---|---|\n";
    for arg in args.iter().filter(|arg| is_setting(arg)) {
        let flag = arg.get_long().unwrap();
        let variable = arg
            .get_env()
            .unwrap_or_else(|| panic!("--{flag} has no variable"));
        let key = if NOT_IN_THE_FILE.contains(&flag) {
            "not there".to_owned()
        } else {
            key(flag)
        };
        let (what, default) = help(arg);
        let variable = variable.to_str().unwrap();
        writeln!(
            text,
            "| `--{flag}` | `{variable}` | {key} | {default} | {what} |"
        )
        .unwrap();
    }
}

/// What it is, and its default.
fn help(arg: &Arg) -> (String, String) {
    let help = arg.get_help().unwrap().to_string().replace('|', "\\|");
    match help.split_once(" [default: ") {
        Some((what, rest)) => {
            let (default, more) = rest.split_once(']').unwrap();
            (format!("{what}{more}"), default.to_owned())
        }
        None if arg.get_action().takes_values() => (help, String::new()),
        None => (help, "off".to_owned()),
    }
}

fn is_setting(arg: &Arg) -> bool {
    let action = arg.get_action();
    arg.get_env().is_some() && !matches!(action, ArgAction::Help | ArgAction::Version)
}

fn is_edge(arg: &Arg) -> bool {
    id(arg).starts_with("edge") || id(arg) == "envoy"
}

fn edge() -> Vec<Arg> {
    let edge: Vec<Arg> = args("up").into_iter().filter(is_edge).collect();
    assert!(!edge.is_empty(), "no settings of an edge");
    edge
}

fn args(role: &str) -> Vec<Arg> {
    let cli = Cli::command();
    let command = cli.find_subcommand(role).unwrap();
    command.get_arguments().cloned().collect()
}

fn id(arg: &Arg) -> String {
    arg.get_id().to_string()
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}
