//! A gateway: a tunnel for each static IP, the rules that follow from the settings, and control for
//! agents and the reconciler. It owns an address only while it says so itself, again and again: the
//! kernel takes the address away soon after the process is gone.

mod company;
mod control;
mod discovery;
mod epochs;
mod owner;
mod peers;
mod probes;
pub mod settings;
mod yielding;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use prometheus::{IntCounterVec, Opts, Registry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::announce::{AnnounceError, Announcer};
use crate::network::{Class, Network, NetworkError};
use crate::tls::TlsError;
use crate::word::Seal;
use crate::{command, kernel, tls};

use self::epochs::Epochs;
use self::peers::{Peers, PeersHandle};
use self::settings::GatewaySettings;

pub use self::peers::PeersError;

/// What ended a gateway, or kept it from starting.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A tunnel.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A switch.
    #[error(transparent)]
    Switch(#[from] kernel::SwitchError),
    /// The rules.
    #[error(transparent)]
    Rules(#[from] command::CommandError),
    /// The uplink.
    #[error(transparent)]
    Announce(#[from] AnnounceError),
    /// Its certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port is taken.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Its counters are there already.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// A part of it ended.
    #[error("a part of the gateway ended: {0}")]
    Ended(String),
}

/// What a gateway counts.
#[derive(Clone, Debug)]
struct Metrics {
    registry: Registry,
    /// Control requests, by path and result.
    requests: IntCounterVec,
}

impl Metrics {
    fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new(
                "fprs_egress_control_requests_total",
                "Control requests, by what was asked and how it ended.",
            ),
            &["request", "result"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Self { registry, requests })
    }

    fn count(&self, request: &str, result: &str) {
        self.requests.with_label_values(&[request, result]).inc();
    }
}

/// Runs a gateway; `ready` is called once it serves. Ends only when something it can't do without is
/// gone.
///
/// # Errors
/// See [`GatewayError`].
pub async fn run(settings: GatewaySettings, ready: impl FnOnce()) -> Result<(), GatewayError> {
    let network = Network::open()?;
    let uplink = network.index(&settings.uplink).await?;
    let tls = tls::server(&settings.certificate, &settings.key)?;
    let metrics = Metrics::new()?;
    // Before the first packet can come.
    command::nft(&settings.rules.text()).await?;
    kernel::mid_stream_tracking()?;
    kernel::forwarding(&settings.uplink)?;
    shape_uplink(&network, uplink, &settings).await?;
    let mut parts = JoinSet::new();
    let epochs = Epochs::new(
        settings.addresses.iter().map(|address| address.ip),
        settings.state_dir.join("term.json"),
    );
    let peers = open(&network, &settings, &mut parts).await?;
    for address in &settings.addresses {
        // What a process before this one may have owned is another gateway's by now.
        // A cloud says by itself who gets the packets: what it maps them to is always here.
        if address.local == address.ip {
            network.remove_address(uplink, address.ip).await?;
        } else {
            network.add_address(uplink, address.local, None).await?;
        }
        if address.owned {
            epochs.own(address.ip);
        }
    }
    let announcer = Announcer::open(&settings.uplink)?;
    let seal = Seal::new(&settings.admin);
    probes::serve(&settings, &epochs, &seal, &mut parts).await?;
    let owner = owner::Owner {
        network,
        uplink,
        announcer,
        epochs: epochs.clone(),
        seal,
        node: settings.node,
        mapped: mapped(&settings),
    };
    parts.spawn(owner.run());
    let interfaces = discovery::start(settings.cloud.clone(), &mut parts);
    let listener = listen(settings.control).await?;
    let control = control::Control {
        name: settings.name.clone(),
        agents: settings.agents.clone(),
        admin: settings.admin,
        peers: Arc::new(peers),
        locals: settings
            .addresses
            .iter()
            .map(|address| (address.ip, address.local))
            .collect(),
        interfaces,
        epochs,
        metrics: metrics.clone(),
    };
    parts.spawn(tls::serve(
        listener,
        tls,
        control::router(control),
        move |refused| {
            metrics.count("tls", refused);
        },
    ));
    ready();
    tracing::info!(
        gateway = settings.name,
        control = %settings.control,
        static_ips = settings.addresses.len(),
        "egress gateway serves"
    );
    let ended = parts.join_next().await;
    Err(GatewayError::Ended(format!("{ended:?}")))
}

/// The static IPs that a cloud maps to an address of this gateway's own.
fn mapped(settings: &GatewaySettings) -> BTreeSet<Ipv4Addr> {
    let all = settings.addresses.iter();
    let mapped = all.filter(|address| address.local != address.ip);
    mapped.map(|address| address.ip).collect()
}

/// What clients send: each static IP's in its class, and what else the host sends as it was.
async fn shape_uplink(
    network: &Network,
    uplink: u32,
    settings: &GatewaySettings,
) -> Result<(), NetworkError> {
    let rates = (1..).zip(&settings.addresses);
    let classes: Vec<Class> = rates
        .filter_map(|(number, address)| Some((number, address.rate?)))
        .collect();
    if classes.is_empty() {
        return Ok(());
    }
    network.shape(uplink, 0, &classes).await
}

async fn open(
    network: &Network,
    settings: &GatewaySettings,
    parts: &mut JoinSet<()>,
) -> Result<BTreeMap<Ipv4Addr, PeersHandle>, GatewayError> {
    let mut all = BTreeMap::new();
    for address in &settings.addresses {
        let path = settings.state_dir.join(format!("{}.json", address.ip));
        let opened = Peers::open(
            network,
            address.clone(),
            settings.node,
            Arc::clone(&settings.tenants),
            path,
        );
        let (peers, handle) = opened.await?;
        parts.spawn(peers.run());
        all.insert(address.ip, handle);
    }
    Ok(all)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| GatewayError::Listen { address, error })
}

/// How long a probe socket's datagram may be; longer ones are none.
const PROBE_BUFFER: usize = crate::word::Word::BYTES + 1;
