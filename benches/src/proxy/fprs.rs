//! fprs itself, in two shapes.
//!
//! `fprs` is the proxy alone with everything on that a request meets (authentication, table,
//! counting, reports, metrics): it forwards to the origin as to a replica, one hop, as the peers
//! do. `fprs-plane` is the whole plane in one process that has been given the origin as a server
//! to run: proxy and relay, two hops.
//!
//! The binary is `$FPRS`, or `fprs` beside this program.
//!
//! The hook that the proxy alone needs: `fprs up --static-replica hello=h2c://ADDR` (or
//! `http://ADDR`) makes a server `hello` whose only replica is always ready at ADDR. A binary
//! without it fails to start and is left out of the comparison, with that reason.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{
    OTHER_CORE, POLL, Pair, Proxy, Running, START, Site, first_line, free_address, pinned, spawn,
    wait_for,
};
use crate::load::session::Protocol;

/// Either shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fprs {
    /// Proxy to origin.
    Proxy,
    /// Proxy to relay to origin, all run by `fprs up`.
    Plane,
}

/// The name of the server, and the first label of the authority that the generator sends.
const SERVER: &str = "hello";

impl Proxy for Fprs {
    fn name(&self) -> &'static str {
        match self {
            Self::Proxy => "fprs",
            Self::Plane => "fprs-plane",
        }
    }

    fn version(&self) -> Result<String> {
        first_line(&program()?.display().to_string(), "--version")
    }

    fn supports(&self, _pair: Pair) -> bool {
        true
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let address = free_address()?;
        let data = site.folder.join("data");
        let ready = site.folder.join("ready.json");
        let mut command = vec![program()?.display().to_string(), "up".to_owned()];
        for (flag, value) in [
            ("--listen", address.to_string()),
            ("--admin", "127.0.0.1:0".to_owned()),
            ("--data-dir", data.display().to_string()),
            ("--ready-file", ready.display().to_string()),
        ] {
            command.extend([flag.to_owned(), value]);
        }
        match self {
            Self::Proxy => {
                let scheme = if site.pair.up == Protocol::H2 {
                    "h2c"
                } else {
                    "http"
                };
                let replica = format!("{SERVER}={scheme}://{}", site.upstream);
                command.extend(["--static-replica".to_owned(), replica]);
            }
            Self::Plane => command.push(manifest(site)?.display().to_string()),
        }
        let mut running = wait_for(spawn(site, &command, address)?, site.folder)?;
        wait_for_file(&ready)?;
        running
            .headers
            .push(("authorization".to_owned(), token(&data)?));
        Ok(running)
    }
}

fn program() -> Result<PathBuf> {
    let named = env::var_os("FPRS").map(PathBuf::from);
    let beside = env::current_exe()
        .ok()
        .map(|program| program.with_file_name("fprs"));
    [named, beside]
        .into_iter()
        .flatten()
        .find(|file| file.is_file())
        .context("fprs is not built: cargo build --release -p fprs, or set FPRS to its binary")
}

/// A server whose program is the origin, kept on the other core.
fn manifest(site: &Site<'_>) -> Result<PathBuf> {
    let mut command = pinned(OTHER_CORE);
    command.push(env::current_exe()?.display().to_string());
    command.push("backend".to_owned());
    command.extend(site.backend.iter().cloned());
    let h2 = site.pair.up == Protocol::H2;
    let text = format!(
        "name = \"{SERVER}\"\ncommand = {command:?}\nh2 = {h2}\nauth = \"required\"\n\
         min_replicas = 1\nmax_replicas = 1\n"
    );
    let file = site.folder.join("hello.toml");
    fs::write(&file, text)?;
    Ok(file)
}

fn wait_for_file(file: &Path) -> Result<()> {
    let deadline = Instant::now() + START;
    while !file.exists() {
        if Instant::now() > deadline {
            bail!("it did not write its ready file");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

#[derive(Deserialize)]
struct Token {
    id: String,
    secret: String,
}

/// The `authorization` header of a new token.
fn token(data: &Path) -> Result<String> {
    let output = Command::new(program()?)
        .args(["token", "create", "--json", "--data-dir"])
        .arg(data)
        .output()?;
    let token: Token = serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "fprs token create failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    Ok(format!("Bearer {}.{}", token.id, token.secret))
}
