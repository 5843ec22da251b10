//! fprs itself, in three shapes, each as its users run it.
//!
//! `fprs` is `fprs proxy` alone on the core under test: control and autoscaler run on the other
//! core, and a stand-in for a worker says that the origin is its relay. `fprs-relay` is `fprs
//! relay` alone, asked as a proxy would ask it, with the origin as its program. `fprs-plane` is
//! `fprs up`: proxy and relay in one process, two hops.
//!
//! The binary is `$FPRS`, or `fprs` beside this program.

mod plane;
mod worker;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{OTHER_CORE, Pair, Proxy, Running, Site, first_line, free_address, launch, pinned};
use crate::load::session::Protocol;
use plane::Plane;

/// The shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fprs {
    /// Proxy to origin.
    Proxy,
    /// Relay to origin.
    Relay,
    /// Proxy to relay to origin, in one process.
    Whole,
}

/// The name of the server, and the first label of the authority that the generator sends.
const SERVER: &str = "hello";
/// Names the replica to its relay.
const REPLICA: &str = "x-fprs-replica";

impl Proxy for Fprs {
    fn name(&self) -> &'static str {
        match self {
            Self::Proxy => "fprs",
            Self::Relay => "fprs-relay",
            Self::Whole => "fprs-plane",
        }
    }

    fn version(&self) -> Result<String> {
        first_line(&program()?, "--version")
    }

    fn supports(&self, pair: Pair) -> bool {
        match self {
            // A proxy speaks only HTTP/2 to relays, and a relay hears nothing else.
            Self::Proxy => pair.up == Protocol::H2,
            Self::Relay => pair.down == Protocol::H2,
            Self::Whole => true,
        }
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let data = site.folder.join("data");
        if *self == Self::Whole {
            let listen = free_address()?;
            let plane = Plane::up(site, listen, &data)?;
            plane.deploy(&manifest(site, &plane)?)?;
            plane.ready_replica()?;
            return plane.into_running();
        }
        let plane = Plane::control(site, &data)?;
        let file = manifest(site, &plane)?;
        let address = free_address()?;
        let admin = free_address()?;
        let role = if *self == Self::Proxy {
            "proxy"
        } else {
            "relay"
        };
        let mut command = vec![program()?, role.to_owned()];
        for (flag, value) in [
            ("--control", plane.admin.to_string()),
            ("--listen", address.to_string()),
            ("--admin", admin.to_string()),
            ("--admin-token", plane::ADMIN_TOKEN.to_owned()),
            ("--data-dir", site.folder.join(role).display().to_string()),
            ("--cores", "1".to_owned()),
        ] {
            command.extend([flag.to_owned(), value]);
        }
        if *self == Self::Proxy {
            let worker = worker::attach(plane.admin, site.upstream)?;
            plane.deploy(&file)?;
            // So that the proxy's first table has it.
            plane.ready_replica()?;
            let mut running = launch(site, &command, address)?;
            plane::wait_until_ready(admin)?;
            running.headers = plane.headers();
            running.kept.push(Box::new(worker));
            running.kept.push(Box::new(plane));
            return Ok(running);
        }
        let mut running = launch(site, &command, address)?;
        plane.deploy(&file)?;
        running
            .headers
            .push((REPLICA.to_owned(), plane.ready_replica()?));
        running.kept.push(Box::new(plane));
        Ok(running)
    }
}

fn program() -> Result<String> {
    let named = env::var_os("FPRS").map(PathBuf::from);
    let beside = env::current_exe()
        .ok()
        .map(|program| program.with_file_name("fprs"));
    let found = [named, beside]
        .into_iter()
        .flatten()
        .find(|file| file.is_file());
    let found = found
        .context("fprs is not built: cargo build --release -p fprs, or set FPRS to its binary")?;
    Ok(found.display().to_string())
}

/// A server whose program is the origin, kept on the other core. The stand-in never starts it.
fn manifest(site: &Site<'_>, plane: &Plane) -> Result<PathBuf> {
    let mut command = pinned(OTHER_CORE);
    command.push(env::current_exe()?.display().to_string());
    command.push("backend".to_owned());
    command.extend(site.backend.iter().cloned());
    let h2 = site.pair.up == Protocol::H2;
    let auth = if plane.headers().is_empty() {
        "public"
    } else {
        "required"
    };
    let text = format!(
        "name = \"{SERVER}\"\ncommand = {command:?}\nh2 = {h2}\nauth = \"{auth}\"\n\
         min_replicas = 1\nmax_replicas = 1\n"
    );
    let file = Path::new(site.folder).join("hello.toml");
    fs::write(&file, text)?;
    Ok(file)
}
