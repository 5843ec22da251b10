//! Clients from their registries, pinned, in `target/clients`: installed once, whoever comes first,
//! and kept until their list changes. What can't be had is skipped loudly, or fails the suite where
//! `FPRS_REQUIRE_CLIENTS=1` (for Helm and its kin `FPRS_REQUIRE_HELM=1`) says it must be there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const REQUIREMENTS: &str = include_str!("requirements.txt");
const PACKAGE: &str = include_str!("package.json");
const PACKAGE_LOCK: &str = include_str!("package-lock.json");

/// A Python with the clients in it; `None`: skip.
pub(crate) fn python() -> Option<PathBuf> {
    venv("python", REQUIREMENTS)
}

/// A Python with those requirements in it; `None`: skip.
pub(crate) fn venv(name: &str, requirements: &str) -> Option<PathBuf> {
    let dir = installed(name, requirements, |dir| {
        run(Command::new("python3").args(["-m", "venv", "."]), dir)?;
        write(&dir.join("requirements.txt"), requirements)?;
        let mut pip = Command::new(dir.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:"]);
        run(pip.args(["--requirement", "requirements.txt"]), dir)
    })?;
    Some(dir.join("bin/python"))
}

/// The `node_modules` with the clients in it; `None`: skip.
pub(crate) fn node_modules() -> Option<PathBuf> {
    modules("node", PACKAGE, PACKAGE_LOCK)
}

/// The `node_modules` with those packages in it; `None`: skip.
pub(crate) fn modules(name: &str, package: &str, lock: &str) -> Option<PathBuf> {
    let dir = installed(name, lock, |dir| {
        write(&dir.join("package.json"), package)?;
        write(&dir.join("package-lock.json"), lock)?;
        run(Command::new("npm").args(["ci", "--ignore-scripts"]), dir)
    })?;
    Some(dir.join("node_modules"))
}

/// curl, which comes from the system; `None`: skip.
pub(crate) fn curl() -> Option<PathBuf> {
    tool("curl", "--version")
}

/// A tool that comes from the system; `None`: skip.
pub(crate) fn tool(name: &str, version: &str) -> Option<PathBuf> {
    let mut why = String::new();
    // Servers are not on everybody's path.
    for folder in ["", "/usr/sbin"] {
        let tool = Path::new(folder).join(name);
        match run(Command::new(&tool).arg(version), Path::new(".")) {
            Ok(()) => return Some(tool),
            Err(error) => why += &error,
        }
    }
    skipped(name, &why)
}

/// Chromium, which comes from the system; `None`: skip.
pub(crate) fn chromium() -> Option<PathBuf> {
    match run(Command::new("chromium").arg("--version"), Path::new(".")) {
        Ok(()) => Some(PathBuf::from("chromium")),
        Err(why) => skipped("chromium", &why),
    }
}

/// The directory of one set of clients, installed by `install` unless `list` is what it has.
fn installed(
    name: &str,
    list: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Option<PathBuf> {
    let clients = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients");
    std::fs::create_dir_all(&clients).expect("a directory for clients");
    let lock = File::create(clients.join(format!("{name}.lock"))).expect("a lock file");
    // Released with the file: tests of other threads and processes wait here.
    lock.lock().expect("the lock");
    let dir = clients.join(name);
    let stamp = clients.join(format!("{name}.installed"));
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == list) {
        return Some(dir);
    }
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir(&dir).expect("a directory to install in");
    let started = Instant::now();
    if let Err(why) = install(&dir) {
        return skipped(name, &why);
    }
    std::fs::write(stamp, list).expect("a stamp");
    eprintln!("installed the {name} clients in {:.1?}", started.elapsed());
    Some(dir)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(command: &mut Command, dir: &Path) -> Result<(), String> {
    let output = command.current_dir(dir).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?}: {}\n{complaint}", output.status))
}

fn skipped<T>(name: &str, why: &str) -> Option<T> {
    let required = match name {
        "helm" => "FPRS_REQUIRE_HELM",
        _ => "FPRS_REQUIRE_CLIENTS",
    };
    assert!(
        std::env::var_os(required).is_none_or(|value| value != "1"),
        "the {name} clients must be here: {why}"
    );
    eprintln!("SKIPPED: the {name} clients can't be had: {why}");
    None
}
