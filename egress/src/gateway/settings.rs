//! What a gateway is told by its file. Checked as a whole before anything is changed.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::Ipv4Net;
use serde::Deserialize;

use crate::cloud::Imds;
use crate::credential::{Credentials, SecretHash, is_name};
use crate::limits;
use crate::plan::Block;
use crate::ruleset::GATEWAY_DEVICES;
use crate::ruleset::gateway::{GatewayRules, RuledAddress};
use crate::shaping::Rate;
use crate::tunnel::Engine;

/// Checked settings of a gateway.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Its name.
    pub name: String,
    /// Its own address, where agents find it.
    pub node: Ipv4Addr,
    /// The interface to the internet.
    pub uplink: String,
    /// Where control listens.
    pub control: SocketAddr,
    /// Where it keeps its keys and places.
    pub state_dir: PathBuf,
    /// PEM of its certificate and chain.
    pub certificate: PathBuf,
    /// PEM of its key.
    pub key: PathBuf,
    /// The cloud that this is an instance of, if any.
    pub cloud: Option<Imds>,
    /// Of the reconciler and of operators.
    pub admin: SecretHash,
    /// Of agents.
    pub agents: Credentials,
    /// Whose agents they are, where that is said.
    pub tenants: Arc<HashMap<Arc<str>, Arc<str>>>,
    /// The static IPs.
    pub addresses: Vec<ServedAddress>,
    /// Which of the gateways of a static IP this is.
    number: u8,
    /// Blocks and ports of static IPs that the plane's pools say.
    pooled: Pooled,
    /// What clients must not reach.
    pub deny: Vec<Ipv4Net>,
}

/// From where static IPs that are not in the file have their blocks and ports: each has its own by its
/// address, so that all gateways agree without talking.
#[derive(Clone, Copy, Debug)]
struct Pooled {
    blocks: Ipv4Net,
    first_port: u16,
    ports: u16,
}

/// One static IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedAddress {
    /// Which.
    pub ip: Ipv4Addr,
    /// Its clients' addresses.
    pub block: Block,
    /// The gateway's own.
    pub gateway: Ipv4Addr,
    /// The tunnel's UDP port.
    pub port: u16,
    /// The tunnel's interface.
    pub device: String,
    /// The address that stands for it on this gateway's interface: its own, except where a cloud maps
    /// the static IP to it.
    pub local: Ipv4Addr,
    /// Owned from the start, without a reconciler: the only gateway.
    pub owned: bool,
    /// Who encrypts.
    pub engine: Engine,
    /// How fast its clients together may send, and how fast they may be sent to.
    pub rate: Option<Rate>,
    /// On whom bytes of agents are counted of whom nothing else is said.
    pub tenant: Arc<str>,
}

/// What is wrong with a file of settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It can't be read.
    #[error("can't read `{path}`: {error}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not TOML, or has keys that nobody knows.
    #[error("`{path}`: {error}", path = path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        error: Box<toml::de::Error>,
    },
    /// A value can't be.
    #[error("{0}")]
    Wrong(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    number: u8,
    node: Ipv4Addr,
    uplink: String,
    control: SocketAddr,
    state_dir: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    admin_sha256: String,
    cloud: Option<Cloud>,
    /// Where its metadata service is, `host:port`.
    metadata: Option<String>,
    #[serde(default = "private")]
    deny: Vec<Ipv4Net>,
    /// Of static IPs of the plane's pools.
    #[serde(default = "blocks")]
    blocks: Ipv4Net,
    /// Of those, too.
    #[serde(default = "first_port")]
    first_port: u16,
    #[serde(default)]
    static_ips: Vec<FileAddress>,
    #[serde(default)]
    agents: Vec<FileAgent>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Cloud {
    Aws,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAddress {
    ip: Ipv4Addr,
    block: Ipv4Net,
    port: u16,
    /// What the cloud maps it to, here.
    local: Option<Ipv4Addr>,
    #[serde(default)]
    owned: bool,
    /// Each way.
    megabits: Option<NonZeroU32>,
    /// Who encrypts, where it is not the best there is.
    engine: Option<FileEngine>,
    /// Or the program that does.
    daemon: Option<PathBuf>,
}

/// Who encrypts, as files say it.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileEngine {
    Kernel,
    Process,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAgent {
    identity: String,
    secret_sha256: String,
    /// On whom its bytes are counted.
    tenant: Option<String>,
}

/// What clients must not reach unless the settings say otherwise: the networks that gateways live in.
fn private() -> Vec<Ipv4Net> {
    vec![
        Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
        Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
        Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    ]
}

/// Room for 32,768 static IPs.
const fn blocks() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)
}

/// Below what the kernel gives to whoever asks for any port.
const fn first_port() -> u16 {
    20_000
}

/// Reads a file of settings; paths in it are relative to it.
///
/// # Errors
/// Names the file and what is wrong in it.
pub(crate) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Read {
        path: path.to_owned(),
        error,
    })?;
    toml::from_str(&text).map_err(|error| SettingsError::Parse {
        path: path.to_owned(),
        error: Box::new(error),
    })
}

impl GatewaySettings {
    /// Reads and checks the file. `follows`: the plane says static IPs, too.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn read(path: &Path, follows: bool) -> Result<Self, SettingsError> {
        let beside = path.parent().unwrap_or_else(|| Path::new(""));
        Self::check(read(path)?, beside, follows)
    }

    fn check(file: File, beside: &Path, follows: bool) -> Result<Self, SettingsError> {
        if !is_name(&file.name) || !is_interface(&file.uplink) {
            return Err(wrong(
                "`name` and `uplink` are letters, digits, `-` and `_`",
            ));
        }
        let none = file.static_ips.is_empty() && !follows;
        if none || file.static_ips.len() > limits::STATIC_IPS {
            return Err(wrong(format!(
                "a gateway has 1 to {} `static_ips`",
                limits::STATIC_IPS
            )));
        }
        let addresses: Vec<ServedAddress> = file
            .static_ips
            .iter()
            .map(|address| served(address, file.number))
            .collect::<Result<_, _>>()?;
        apart(&addresses)?;
        if file.blocks.prefix_len() > Block::SMALLEST || file.first_port == 0 {
            return Err(wrong(
                "`blocks` is at least a /25, and `first_port` is not 0",
            ));
        }
        Ok(Self {
            number: file.number,
            pooled: Pooled {
                blocks: file.blocks.trunc(),
                first_port: file.first_port,
                ports: PORTS.min(u16::MAX - file.first_port),
            },
            deny: file.deny,
            name: file.name,
            node: file.node,
            uplink: file.uplink,
            control: file.control,
            state_dir: beside.join(file.state_dir),
            certificate: beside.join(file.certificate),
            key: beside.join(file.key),
            cloud: file.cloud.map(|Cloud::Aws| {
                let metadata = file.metadata.as_deref();
                metadata.map_or_else(Imds::default, Imds::at)
            }),
            admin: hash(&file.admin_sha256)?,
            agents: agents(&file.agents)?,
            tenants: Arc::new(tenants(&file.agents)?),
            addresses,
        })
    }
}

/// Ports of static IPs of the plane's pools.
const PORTS: u16 = 8192;

impl GatewaySettings {
    /// A static IP that the plane says and the file does not.
    pub(super) fn pooled(&self, ip: Ipv4Addr) -> Result<ServedAddress, SettingsError> {
        let Pooled {
            blocks,
            first_port,
            ports,
        } = self.pooled;
        let count = 1_u32 << (Block::SMALLEST - blocks.prefix_len());
        let block = blocks.network().to_bits() + (ip.to_bits() % count) * Block::ADDRESSES;
        let block = Ipv4Net::new_assert(Ipv4Addr::from_bits(block), Block::SMALLEST);
        let port = u16::try_from(ip.to_bits() % u32::from(ports.max(1))).unwrap_or(0);
        let address = FileAddress {
            ip,
            block,
            port: first_port + port,
            local: None,
            owned: false,
            megabits: None,
            engine: None,
            daemon: None,
        };
        served(&address, self.number)
    }

    /// The rules of a gateway that serves these.
    pub(super) fn rules(&self, addresses: &[ServedAddress]) -> GatewayRules {
        let ruled = (1..).zip(addresses).map(|(number, address)| RuledAddress {
            ip: address.local,
            block: address.block,
            device: address.device.clone(),
            port: address.port,
            class: address.rate.map(|_| number),
        });
        GatewayRules {
            addresses: ruled.collect(),
            deny: self.deny.clone(),
        }
    }
}

fn served(address: &FileAddress, number: u8) -> Result<ServedAddress, SettingsError> {
    let block = Block::new(address.block).map_err(wrong)?;
    let gateway = block.gateway(number).ok_or_else(|| {
        wrong(format!(
            "`number` is {number}; gateways that share static IPs are 1 to {}",
            limits::GATEWAYS_PER_IP
        ))
    })?;
    if address.port == 0 || address.port == limits::PROBE_PORT {
        return Err(wrong(format!("`port` {} is not free", address.port)));
    }
    Ok(ServedAddress {
        ip: address.ip,
        block,
        gateway,
        port: address.port,
        device: format!("{GATEWAY_DEVICES}{:08x}", address.ip.to_bits()),
        local: address.local.unwrap_or(address.ip),
        owned: address.owned,
        engine: engine(address.engine, address.daemon.as_ref())?,
        rate: address.megabits.map(|rate| Rate::megabits(rate.get())),
        tenant: "".into(),
    })
}

/// Who encrypts, as a file says it.
///
/// # Errors
/// It says two.
pub(crate) fn engine(
    engine: Option<FileEngine>,
    daemon: Option<&PathBuf>,
) -> Result<Engine, SettingsError> {
    match (engine, daemon) {
        (None, None) => Ok(Engine::Best),
        (Some(FileEngine::Kernel), None) => Ok(Engine::Kernel),
        (Some(FileEngine::Process), None) => Ok(Engine::InProcess),
        (None, Some(program)) => Ok(Engine::Daemon(program.clone())),
        (Some(_), Some(_)) => Err(wrong(
            "`engine` and `daemon` say two who encrypt: leave one out",
        )),
    }
}

/// No two share an address, a port or a block.
pub(super) fn apart(addresses: &[ServedAddress]) -> Result<(), SettingsError> {
    let mut ips = BTreeSet::new();
    let mut ports = BTreeSet::new();
    let mut blocks: Vec<Ipv4Net> = Vec::new();
    for address in addresses {
        let net = address.block.net();
        let overlaps = |other: &Ipv4Net| other.contains(&net) || net.contains(other);
        let mapped = address.local != address.ip;
        if !ips.insert(address.ip)
            || (mapped && !ips.insert(address.local))
            || !ports.insert(address.port)
            || blocks.iter().any(overlaps)
        {
            return Err(wrong(format!(
                "{} shares its address, port or block with another static IP",
                address.ip
            )));
        }
        blocks.push(net);
    }
    Ok(())
}

fn agents(agents: &[FileAgent]) -> Result<Credentials, SettingsError> {
    if agents.len() > limits::AGENTS {
        return Err(wrong(format!("more than {} `agents`", limits::AGENTS)));
    }
    let all = agents.iter().map(|agent| {
        if !is_name(&agent.identity) {
            return Err(wrong(format!(
                "the identity `{}` is not letters, digits, `-` and `_`",
                agent.identity
            )));
        }
        let identity: Arc<str> = agent.identity.as_str().into();
        Ok((identity, hash(&agent.secret_sha256)?))
    });
    Ok(Credentials::new(all.collect::<Result<Vec<_>, _>>()?))
}

fn tenants(agents: &[FileAgent]) -> Result<HashMap<Arc<str>, Arc<str>>, SettingsError> {
    let all = agents.iter().filter_map(|agent| {
        let tenant = agent.tenant.as_deref()?;
        Some(if is_name(tenant) {
            Ok((agent.identity.as_str().into(), tenant.into()))
        } else {
            Err(wrong(format!(
                "the tenant `{tenant}` is not letters, digits, `-` and `_`"
            )))
        })
    });
    all.collect()
}

fn hash(text: &str) -> Result<SecretHash, SettingsError> {
    SecretHash::parse(text).map_err(wrong)
}

/// What the kernel and `nft` take for an interface's name.
pub(crate) fn is_interface(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    !text.is_empty() && text.len() <= 15 && text.bytes().all(word)
}

pub(crate) fn wrong(message: impl ToString) -> SettingsError {
    SettingsError::Wrong(message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "g1"
        number = 1
        node = "203.0.113.1"
        uplink = "eth0"
        control = "203.0.113.1:8443"
        state_dir = "state"
        certificate = "gateway.pem"
        key = "gateway.key"
        admin_sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
        [[static_ips]]
        ip = "203.0.113.101"
        block = "100.64.1.0/25"
        port = 50101
        [[static_ips]]
        ip = "203.0.113.102"
        block = "100.64.2.0/25"
        port = 50102
    "#;

    fn check(text: &str) -> Result<GatewaySettings, String> {
        let file = toml::from_str(text).map_err(|error| error.to_string())?;
        GatewaySettings::check(file, Path::new("/etc/fprs"), false)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn devices_and_tunnel_addresses_follow_from_the_file() {
        let settings = check(GOOD).unwrap();
        let [first, second] = settings.addresses.as_slice() else {
            panic!("two");
        };
        assert_eq!(first.device, "fpgcb007165");
        assert_eq!(first.gateway, Ipv4Addr::new(100, 64, 1, 1));
        assert_eq!(second.port, 50_102);
        assert_eq!(settings.key, Path::new("/etc/fprs/gateway.key"));
        assert_eq!(settings.deny.len(), 4, "private networks");
    }

    #[test]
    fn a_static_ip_of_the_planes_has_its_block_and_port_by_its_address() {
        let settings = check(GOOD).unwrap();
        let pooled = |ip: &str| settings.pooled(ip.parse().unwrap()).unwrap();
        let (one, next) = (pooled("198.51.100.7"), pooled("198.51.100.8"));
        assert_eq!(one.block.net().to_string(), "100.114.3.128/25");
        assert_eq!(next.block.net().to_string(), "100.114.4.0/25");
        assert_eq!((one.port + 1, one.tenant.as_ref()), (next.port, ""));
        assert!(apart(&[one.clone(), next]).is_ok());
        let far = pooled("198.179.100.7");
        assert!(apart(&[one, far]).is_err(), "32,768 addresses on");
    }

    #[test]
    fn what_two_static_ips_would_share_is_refused() {
        for (from, to) in [
            ("100.64.2.0/25", "100.64.1.0/24"),
            ("50102", "50101"),
            ("113.102", "113.101"),
            ("100.64.2.0/25", "100.64.2.0/26"),
            ("number = 1", "number = 8"),
            ("\"g1\"", "\"g 1\""),
            ("eth0", "eth0; drop"),
            ("50102", "0"),
            ("2bb8", "xxxx"),
            ("uplink", "uplnk"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            assert!(check(&text).is_err(), "{from} → {to}");
        }
    }
}
