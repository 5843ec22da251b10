//! The peers of one static IP at one gateway. One task owns the places, the tunnel and the file that
//! remembers them, so a key, an address and a peer are never out of step; what waits is done at once.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::settings::ServedAddress;
use crate::allocate::{Places, Refused};
use crate::idle::{Seen, idle};
use crate::key::{PrivateKey, PublicKey};
use crate::limits;
use crate::network::{Network, Way};
use crate::tunnel::{PeerSettings, PeerState, Tunnel, TunnelError, TunnelSettings};
use crate::usage::{Meter, UsageRecord};
use crate::wire::{Connected, PeerStatus};

/// Whose agents the identities are.
pub(super) type Tenants = Arc<HashMap<Arc<str>, Arc<str>>>;

/// Asks the peers' task.
#[derive(Clone, Debug)]
pub(super) struct PeersHandle(mpsc::Sender<Ask>);

/// Why an agent was not connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotConnected {
    /// It may not, or not there.
    Refused {
        why: Refused,
        free: Option<Ipv4Addr>,
    },
    /// The tunnel or the file failed, or too much waits.
    Failed(String),
}

enum Ask {
    Connect {
        identity: Arc<str>,
        key: PublicKey,
        want: Option<Ipv4Addr>,
        answer: oneshot::Sender<Result<Connected, NotConnected>>,
    },
    Disconnect {
        identity: Arc<str>,
        answer: oneshot::Sender<()>,
    },
    Status(oneshot::Sender<(Vec<PeerStatus>, Vec<UsageRecord>)>),
}

/// What outlives a restart: with it, agents' tunnels find their peer again.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    key: PrivateKey,
    peers: Vec<KeptPeer>,
    #[serde(default)]
    usage: Vec<UsageRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptPeer {
    identity: Arc<str>,
    key: PublicKey,
    address: Ipv4Addr,
}

/// What keeps peers from being served.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// The tunnel.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// Its routes.
    #[error(transparent)]
    Network(#[from] crate::network::NetworkError),
    /// The file.
    #[error("can't keep `{path}`: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is no randomness for a key.
    #[error("the system has no randomness for a key")]
    NoKey,
}

pub(super) struct Peers {
    address: ServedAddress,
    endpoint: SocketAddr,
    tunnel: Tunnel,
    places: Places,
    /// Since when each peer is one of this process.
    known: HashMap<PublicKey, Instant>,
    meter: Meter,
    tenants: Tenants,
    key: PrivateKey,
    path: PathBuf,
    began: Instant,
    asks: mpsc::Receiver<Ask>,
}

impl PeersHandle {
    pub(super) async fn connect(
        &self,
        identity: Arc<str>,
        key: PublicKey,
        want: Option<Ipv4Addr>,
    ) -> Result<Connected, NotConnected> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Connect {
            identity,
            key,
            want,
            answer,
        };
        let busy = || NotConnected::Failed("this gateway has too much to do; try again".into());
        self.0.try_send(ask).map_err(|_| busy())?;
        answered.await.map_err(|_| busy())?
    }

    pub(super) async fn disconnect(&self, identity: Arc<str>) -> bool {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Disconnect { identity, answer };
        self.0.try_send(ask).is_ok() && answered.await.is_ok()
    }

    /// The peers, and what each tenant has used.
    pub(super) async fn status(&self) -> (Vec<PeerStatus>, Vec<UsageRecord>) {
        let (answer, answered) = oneshot::channel();
        if self.0.try_send(Ask::Status(answer)).is_err() {
            return Default::default();
        }
        answered.await.unwrap_or_default()
    }
}

impl Peers {
    /// Opens the tunnel with the peers that the last process had.
    pub(super) async fn open(
        network: &Network,
        address: ServedAddress,
        node: Ipv4Addr,
        tenants: Tenants,
        path: PathBuf,
    ) -> Result<(Self, PeersHandle), PeersError> {
        let kept = read(&path)?;
        let endpoint = SocketAddr::from((node, address.port));
        let settings = TunnelSettings {
            device: address.device.clone(),
            key: kept.key.clone(),
            address: address.gateway,
            socket: endpoint,
            engine: address.engine.clone(),
        };
        let tunnel = Tunnel::open(network, settings).await?;
        let clients = address.block.net();
        let way = Way::Device(tunnel.index());
        network.route(MAIN_TABLE, clients, way).await?;
        let (asking, asks) = mpsc::channel(limits::COMMAND_QUEUE);
        let mut peers = Self {
            endpoint,
            tunnel,
            places: Places::new(limits::ADDRESS_COOL_DOWN),
            known: HashMap::new(),
            meter: Meter::new(kept.usage),
            tenants,
            key: kept.key,
            path,
            began: Instant::now(),
            asks,
            address,
        };
        peers.adopt(kept.peers).await?;
        peers.save()?;
        Ok((peers, PeersHandle(asking)))
    }

    /// The number of the tunnel's interface.
    pub(super) const fn tunnel(&self) -> u32 {
        self.tunnel.index()
    }

    /// Serves until every handle is gone.
    pub(super) async fn run(mut self) {
        let mut idle = tokio::time::interval(limits::IDLE_EVERY);
        let mut keep = tokio::time::interval(KEEP_USAGE);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                taken = self.asks.recv_many(&mut batch, limits::COMMAND_QUEUE) => {
                    if taken == 0 {
                        self.measured().await;
                        return self.keep();
                    }
                    self.answer(std::mem::take(&mut batch)).await;
                }
                _ = idle.tick() => self.remove_idle().await,
                _ = keep.tick() => self.keep(),
            }
        }
    }

    async fn adopt(&mut self, kept: Vec<KeptPeer>) -> Result<(), TunnelError> {
        let mut peers = Vec::new();
        for peer in kept {
            let place = self.address.block.place(peer.address);
            let given = self
                .places
                .give(&peer.identity, peer.key, place, self.now());
            if let (Some(_), Ok(given)) = (place, given) {
                peers.push(peer_settings(
                    peer.key,
                    self.address.block.client(given.place),
                ));
                self.known.insert(peer.key, Instant::now());
            }
        }
        self.tunnel.set_peers(&peers).await
    }

    /// All that waited: one change of the tunnel and one write of the file, then the answers.
    async fn answer(&mut self, batch: Vec<Ask>) {
        if batch.iter().any(|ask| !matches!(ask, Ask::Status(_))) {
            // What sessions carried that end by this is not seen again.
            self.measured().await;
        }
        let mut added = Vec::new();
        let mut gone = Vec::new();
        let mut answers = Vec::new();
        let mut left = Vec::new();
        for ask in batch {
            match ask {
                Ask::Connect {
                    identity,
                    key,
                    want,
                    answer,
                } => answers.push((
                    answer,
                    self.give(&identity, key, want, &mut added, &mut gone),
                )),
                Ask::Disconnect { identity, answer } => {
                    gone.extend(self.leave(&identity));
                    left.push(answer);
                }
                Ask::Status(answer) => {
                    let peers = self.measured().await;
                    let status = self.status(&peers);
                    answer.send((status, self.meter.records())).ok();
                }
            }
        }
        let done = self.put(added, gone).await;
        for (answer, given) in answers {
            let given = done.clone().and(given);
            answer.send(given).ok();
        }
        for answer in left {
            answer.send(()).ok();
        }
    }

    async fn put(
        &mut self,
        added: Vec<PeerSettings>,
        gone: Vec<PublicKey>,
    ) -> Result<(), NotConnected> {
        if added.is_empty() && gone.is_empty() {
            return Ok(());
        }
        // An agent that connects anew has a new session: the old one would hide its handshake.
        let fresh = added
            .iter()
            .map(|peer| peer.key)
            .chain(gone)
            .collect::<Vec<_>>();
        for key in &fresh {
            self.meter.gone(key);
        }
        let put = async {
            self.tunnel.remove_peers(&fresh).await?;
            self.tunnel.set_peers(&added).await?;
            self.save()
        };
        put.await.map_err(|error: PeersError| {
            tracing::error!(%error, static_ip = %self.address.ip, "peers are not in force");
            NotConnected::Failed("this gateway can't change its tunnel".into())
        })
    }

    fn give(
        &mut self,
        identity: &Arc<str>,
        key: PublicKey,
        want: Option<Ipv4Addr>,
        added: &mut Vec<PeerSettings>,
        gone: &mut Vec<PublicKey>,
    ) -> Result<Connected, NotConnected> {
        let block = self.address.block;
        // An address of no place is nobody's wish.
        let want = want.and_then(|address| block.place(address));
        let given = self.places.give(identity, key, want, self.now());
        let given = given.map_err(|why| {
            let free = match why {
                Refused::Taken { free } => Some(block.client(free)),
                Refused::Full | Refused::KeyTaken => None,
            };
            NotConnected::Refused { why, free }
        })?;
        gone.extend(given.replaces);
        let address = block.client(given.place);
        added.retain(|peer| peer.key != key);
        added.push(peer_settings(key, address));
        self.known.insert(key, Instant::now());
        Ok(Connected {
            address,
            ports: given.place.ports(),
            public_key: self.key.public(),
            endpoint: self.endpoint,
            gateway: self.address.gateway,
        })
    }

    fn leave(&mut self, identity: &str) -> Option<PublicKey> {
        let place = self.places.of(identity)?;
        let key = self.places.free(place, self.now())?;
        self.known.remove(&key);
        Some(key)
    }

    async fn remove_idle(&mut self) {
        let peers = self.measured().await;
        let gone: Vec<PublicKey> = peers
            .iter()
            .filter(|peer| idle(self.seen(peer)))
            .map(|peer| peer.key)
            .collect();
        if gone.is_empty() {
            return;
        }
        for key in &gone {
            self.known.remove(key);
            if let Some(place) = self.places.of_key(key) {
                self.places.free(place, self.now());
            }
        }
        tracing::info!(static_ip = %self.address.ip, peers = gone.len(), "idle peers removed");
        // Said already, and tried again with the next change.
        self.put(Vec::new(), gone).await.ok();
    }

    fn seen(&self, peer: &PeerState) -> Seen {
        Seen {
            known: self
                .known
                .get(&peer.key)
                .map_or(Duration::MAX, Instant::elapsed),
            last_handshake: peer.last_handshake,
        }
    }

    /// Every peer, once its counters are taken in.
    async fn measured(&mut self) -> Vec<PeerState> {
        let peers = self.tunnel.peers().await;
        for peer in &peers {
            let identity = self.places.identity(&peer.key);
            let tenant = identity.and_then(|identity| self.tenants.get(identity));
            let tenant = Arc::clone(tenant.unwrap_or(&self.address.tenant));
            self.meter.seen(&tenant, peer.key, peer.received, peer.sent);
        }
        peers
    }

    fn status(&self, peers: &[PeerState]) -> Vec<PeerStatus> {
        let by_key: HashMap<PublicKey, &PeerState> =
            peers.iter().map(|peer| (peer.key, peer)).collect();
        let mut all: Vec<PeerStatus> = self
            .places
            .clients()
            .map(|(place, client)| {
                let peer = by_key.get(&client.key);
                PeerStatus {
                    identity: client.identity.to_string(),
                    address: self.address.block.client(place),
                    ports: place.ports(),
                    endpoint: peer.and_then(|peer| peer.endpoint),
                    handshake_seconds: peer
                        .and_then(|peer| peer.last_handshake)
                        .map(|age| age.as_secs()),
                    received: peer.map_or(0, |peer| peer.received),
                    sent: peer.map_or(0, |peer| peer.sent),
                }
            })
            .collect();
        all.sort_unstable_by_key(|peer| peer.address);
        all
    }

    fn keep(&self) {
        if let Err(error) = self.save() {
            tracing::error!(%error, "a restart would not know what was used");
        }
    }

    fn save(&self) -> Result<(), PeersError> {
        let peers = self.places.clients().map(|(place, client)| KeptPeer {
            identity: Arc::clone(&client.identity),
            key: client.key,
            address: self.address.block.client(place),
        });
        let kept = Kept {
            key: self.key.clone(),
            peers: peers.collect(),
            usage: self.meter.records(),
        };
        crate::files::write_json(&self.path, &kept).map_err(|error| PeersError::File {
            path: self.path.clone(),
            error,
        })
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

/// How often what was used is written down, beside each change of the peers.
const KEEP_USAGE: Duration = Duration::from_secs(30);
/// The kernel's main routing table.
const MAIN_TABLE: u32 = 254;

fn peer_settings(key: PublicKey, address: Ipv4Addr) -> PeerSettings {
    PeerSettings {
        key,
        endpoint: None,
        addresses: Ipv4Net::from(address),
        keepalive: Some(limits::KEEPALIVE_SECONDS),
    }
}

fn read(path: &std::path::Path) -> Result<Kept, PeersError> {
    match crate::files::read_json(path) {
        Ok(Some(kept)) => Ok(kept),
        Ok(None) => Ok(Kept {
            key: PrivateKey::random().map_err(|_| PeersError::NoKey)?,
            peers: Vec::new(),
            usage: Vec::new(),
        }),
        Err(error) => Err(PeersError::File {
            path: path.to_owned(),
            error,
        }),
    }
}
