//! fprs itself, in three shapes, each as its users run it.
//!
//! `fprs` is the one hop that there is for a pair, alone on the core under test, with control and
//! autoscaler on the other core. To an HTTP/2 origin that is `fprs proxy`; a stand-in for a worker
//! says that the origin is its relay. To an HTTP/1.1 origin it is `fprs relay`, asked as a proxy
//! would ask it, with the origin as its program: proxies reach programs only through relays.
//! `fprs-relay` is the relay in front of an HTTP/2 program. `fprs-plane` is `fprs up`: proxy and relay
//! in one process, two hops.
//!
//! The binary is `$FPRS`, or `fprs` beside this program.

mod mirror;
mod plane;
mod seed;
mod shadow;
mod worker;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{OTHER_CORE, Pair, Proxy, Running, Site, first_line, free_address, launch, pinned};
use crate::{
    cases::{Case, Kind},
    load::session::Protocol,
};
pub(crate) use mirror::copies;
use plane::Plane;
pub(crate) use plane::{ADMIN_TOKEN, wait_until_ready};
pub use seed::{moved, seed};

/// The shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fprs {
    /// Proxy or relay to origin.
    Hop,
    /// Relay to origin.
    Relay,
    /// Proxy to relay to origin, in one process.
    Whole,
}

/// The name of the server, and the first label of the authority that the generator sends.
pub(crate) const SERVER: &str = "hello";
/// The server that is like it, and isn't mirrored; its first label likewise.
const UNMIRRORED: &str = "unmirrored";
/// The store's file in a data directory.
const STORE: &str = "store.redb";
/// Names the replica to its relay.
const REPLICA: &str = "x-fprs-replica";

impl Proxy for Fprs {
    fn name(&self) -> &'static str {
        match self {
            Self::Hop => "fprs",
            Self::Relay => "fprs-relay",
            Self::Whole => "fprs-plane",
        }
    }

    fn version(&self) -> Result<String> {
        let version = first_line(&program()?, "--version")?;
        Ok(match self {
            Self::Hop => {
                format!("{version}: `fprs proxy` to HTTP/2, `fprs relay` to HTTP/1.1")
            }
            Self::Relay => format!("{version}: `fprs relay`"),
            Self::Whole => format!("{version}: `fprs up`, proxy and relay in one process"),
        })
    }

    fn supports(&self, case: Case) -> bool {
        match (self, case.kind) {
            (Self::Whole, Kind::TwoCores | Kind::Churn | Kind::Mirror { .. }) => false,
            (Self::Whole, _) => !case.is_of_one_process(),
            (_, Kind::Cold) => false,
            (Self::Hop, _) => true,
            // Everywhere else it is the one hop that there is.
            (Self::Relay, kind) => {
                let alone = matches!(kind, Kind::Saturation | Kind::LowRate | Kind::Bulk);
                case.pair == Pair::H2_H2 && alone
            }
        }
    }

    fn has_store(&self) -> bool {
        true
    }

    fn has_origin(&self, pair: Pair) -> bool {
        !self.is_proxy(pair)
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let data = site.folder.join("data");
        if let Some(store) = site.store {
            fs::create_dir_all(&data)?;
            fs::copy(store, data.join(STORE))?;
        }
        if *self == Self::Whole {
            let listen = free_address()?;
            let plane = Plane::up(site, listen, &data)?;
            plane.deploy(&manifest(SERVER, site, &plane)?)?;
            if site.replicas > 0 {
                plane.ready_replica(SERVER)?;
            }
            return plane.into_running();
        }
        let plane = Plane::control(site, &data)?;
        let file = manifest(SERVER, site, &plane)?;
        let address = free_address()?;
        let admin = free_address()?;
        let role = if self.is_proxy(site.pair) {
            "proxy"
        } else {
            "relay"
        };
        let mut command = vec![program()?, role.to_owned()];
        for (flag, value) in [
            ("--control", plane.admin.to_string()),
            ("--listen", address.to_string()),
            ("--admin", admin.to_string()),
            ("--admin-token", ADMIN_TOKEN.to_owned()),
            ("--data-dir", site.folder.join(role).display().to_string()),
            ("--cores", site.cores.to_string()),
        ] {
            command.extend([flag.to_owned(), value]);
        }
        if self.is_proxy(site.pair) {
            let log = site.folder.join("access.log").display().to_string();
            command.extend(["--access-log".to_owned(), log]);
            let worker = worker::attach(plane.admin, worker::ORIGINS, site.upstream)?;
            plane.deploy(&file)?;
            // So that the proxy's first table has it.
            plane.ready_replica(SERVER)?;
            if site.shadow.is_some() {
                plane.deploy(&manifest(UNMIRRORED, site, &plane)?)?;
                plane.ready_replica(UNMIRRORED)?;
            }
            let shadow = site
                .shadow
                .map(|shadow| mirror::begin(site, &plane, shadow))
                .transpose()?;
            let mut running = launch(site, &command, address)?;
            wait_until_ready(admin)?;
            running.headers = plane.headers();
            running.control = Some(plane.admin);
            running.metrics = Some(admin);
            running.kept.extend(shadow.unwrap_or_default());
            running.kept.push(Box::new(worker));
            running.kept.push(Box::new(plane));
            return Ok(running);
        }
        let mut running = launch(site, &command, address)?;
        plane.deploy(&file)?;
        running
            .headers
            .push((REPLICA.to_owned(), plane.ready_replica(SERVER)?));
        running.kept.push(Box::new(plane));
        Ok(running)
    }
}

impl Fprs {
    fn is_proxy(self, pair: Pair) -> bool {
        self == Self::Hop && pair.up == Protocol::H2
    }
}

pub(crate) fn program() -> Result<String> {
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
fn manifest(name: &str, site: &Site<'_>, plane: &Plane) -> Result<PathBuf> {
    let mut command = pinned(OTHER_CORE);
    command.push(env::current_exe()?.display().to_string());
    command.push("backend".to_owned());
    command.extend(site.backend.iter().cloned());
    let h2 = site.pair.up == Protocol::H2;
    let hold = if site.replicas == 0 { "20s" } else { "0s" };
    let auth = if plane.headers().is_empty() {
        "public"
    } else {
        "required"
    };
    let (least, most) = (site.replicas, site.replicas.max(1));
    let text = format!(
        "name = \"{name}\"\ncommand = {command:?}\nh2 = {h2}\nauth = \"{auth}\"\n\
         min_replicas = {least}\nmax_replicas = {most}\nhold = \"{hold}\"\n"
    );
    let file = Path::new(site.folder).join(format!("{name}.toml"));
    fs::write(&file, text)?;
    Ok(file)
}
