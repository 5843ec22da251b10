//! Looks at every gateway eight times a second and moves static IPs from those that are gone. What is
//! right is decided by `ownership`; gateways are told again until what they say is right, so nothing
//! hangs on a message, and a new reconciler learns from them who owns what. Of several, the one that
//! holds the lease acts; the others look, so that they are warm.

mod clouds;
mod leader;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_rustls::rustls::ClientConfig;

use crate::client::GatewayClient;
use crate::cloud::Ec2;
use crate::credential::SecretHash;
use crate::gateway::settings::SettingsError;
use crate::ownership::{GatewayName, Health, Owner, claimed, corrections, moves};
use crate::wire::{Ownership, Ownerships, Probe};
use crate::word::{Kind, Seal, Word};
use crate::{limits, tls};

use self::leader::{Following, Term};
use self::settings::Pools;
pub use self::settings::ReconcilerSettings;

/// What ended a reconciler, or kept it from starting.
#[derive(Debug, thiserror::Error)]
pub enum ReconcilerError {
    /// Its settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The authority.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// It can't probe.
    #[error("can't open a socket for probes: {0}")]
    Socket(std::io::Error),
    /// The token for the store.
    #[error("can't read the token in `{path}`: {error}", path = path.display())]
    Token {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The store.
    #[error("can't follow the store: {0}")]
    Store(String),
}

struct Reconciler {
    settings: ReconcilerSettings,
    /// The store, where there is one.
    following: Option<Following>,
    pools: Pools,
    /// What the cloud is to know, where there is one.
    cloud: Option<clouds::Wanted>,
    secret: String,
    seal: Seal,
    /// The term that this reconciler leads in, and the newest that gateways know.
    leads: Option<u64>,
    newest: u64,
    /// The last look that each gateway answered as one of the leader's.
    heard: BTreeMap<GatewayName, u64>,
    /// When the file was last changed, so that it is read when it was.
    changed: Option<SystemTime>,
    socket: UdpSocket,
    tls: Arc<ClientConfig>,
    health: BTreeMap<GatewayName, Health>,
    owners: BTreeMap<Ipv4Addr, Owner>,
    /// Gateways that are being told something.
    telling: BTreeSet<GatewayName>,
    told: mpsc::Receiver<GatewayName>,
    tell: mpsc::Sender<GatewayName>,
    /// Since it leads.
    looks: u32,
}

/// What a look found: each static IP at each gateway that answered, with the epoch in which it owns it.
type Said = BTreeMap<(GatewayName, Ipv4Addr), u64>;

/// Runs a reconciler; `ready` is called once it looks.
///
/// # Errors
/// It can't start.
pub async fn run(
    settings: ReconcilerSettings,
    ready: impl FnOnce(),
) -> Result<(), ReconcilerError> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
    let (tell, told) = mpsc::channel(limits::COMMAND_QUEUE);
    let following = match &settings.store {
        Some(store) => Some(Following::start(store)?),
        None => None,
    };
    let cloud = match settings.cloud.clone() {
        Some(cloud) => Some(clouds::start(Ec2::new(cloud)?)),
        None => None,
    };
    let mut reconciler = Reconciler {
        cloud,
        pools: settings.pools.clone(),
        following,
        seal: Seal::new(&SecretHash::of("")),
        secret: String::new(),
        leads: None,
        newest: 0,
        heard: BTreeMap::new(),
        socket: socket.map_err(ReconcilerError::Socket)?,
        tls: tls::client(&settings.authority)?,
        changed: modified(&settings.path),
        health: BTreeMap::new(),
        owners: BTreeMap::new(),
        telling: BTreeSet::new(),
        told,
        tell,
        looks: 0,
        settings,
    };
    ready();
    tracing::info!(
        gateways = reconciler.pools.gateways.len(),
        static_ips = reconciler.pools.addresses.len(),
        store = reconciler.following.is_some(),
        "egress reconciler runs"
    );
    loop {
        reconciler.reread().await;
        let term = reconciler.term();
        let said = reconciler.look(term).await;
        reconciler.learn(&said);
        if let Some(term) = term.filter(|term| term.lasts()) {
            reconciler.reconcile(term.number, &said);
        }
    }
}

impl Reconciler {
    /// Asks every gateway about every static IP of it, and waits for one look's time.
    /// The leader renews what they own, too.
    async fn look(&mut self, term: Option<Term>) -> Said {
        let nonce = fastrand::u64(..);
        let mut by_node = BTreeMap::new();
        for (name, gateway) in &self.pools.gateways {
            by_node.insert(gateway.node, Arc::clone(name));
            if let Some(term) = term {
                let word = Word {
                    kind: Kind::Renew,
                    answer: false,
                    static_ip: Ipv4Addr::UNSPECIFIED,
                    nonce,
                    term: term.number,
                    value: self.heard.get(name).copied().unwrap_or(0),
                };
                let to = (gateway.node, limits::PROBE_PORT);
                self.socket.send_to(&self.seal.encode(word), to).await.ok();
            }
            let own = self.pools.addresses.iter();
            for address in own.filter(|address| address.gateways.contains(name)) {
                let probe = Probe {
                    nonce,
                    static_ip: address.ip,
                    epoch: 0,
                    answer: false,
                };
                let to = (gateway.node, limits::PROBE_PORT);
                // One that can't be sent is one that is not answered.
                self.socket.send_to(&probe.encode(), to).await.ok();
            }
        }
        let mut found = Found::default();
        let collect = self.collect(nonce, &by_node, &mut found);
        tokio::time::timeout(limits::RECONCILE_EVERY, collect)
            .await
            .ok();
        let Found {
            said,
            renewed,
            newest,
        } = found;
        let heard = renewed.into_iter().map(|name| (name, nonce));
        self.heard.extend(heard);
        self.newest = self.newest.max(newest);
        for name in by_node.into_values() {
            let answered = said.keys().any(|(gateway, _)| *gateway == name);
            self.health.entry(name).or_default().looked(answered);
        }
        said
    }

    /// Never ends by itself.
    async fn collect(
        &self,
        nonce: u64,
        by_node: &BTreeMap<Ipv4Addr, GatewayName>,
        found: &mut Found,
    ) {
        let mut buffer = [0; Word::BYTES + 1];
        loop {
            let Ok((length, SocketAddr::V4(from))) = self.socket.recv_from(&mut buffer).await
            else {
                tokio::task::yield_now().await;
                continue;
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            let Some(name) = by_node.get(from.ip()) else {
                continue;
            };
            if let Some(word) = self.seal.decode(datagram) {
                if word.answer && word.kind == Kind::Renew && word.nonce == nonce {
                    found.renewed.insert(Arc::clone(name));
                    found.newest = found.newest.max(word.term);
                }
                continue;
            }
            let probe = Probe::decode(datagram);
            let probe = probe.filter(|probe| probe.answer && probe.nonce == nonce);
            if let Some(probe) = probe {
                let key = (Arc::clone(name), probe.static_ip);
                found.said.insert(key, probe.epoch);
            }
        }
    }

    /// Takes in what gateways say; also while another reconciler leads.
    fn learn(&mut self, said: &Said) {
        while let Ok(told) = self.told.try_recv() {
            self.telling.remove(&told);
        }
        // What this process has not decided, gateways know.
        for (ip, owner) in claimed(said) {
            let newer = |known: &Owner| known.epoch < owner.epoch;
            if self.owners.get(&ip).is_none_or(newer) {
                self.owners.insert(ip, owner);
            }
        }
    }

    /// The term to act in. A gateway that knows a newer one has heard of another leader.
    fn term(&mut self) -> Option<Term> {
        let term = match &self.following {
            Some(following) => following.term(),
            None => Term::endless(),
        };
        let term = term.filter(|term| term.number >= self.newest);
        let leads = term.map(|term| term.number);
        if self.leads != leads {
            self.leads = leads;
            // What an earlier leader may just have renewed is waited for.
            self.looks = 0;
        }
        term
    }

    fn reconcile(&mut self, term: u64, said: &Said) {
        let lost = self.settings.fence.lost();
        self.looks = self.looks.saturating_add(1);
        if self.looks < lost {
            return;
        }
        for (name, gateway) in &self.pools.gateways {
            self.health.entry(Arc::clone(name)).or_default().draining = gateway.draining;
        }
        for (ip, owner) in moves(&self.pools.addresses, &self.owners, &self.health, lost) {
            tracing::warn!(static_ip = %ip, gateway = %owner.gateway, epoch = owner.epoch, term, "moves");
            self.owners.insert(ip, owner);
        }
        let mut wrong: BTreeMap<GatewayName, Vec<Ownership>> = BTreeMap::new();
        for (gateway, static_ip, epoch) in corrections(&self.owners, said) {
            let others = self.pools.others(static_ip, &gateway);
            let ownership = Ownership {
                static_ip,
                epoch,
                others,
            };
            wrong.entry(gateway).or_default().push(ownership);
        }
        self.tell_cloud(term);
        for (gateway, static_ips) in wrong {
            self.correct(gateway, Ownerships { term, static_ips });
        }
    }

    /// Says where the cloud is to answer for what it moves.
    fn tell_cloud(&self, term: u64) {
        let Some(cloud) = &self.cloud else { return };
        let owned = self.owners.iter();
        let owned = owned.filter(|(ip, _)| self.pools.clouded.contains(*ip));
        let owned = owned.filter_map(|(ip, owner)| {
            let gateway = self.pools.gateways.get(&owner.gateway)?;
            Some((*ip, gateway.control))
        });
        let wanted = clouds::Owned {
            term,
            secret: self.secret.clone(),
            tls: Arc::clone(&self.tls),
            gateways: owned.collect(),
        };
        cloud.want(wanted);
    }

    /// Tells a gateway, unless that is under way.
    fn correct(&mut self, name: GatewayName, ownerships: Ownerships) {
        let Some(gateway) = self.pools.gateways.get(&name) else {
            return;
        };
        if !self.telling.insert(Arc::clone(&name)) {
            return;
        }
        let client = GatewayClient::new(gateway.control, Arc::clone(&self.tls), &self.secret);
        let tell = self.tell.clone();
        tokio::spawn(async move {
            if let Err(error) = client.tell("/v1/ownership", &ownerships).await {
                tracing::warn!(%error, gateway = %name, "a gateway was not told");
            }
            // Fails when the reconciler is gone.
            tell.send(name).await.ok();
        });
    }

    /// What may have changed: the pools in the store, the secret, the settings.
    async fn reread(&mut self) {
        if let Some(following) = &self.following {
            self.pools = following.pools();
        }
        // One that can't be read now is the one that was.
        if let Ok(secret) = tokio::fs::read_to_string(&self.settings.admin_secret_file).await
            && secret.trim() != self.secret
        {
            self.secret = secret.trim().to_owned();
            self.seal = Seal::new(&SecretHash::of(&self.secret));
        }
        let changed = modified(&self.settings.path);
        if changed == self.changed {
            return;
        }
        self.changed = changed;
        match ReconcilerSettings::read(&self.settings.path) {
            // Where the store is, and this reconciler's name there, stay as they were.
            Ok(settings) => {
                if self.following.is_none() {
                    self.pools = settings.pools.clone();
                }
                self.settings = settings;
            }
            Err(error) => tracing::error!(%error, "the settings stay as they were"),
        }
    }
}

/// What came back in one look.
#[derive(Default)]
struct Found {
    said: Said,
    /// Gateways that took it for the leader's.
    renewed: BTreeSet<GatewayName>,
    /// The newest term that they know.
    newest: u64,
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|file| file.modified())
        .ok()
}
