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
mod serving;
pub mod settings;
mod wanted;
mod yielding;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use prometheus::{IntCounterVec, Opts, Registry};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use crate::announce::{AnnounceError, Announcer};
use crate::network::{Network, NetworkError};
use crate::store::StoreError;
use crate::tls::TlsError;
use crate::word::Seal;
use crate::{command, kernel, limits, tls};

use self::epochs::Epochs;
use self::serving::Serving;
use self::settings::GatewaySettings;
use self::wanted::{Followed, Wanted};

pub use self::peers::PeersError;
pub use self::wanted::Plane;

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
    /// The plane's pools.
    #[error(transparent)]
    Store(#[from] StoreError),
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

/// Runs a gateway; `ready` is called once it serves. `plane`: it has static IPs and agents, too, and their
/// changes are followed. Ends only when something it can't do without is gone.
///
/// # Errors
/// See [`GatewayError`].
pub async fn run(
    settings: GatewaySettings,
    plane: Option<Plane>,
    ready: impl FnOnce(),
) -> Result<(), GatewayError> {
    let network = Network::open()?;
    let uplink = network.index(&settings.uplink).await?;
    let tls = tls::server(&settings.certificate, &settings.key)?;
    let metrics = Metrics::new()?;
    kernel::mid_stream_tracking()?;
    kernel::forwarding(&settings.uplink)?;
    let mut parts = JoinSet::new();
    let epochs = Epochs::new([], settings.state_dir.join("term.json"));
    let mut followed = match plane {
        Some(plane) => Some(Followed::start(plane, &settings)?),
        None => None,
    };
    let mut wanted = match &mut followed {
        Some(followed) => followed.first(&settings).await,
        None => Wanted::of(&settings),
    };
    let mut serving = Serving::new(settings.clone(), network.clone(), uplink, epochs.clone());
    serving.put(&wanted).await?;
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
    let listener = listen(settings.control)?;
    let control = control::Control {
        name: settings.name.clone(),
        admin: settings.admin,
        served: serving.served(),
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
        static_ips = wanted.addresses.len(),
        "egress gateway serves"
    );
    let mut failed = false;
    loop {
        tokio::select! {
            ended = parts.join_next() => return Err(GatewayError::Ended(format!("{ended:?}"))),
            ended = serving.ended() => return Err(GatewayError::Ended(ended)),
            other = changed(followed.as_mut(), &settings) => wanted = other,
            () = tokio::time::sleep(AGAIN), if failed => {}
        }
        tracing::info!(
            static_ips = wanted.addresses.len(),
            "what is served changes"
        );
        let put = serving.put(&wanted).await;
        if let Err(error) = &put {
            tracing::error!(%error, "not all is served; trying again");
        }
        failed = put.is_err();
    }
}

/// Waits for something else to serve; for ever if nobody says it.
async fn changed(followed: Option<&mut Followed>, settings: &GatewaySettings) -> Wanted {
    match followed {
        Some(followed) => followed.changed(settings).await,
        None => std::future::pending().await,
    }
}

/// What failed is tried again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// The static IPs that a cloud maps to an address of this gateway's own.
fn mapped(settings: &GatewaySettings) -> BTreeSet<Ipv4Addr> {
    let all = settings.addresses.iter();
    let mapped = all.filter(|address| address.local != address.ip);
    mapped.map(|address| address.ip).collect()
}

/// Whoever waits to be accepted waits in the kernel: a full queue costs every agent a second.
fn listen(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let listener = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(limits::CONTROL_WAITING)
    });
    listener.map_err(|error| GatewayError::Listen { address, error })
}

/// How long a probe socket's datagram may be; longer ones are none.
const PROBE_BUFFER: usize = crate::word::Word::BYTES + 1;
