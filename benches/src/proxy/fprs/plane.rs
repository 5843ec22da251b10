//! The processes around the one under test, and the commands that people give a plane.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::program;
use crate::proxy::{OTHER_CORE, POLL, Running, START, Site, beside, free_address, launch};

/// Given to every process, so that none has to be asked for it.
pub(crate) const ADMIN_TOKEN: &str = "bench-admin-token-bench-admin-token";

/// A plane that serves its control API.
#[derive(Debug)]
pub(super) struct Plane {
    /// Where.
    pub(super) admin: SocketAddr,
    processes: Vec<Running>,
    credentials: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    id: String,
    secret: String,
}

#[derive(Deserialize)]
struct Replica {
    id: String,
    state: String,
}

impl Plane {
    /// `fprs up`, as the process under test.
    pub(super) fn up(site: &Site<'_>, listen: SocketAddr, data: &Path) -> Result<Self> {
        let admin = free_address()?;
        let mut command = vec![program()?, "up".to_owned()];
        command.extend(["--listen".to_owned(), listen.to_string()]);
        command.extend(["--cores".to_owned(), site.cores.to_string()]);
        let process = start(site, command, admin, data, listen)?;
        Self::of(vec![process], admin)
    }

    /// Control and autoscaler, out of the way on the other core.
    pub(super) fn control(site: &Site<'_>, data: &Path) -> Result<Self> {
        let wrapper = beside(OTHER_CORE);
        let role = |name: &str| -> Result<PathBuf> {
            let folder = site.folder.join(name);
            fs::create_dir_all(&folder)?;
            Ok(folder)
        };
        let (control, autoscaler) = (role("control")?, role("autoscaler")?);
        let admin = free_address()?;
        let site = Site {
            folder: &control,
            wrapper: &wrapper,
            ..*site
        };
        let command = vec![program()?, "control".to_owned()];
        let control = start(&site, command, admin, data, admin)?;
        let own = free_address()?;
        let site = Site {
            folder: &autoscaler,
            ..site
        };
        let mut command = vec![program()?, "autoscaler".to_owned()];
        command.extend(["--control".to_owned(), admin.to_string()]);
        let autoscaler = start(&site, command, own, &autoscaler.join("data"), own)?;
        Self::of(vec![autoscaler, control], admin)
    }

    fn of(processes: Vec<Running>, admin: SocketAddr) -> Result<Self> {
        let mut plane = Self {
            admin,
            processes,
            credentials: None,
        };
        // A build without tokens has only public servers.
        plane.credentials = plane.token().ok();
        Ok(plane)
    }

    /// The process under test, for a plane that is it.
    pub(super) fn into_running(mut self) -> Result<Running> {
        let mut running = self.processes.pop().context("a plane without a process")?;
        running.headers = self.headers();
        Ok(running)
    }

    /// What a request needs to be let in.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let bearer = self
            .credentials
            .as_ref()
            .map(|bearer| format!("Bearer {bearer}"));
        bearer
            .map(|bearer| ("authorization".to_owned(), bearer))
            .into_iter()
            .collect()
    }

    fn token(&self) -> Result<String> {
        let token: Token = serde_json::from_slice(&self.ask(&["token", "create", "--json"])?)?;
        Ok(format!("{}.{}", token.id, token.secret))
    }

    /// Deploys the manifest.
    pub(super) fn deploy(&self, manifest: &Path) -> Result<()> {
        self.ask(&["deploy", &manifest.display().to_string()])
            .map(drop)
    }

    /// The id of the server's replica, once it is ready.
    pub(super) fn ready_replica(&self, server: &str) -> Result<String> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            let list: Vec<Replica> =
                serde_json::from_slice(&self.ask(&["replicas", server, "--json"])?)?;
            if let Some(replica) = list.into_iter().find(|replica| replica.state == "ready") {
                return Ok(replica.id);
            }
            thread::sleep(POLL);
        }
        bail!("no replica became ready");
    }

    /// What a command prints.
    pub(super) fn ask(&self, words: &[&str]) -> Result<Vec<u8>> {
        ask(self.admin, words)
    }
}

/// What a command prints that the plane at that address is given.
pub(super) fn ask(admin: SocketAddr, words: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program()?)
        .args(words)
        .args(["--admin", &admin.to_string(), "--admin-token", ADMIN_TOKEN])
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "fprs {}: {}",
            words.join(" "),
            said.lines().next_back().unwrap_or_default()
        );
    }
    Ok(output.stdout)
}

/// Starts a role and waits until it says that it serves.
fn start(
    site: &Site<'_>,
    mut command: Vec<String>,
    admin: SocketAddr,
    data: &Path,
    listens: SocketAddr,
) -> Result<Running> {
    let ready = site.folder.join("ready.json");
    for (flag, value) in [
        ("--admin", admin.to_string()),
        ("--admin-token", ADMIN_TOKEN.to_owned()),
        ("--data-dir", data.display().to_string()),
        ("--ready-file", ready.display().to_string()),
    ] {
        command.extend([flag.to_owned(), value]);
    }
    let running = launch(site, &command, listens)?;
    wait_for_file(&ready)?;
    Ok(running)
}

/// Waits until a role says that it serves: a proxy listens before it has its first table.
pub(crate) fn wait_until_ready(admin: SocketAddr) -> Result<()> {
    let is_ready = || -> Result<bool> {
        let mut stream = TcpStream::connect(admin)?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1) == Some("200"))
    };
    let deadline = Instant::now() + START;
    while !is_ready().unwrap_or(false) {
        if Instant::now() > deadline {
            bail!("it is not ready: see /readyz of {admin}");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Waits for the file that a role writes when it serves.
fn wait_for_file(ready: &Path) -> Result<()> {
    let deadline = Instant::now() + START;
    while !ready.exists() {
        if Instant::now() > deadline {
            bail!("it did not write its ready file");
        }
        thread::sleep(POLL);
    }
    Ok(())
}
