//! An [`crate::Origin`] that a relay can start: the test's own executable, run again as a program.
//!
//! Put this in the test file, once, and deploy [`manifest`]:
//!
//! ```text
//! #[test]
//! #[ignore = "the program that the other tests deploy"]
//! fn program() {
//!     fprs_testkit::program::main();
//! }
//! ```
//!
//! It listens on `$PORT`, answers by path as [`crate::Script::by_path`] says, and starts in a few
//! milliseconds. Its environment changes it: `RECORD` is a file for what it sees, one JSON line an
//! event; `START_AFTER_MS` delays its listening; `GREETING` is what it answers to `/`;
//! `EXIT_CODE` makes it end at once with that code; `IGNORE_SIGTERM=1` makes it need a SIGKILL.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::origin::{Record, Shared, run};

/// Serves on `$PORT` until it is killed.
///
/// # Panics
/// Without `$PORT`, or when the port is taken.
pub fn main() {
    let port = number("PORT").expect("$PORT is set");
    if let Some(code) = number("EXIT_CODE") {
        eprintln!("ending with {code}, as told");
        std::process::exit(i32::try_from(code).unwrap_or(1));
    }
    if number("IGNORE_SIGTERM").is_some() {
        ignore_sigterm();
    }
    std::thread::sleep(Duration::from_millis(number("START_AFTER_MS").unwrap_or(0)));
    let address = format!("127.0.0.1:{port}");
    let listener = TcpListener::bind(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
    eprintln!("serving on {address}");
    let file = std::env::var_os("RECORD");
    let record = Record::new(file.as_deref().map(Path::new));
    let (_for_ever, stopped) = oneshot::channel();
    run(listener, Shared::by_path(record), stopped);
}

/// The command that runs the calling test's executable as the program.
///
/// # Panics
/// When the executable's path isn't text.
pub fn command() -> Vec<String> {
    let executable = std::env::current_exe().expect("its own path");
    let executable = executable.to_str().expect("a path that is text").to_owned();
    let arguments = ["--exact", "program", "--ignored", "--nocapture"];
    std::iter::once(executable)
        .chain(arguments.map(str::to_owned))
        .collect()
}

/// A manifest that deploys the program for anybody to call; `more` is TOML that comes before its
/// environment.
pub fn manifest(name: &str, more: &str, env: &[(&str, &str)]) -> String {
    protected(name, &format!("auth = \"public\"\n{more}"), env)
}

/// As [`manifest`], for callers with credentials.
pub fn protected(name: &str, more: &str, env: &[(&str, &str)]) -> String {
    let command = Value::from(command());
    let mut text = format!("name = \"{name}\"\ncommand = {command}\n{more}\n");
    text += "[env]\n";
    for (name, value) in env {
        text += &format!("{name} = {}\n", Value::from(*value));
    }
    text
}

/// The events a program recorded in its `RECORD` file so far.
pub fn events(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The last line may still be on its way.
    text.split_inclusive('\n')
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// A handler that does nothing, on a thread that lives as long as the program.
fn ignore_sigterm() {
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut terms = signal(SignalKind::terminate()).expect("a signal handler");
            ready.send(()).expect("somebody waits");
            while terms.recv().await.is_some() {}
        });
    });
    is_ready.recv().expect("the handler is in place");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
