//! What a reconciler is told: by its file alone, or where the pools are by the store that the file names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fprs_config::{EgressProvider, Snapshot};
use serde::Deserialize;

use crate::cloud::{Ec2Settings, Imds};
use crate::credential::is_name;
use crate::gateway::settings::{SettingsError, read, wrong};
use crate::limits;
use crate::ownership::{Address, GatewayName};

/// Checked settings of a reconciler.
#[derive(Clone, Debug)]
pub struct ReconcilerSettings {
    pub(super) path: PathBuf,
    pub(super) admin_secret_file: PathBuf,
    pub(crate) authority: PathBuf,
    pub(super) fence: FenceBy,
    /// The address API that moves what ARP does not.
    pub(super) cloud: Option<Ec2Settings>,
    /// Where the pools are; otherwise the file has them.
    pub(super) store: Option<StoreSettings>,
    pub(super) pools: Pools,
}

/// The store that has the pools, and the lease.
#[derive(Clone, Debug)]
pub(super) struct StoreSettings {
    /// Admin addresses of control processes.
    pub(super) control: Vec<String>,
    pub(super) token_file: PathBuf,
    /// This reconciler's name in the lease.
    pub(super) holder: String,
}

/// Which gateways there are, and what they can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pools {
    pub(super) gateways: BTreeMap<GatewayName, KnownGateway>,
    pub(super) addresses: Vec<Address>,
    /// Those of them that a cloud moves.
    pub(super) clouded: BTreeSet<Ipv4Addr>,
}

/// A gateway, as the reconciler finds it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownGateway {
    pub(super) node: Ipv4Addr,
    pub(crate) control: SocketAddr,
    /// It is to own nothing. May be changed while the reconciler runs.
    #[serde(default)]
    pub(crate) draining: bool,
}

/// What keeps a gateway that can't be reached from answering for an address that has moved.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum FenceBy {
    /// The new owner tells it, on the link they share; one that it can't reach is cut off from that link.
    #[default]
    Link,
    /// Time: an address moves only when whoever may still hold it has given it up.
    Lease,
}

impl FenceBy {
    /// Looks without an answer after which a gateway's addresses move.
    pub(super) const fn lost(self) -> u32 {
        match self {
            Self::Link => limits::RECONCILE_LOST,
            Self::Lease => limits::RECONCILE_LOST_LEASE,
        }
    }

    /// Whether a leader waits for its lease, and for what an earlier one did, whatever gateways say: only
    /// then is there no second one that renews what this one moves.
    pub(super) const fn waits(self) -> bool {
        matches!(self, Self::Lease)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    admin_secret_file: PathBuf,
    authority: PathBuf,
    #[serde(default)]
    fence: FenceBy,
    #[serde(default)]
    control: Vec<String>,
    token_file: Option<PathBuf>,
    holder: Option<String>,
    cloud: Option<FileCloud>,
    #[serde(default)]
    gateways: BTreeMap<String, KnownGateway>,
    #[serde(default)]
    static_ips: Vec<FileAddress>,
}

/// The address API of AWS. What is left out is as an instance finds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCloud {
    provider: CloudName,
    /// `host:port` of the metadata service.
    metadata: Option<String>,
    /// `host:port` of the API.
    endpoint: Option<String>,
    /// Who signs the API's certificate; `""`: nobody, it speaks plain HTTP.
    authorities: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum CloudName {
    Aws,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAddress {
    ip: Ipv4Addr,
    gateways: Vec<String>,
    #[serde(default)]
    cloud: bool,
}

/// Where Debian and most others have the authorities that everybody knows.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

impl FileCloud {
    fn settings(self) -> Ec2Settings {
        let CloudName::Aws = self.provider;
        let authorities = self.authorities.unwrap_or_else(|| AUTHORITIES.into());
        let metadata = self.metadata.as_deref();
        Ec2Settings {
            imds: metadata.map_or_else(Imds::default, Imds::at),
            endpoint: self.endpoint,
            authorities: (!authorities.as_os_str().is_empty()).then_some(authorities),
        }
    }
}

impl ReconcilerSettings {
    /// The gateways that its file names; those of pools in a store are not among them.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = (&GatewayName, &KnownGateway)> {
        self.pools.gateways.iter()
    }

    /// What gateways know their operators by.
    pub(crate) fn admin_secret(&self) -> Result<String, SettingsError> {
        let path = &self.admin_secret_file;
        std::fs::read_to_string(path).map_err(|error| SettingsError::Read {
            path: path.clone(),
            error,
        })
    }

    /// Reads and checks the file; paths in it are relative to it.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let file: File = read(path)?;
        let beside = path.parent().unwrap_or_else(|| Path::new(""));
        Self::check(file, path, beside)
    }

    fn check(file: File, path: &Path, beside: &Path) -> Result<Self, SettingsError> {
        let own = !file.gateways.is_empty() || !file.static_ips.is_empty();
        let store = match (file.control.is_empty(), file.token_file) {
            (true, None) => None,
            (false, Some(token_file)) if !own => Some(StoreSettings {
                control: file.control,
                token_file: beside.join(token_file),
                holder: file
                    .holder
                    .unwrap_or_else(|| format!("egress-{:016x}", fastrand::u64(..))),
            }),
            (false, Some(_)) => {
                return Err(wrong(
                    "with `control` the egress pools are the store's: `gateways` and `static_ips` are \
                     not here too",
                ));
            }
            (true, Some(_)) | (false, None) => {
                return Err(wrong("`control` and `token_file` go together"));
            }
        };
        let pools = pools(file.gateways, file.static_ips)?;
        Ok(Self {
            path: path.to_owned(),
            admin_secret_file: beside.join(file.admin_secret_file),
            authority: beside.join(file.authority),
            fence: file.fence,
            cloud: file.cloud.map(FileCloud::settings),
            store,
            pools,
        })
    }
}

fn pools(
    gateways: BTreeMap<String, KnownGateway>,
    static_ips: Vec<FileAddress>,
) -> Result<Pools, SettingsError> {
    let mut seen = BTreeSet::new();
    for address in &static_ips {
        let mut named = address.gateways.iter();
        if let Some(unknown) = named.find(|name| !gateways.contains_key(*name)) {
            let ip = address.ip;
            return Err(wrong(format!(
                "{ip} names the gateway `{unknown}`, which is not there"
            )));
        }
        if !seen.insert(address.ip) {
            return Err(wrong(format!("{} is there twice", address.ip)));
        }
    }
    if let Some(name) = gateways.keys().find(|name| !is_name(name)) {
        return Err(wrong(format!(
            "the gateway `{name}` is not letters, digits, `-` and `_`"
        )));
    }
    let clouded = static_ips.iter().filter(|address| address.cloud);
    let clouded = clouded.map(|address| address.ip).collect();
    let addresses = static_ips.into_iter().map(|address| Address {
        ip: address.ip,
        gateways: address.gateways.into_iter().map(Into::into).collect(),
        draining: BTreeSet::new(),
    });
    let gateways = gateways.into_iter();
    Ok(Pools {
        gateways: gateways
            .map(|(name, gateway)| (name.into(), gateway))
            .collect(),
        addresses: addresses.collect(),
        clouded,
    })
}

impl Pools {
    /// Those of the store.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut pools = Self::default();
        for pool in snapshot.egress_pools() {
            if pool.provider == EgressProvider::Aws {
                pools.clouded.extend(&pool.static_ips);
            }
            let mut names = Vec::new();
            let mut draining = BTreeSet::new();
            for gateway in &pool.gateways {
                let name: GatewayName = gateway.name.as_str().into();
                if gateway.draining {
                    draining.insert(Arc::clone(&name));
                }
                names.push(Arc::clone(&name));
                pools.gateways.entry(name).or_insert(KnownGateway {
                    node: gateway.node,
                    control: gateway.control,
                    draining: false,
                });
            }
            let addresses = pool.static_ips.iter().map(|ip| Address {
                ip: *ip,
                gateways: names.clone(),
                draining: draining.clone(),
            });
            pools.addresses.extend(addresses);
        }
        pools.addresses.sort_unstable_by_key(|address| address.ip);
        pools
    }

    /// Nodes of the other gateways that can hold that static IP.
    pub(super) fn others(&self, ip: Ipv4Addr, of: &GatewayName) -> Vec<Ipv4Addr> {
        let address = self.addresses.iter().find(|address| address.ip == ip);
        let gateways = address.into_iter().flat_map(|address| &address.gateways);
        gateways
            .filter(|name| *name != of)
            .filter_map(|name| self.gateways.get(name))
            .map(|gateway| gateway.node)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        admin_secret_file = "admin"
        authority = "ca.pem"
        [gateways.g1]
        node = "203.0.113.1"
        control = "203.0.113.1:8443"
        [gateways.g2]
        node = "203.0.113.2"
        control = "203.0.113.2:8443"
        [[static_ips]]
        ip = "203.0.113.101"
        gateways = ["g1", "g2"]
    "#;

    fn check(text: &str) -> Result<ReconcilerSettings, String> {
        let file = toml::from_str(text).map_err(|error| error.to_string())?;
        let beside = Path::new("/etc/fprs");
        ReconcilerSettings::check(file, beside, beside).map_err(|error| error.to_string())
    }

    #[test]
    fn pools_are_the_files_or_the_stores() {
        let settings = check(GOOD).unwrap();
        let ip = Ipv4Addr::new(203, 0, 113, 101);
        let other = Ipv4Addr::new(203, 0, 113, 2);
        assert_eq!(settings.pools.others(ip, &"g1".into()), [other]);
        let store = "control = [\"127.0.0.1:9090\"]\ntoken_file = \"token\"\n";
        let (head, _) = GOOD.split_once("[gateways.g1]").unwrap();
        let settings = check(&format!("{store}{head}")).unwrap();
        assert_eq!(
            settings.store.unwrap().token_file,
            Path::new("/etc/fprs/token")
        );
        let both = check(&format!("{store}{GOOD}")).unwrap_err();
        assert!(both.contains("the store's"), "{both}");
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for (from, to) in [
            ("\"g1\", \"g2\"", "\"g3\""),
            ("[gateways.g1]", "[gateways.\"a b\"]"),
            ("authority", "autority"),
            ("admin_secret_file", "token_file = \"t\"\nadmin_secret_file"),
            ("authority", "fence = \"hope\"\nauthority"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            assert!(check(&text).is_err(), "{from} → {to}");
        }
    }
}
