//! What an agent is told by its file. Checked as a whole before anything is changed.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use serde::Deserialize;

use crate::credential::is_name;
use crate::gateway::settings::{FileEngine, SettingsError, engine, read, wrong};
use crate::ruleset::{AGENT_DEVICES, mark};
use crate::tunnel::Engine;

/// Checked settings of an agent.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// Whose credential it shows.
    pub identity: String,
    /// Its secret; read again for each connect, so that it can be changed.
    pub secret_file: PathBuf,
    /// The authority that signs gateways' certificates.
    pub authority: PathBuf,
    /// What the CNI plugin reads, and a restart finds again.
    pub state_dir: PathBuf,
    /// The pools.
    pub pools: Vec<PoolSettings>,
    /// Of pools of the plane: the first table, what is reached without a tunnel, and who encrypts.
    pub tables: u32,
    /// See `tables`.
    pub direct: Vec<Ipv4Net>,
    /// See `tables`.
    pub engine: Engine,
}

/// One static IP, and the gateways that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Its name, as containers' networks say it.
    pub name: String,
    /// The static IP.
    pub static_ip: Ipv4Addr,
    /// What new connections leave by while no gateway holds it, the preferred one first. None: they wait.
    pub others: Vec<Ipv4Addr>,
    /// The routing table of whoever is bound to it.
    pub table: u32,
    /// What is reached without a tunnel.
    pub direct: Vec<Ipv4Net>,
    /// Control of the gateways, the preferred one first.
    pub gateways: Vec<SocketAddr>,
    /// Who encrypts.
    pub engine: Engine,
}

impl PoolSettings {
    /// The interface of the tunnel to that gateway.
    pub fn device(&self, tunnel: usize) -> String {
        let bits = self.static_ip.to_bits();
        format!("{AGENT_DEVICES}{bits:08x}{tunnel}")
    }

    /// The same pool by another one of its addresses.
    pub(super) fn by(&self, other: Ipv4Addr) -> Self {
        Self {
            // No pool is called so: it is nobody's to be bound to.
            name: format!("{}:{other}", self.name),
            static_ip: other,
            others: Vec::new(),
            ..self.clone()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    identity: String,
    secret_file: PathBuf,
    authority: PathBuf,
    #[serde(default = "state_dir")]
    state_dir: PathBuf,
    /// First routing table of pools of the plane.
    #[serde(default = "tables")]
    tables: u32,
    /// What those bound to them reach without a tunnel.
    #[serde(default)]
    direct: Vec<Ipv4Net>,
    /// Who encrypts for them, where it is not the best there is.
    engine: Option<FileEngine>,
    /// Or the program that does.
    daemon: Option<PathBuf>,
    #[serde(default)]
    pools: Vec<FilePool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePool {
    name: String,
    static_ip: Ipv4Addr,
    #[serde(default)]
    others: Vec<Ipv4Addr>,
    table: u32,
    #[serde(default)]
    direct: Vec<Ipv4Net>,
    gateways: Vec<SocketAddr>,
    /// Who encrypts, where it is not the best there is.
    engine: Option<FileEngine>,
    /// Or the program that does.
    daemon: Option<PathBuf>,
}

const fn tables() -> u32 {
    51_901
}

fn state_dir() -> PathBuf {
    "/run/fprs-egress".into()
}

impl AgentSettings {
    /// Gateways of one pool; more would only add tunnels that nobody uses.
    const GATEWAYS: usize = 2;
    /// The kernel's own tables are below; what is above has no mark of its own.
    const TABLES: std::ops::Range<u32> = 256..mark::TABLES;

    /// Reads and checks the file; paths in it are relative to it.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let beside = path.parent().unwrap_or_else(|| Path::new(""));
        Self::check(read(path)?, beside)
    }

    fn check(file: File, beside: &Path) -> Result<Self, SettingsError> {
        if !is_name(&file.identity) {
            return Err(wrong("`identity` is letters, digits, `-` and `_`"));
        }
        let mut seen = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for pool in &file.pools {
            let name = &pool.name;
            if !is_name(name) {
                return Err(wrong(format!(
                    "the pool `{name}` is not letters, digits, `-` and `_`"
                )));
            }
            if pool.gateways.is_empty() || pool.gateways.len() > Self::GATEWAYS {
                return Err(wrong(format!(
                    "the pool `{name}` has one or two `gateways`"
                )));
            }
            if !Self::TABLES.contains(&pool.table) {
                return Err(wrong(format!(
                    "the pool `{name}` has table {}; use one from 256 to {} that nobody else uses",
                    pool.table,
                    Self::TABLES.end - 1
                )));
            }
            let new = seen.0.insert(name) && seen.1.insert(pool.table);
            let mut ips = std::iter::once(pool.static_ip).chain(pool.others.iter().copied());
            if !(new && ips.all(|ip| seen.2.insert(ip))) {
                return Err(wrong(format!(
                    "the pool `{name}` shares its name, table or static IP with another"
                )));
            }
        }
        if !Self::TABLES.contains(&file.tables) {
            let tables = file.tables;
            return Err(wrong(format!(
                "`tables` is {tables}, which is the kernel's"
            )));
        }
        let pools = file.pools.into_iter().map(|pool| {
            Ok(PoolSettings {
                engine: engine(pool.engine, pool.daemon.as_ref())?,
                name: pool.name,
                static_ip: pool.static_ip,
                others: pool.others,
                table: pool.table,
                direct: pool.direct,
                gateways: pool.gateways,
            })
        });
        Ok(Self {
            pools: pools.collect::<Result<_, SettingsError>>()?,
            tables: file.tables,
            direct: file.direct,
            engine: engine(file.engine, file.daemon.as_ref())?,
            identity: file.identity,
            secret_file: beside.join(file.secret_file),
            authority: beside.join(file.authority),
            state_dir: beside.join(file.state_dir),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        identity = "w1"
        secret_file = "secret"
        authority = "ca.pem"
        [[pools]]
        name = "payments"
        static_ip = "203.0.113.101"
        table = 51901
        direct = ["10.0.0.0/8"]
        gateways = ["203.0.113.1:8443", "203.0.113.2:8443"]
        [[pools]]
        name = "search"
        static_ip = "203.0.113.102"
        table = 51902
        gateways = ["203.0.113.1:8443"]
    "#;

    fn check(text: &str) -> Result<AgentSettings, String> {
        let file = toml::from_str(text).map_err(|error| error.to_string())?;
        AgentSettings::check(file, Path::new("/etc/fprs")).map_err(|error| error.to_string())
    }

    #[test]
    fn devices_follow_from_the_file() {
        let settings = check(GOOD).unwrap();
        let devices: Vec<String> = (0..2).map(|n| settings.pools[0].device(n)).collect();
        assert_eq!(devices, ["fpacb0071650", "fpacb0071651"]);
        assert_eq!(settings.authority, Path::new("/etc/fprs/ca.pem"));
        assert_eq!(settings.state_dir, Path::new("/run/fprs-egress"));
    }

    #[test]
    fn what_two_pools_would_share_is_refused() {
        for (from, to) in [
            ("51902", "51901"),
            ("51902", "254"),
            ("51902", "536870912"),
            ("\"search\"", "\"payments\""),
            ("\"search\"", "\"a b\""),
            ("113.102", "113.101"),
            (
                "table = 51902",
                "others = [\"203.0.113.101\"]\ntable = 51902",
            ),
            (r#", "203.0.113.2:8443""#, r#", "1.2.3.4:1", "1.2.3.5:1""#),
            ("identity", "identiti"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            assert!(check(&text).is_err(), "{from} → {to}");
        }
    }
}
