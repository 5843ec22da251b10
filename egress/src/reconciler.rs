//! Looks at every gateway eight times a second and moves static IPs from those that are gone. What is
//! right is decided by `ownership`; gateways are told again until what they say is right, so nothing
//! hangs on a message, and a new reconciler learns from them who owns what. Of several, the one that
//! holds the lease acts; the others look, too, and one of them acts on what it saw as soon as it leads.

mod clouds;
mod leader;
mod look;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
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
use crate::store::StoreError;
use crate::wire::{Ownership, Ownerships};
use crate::word::Seal;
use crate::{limits, tls};

use self::leader::{Following, Term};
use self::look::Said;
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
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    /// Looks at gateways, whoever led.
    looked: u32,
    /// Those since it leads.
    looks: u32,
    /// Beats in a row in which no gateway heard the leader.
    silent: u32,
}

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
        looked: 0,
        looks: 0,
        silent: 0,
        settings,
    };
    ready();
    tracing::info!(
        gateways = reconciler.pools.gateways.len(),
        static_ips = reconciler.pools.addresses.len(),
        store = reconciler.following.is_some(),
        "egress reconciler runs"
    );
    let mut said = Said::new();
    loop {
        reconciler.reread().await;
        said = reconciler.look(&said).await;
        reconciler.learn(&said);
        reconciler.act(&said);
    }
}

impl Reconciler {
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
            self.looks = 0;
        }
        term
    }

    /// Moves and corrects, if this reconciler leads.
    fn act(&mut self, said: &Said) {
        if let Some(term) = self.term().filter(|term| term.lasts()) {
            self.reconcile(term.number, said);
        }
    }

    fn reconcile(&mut self, term: u64, said: &Said) {
        let fence = self.settings.fence;
        let lost = fence.lost();
        self.looks = self.looks.saturating_add(1);
        // What an earlier leader may just have renewed is waited for, where time is the fence.
        let looks = if fence.waits() {
            self.looks
        } else {
            self.looked
        };
        if looks < lost {
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

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|file| file.modified())
        .ok()
}
