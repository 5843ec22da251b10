//! Looks at every gateway eight times a second and moves static IPs from those that are gone. What is
//! right is decided by `ownership`; gateways are told again until what they say is right, so nothing
//! hangs on a message, and a new reconciler learns from them who owns what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_rustls::rustls::ClientConfig;

use crate::client::GatewayClient;
use crate::credential::is_name;
use crate::gateway::settings::{SettingsError, read, wrong};
use crate::ownership::{Address, GatewayName, Health, Owner, claimed, corrections, moves};
use crate::wire::{Ownership, Probe};
use crate::{limits, tls};

/// Checked settings of a reconciler.
#[derive(Clone, Debug)]
pub struct ReconcilerSettings {
    path: PathBuf,
    admin_secret_file: PathBuf,
    pub(crate) authority: PathBuf,
    gateways: BTreeMap<GatewayName, KnownGateway>,
    addresses: Vec<Address>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownGateway {
    node: Ipv4Addr,
    pub(crate) control: SocketAddr,
    /// It is to own nothing. May be changed while the reconciler runs.
    #[serde(default)]
    pub(crate) draining: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    admin_secret_file: PathBuf,
    authority: PathBuf,
    gateways: BTreeMap<String, KnownGateway>,
    static_ips: Vec<FileAddress>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAddress {
    ip: Ipv4Addr,
    gateways: Vec<String>,
}

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
}

impl ReconcilerSettings {
    /// Reads and checks the file; paths in it are relative to it.
    ///
    /// # Errors
    /// Names the file and what is wrong in it.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let file: File = read(path)?;
        let beside = path.parent().unwrap_or_else(|| Path::new(""));
        let mut seen = BTreeSet::new();
        for address in &file.static_ips {
            let unknown = address
                .gateways
                .iter()
                .find(|name| !file.gateways.contains_key(*name));
            if let Some(unknown) = unknown {
                let ip = address.ip;
                return Err(wrong(format!(
                    "{ip} names the gateway `{unknown}`, which is not there"
                )));
            }
            if !seen.insert(address.ip) {
                return Err(wrong(format!("{} is there twice", address.ip)));
            }
        }
        if let Some(name) = file.gateways.keys().find(|name| !is_name(name)) {
            return Err(wrong(format!(
                "the gateway `{name}` is not letters, digits, `-` and `_`"
            )));
        }
        let addresses = file.static_ips.into_iter().map(|address| Address {
            ip: address.ip,
            gateways: address.gateways.into_iter().map(Into::into).collect(),
        });
        let gateways = file.gateways.into_iter();
        Ok(Self {
            path: path.to_owned(),
            admin_secret_file: beside.join(file.admin_secret_file),
            authority: beside.join(file.authority),
            gateways: gateways
                .map(|(name, gateway)| (name.into(), gateway))
                .collect(),
            addresses: addresses.collect(),
        })
    }

    /// The gateways by name.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = (&GatewayName, &KnownGateway)> {
        self.gateways.iter()
    }

    /// What gateways know their operators by.
    pub(crate) fn admin_secret(&self) -> Result<String, SettingsError> {
        let path = &self.admin_secret_file;
        std::fs::read_to_string(path).map_err(|error| SettingsError::Read {
            path: path.clone(),
            error,
        })
    }
}

struct Reconciler {
    settings: ReconcilerSettings,
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
    looks: u32,
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
    let mut reconciler = Reconciler {
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
        gateways = reconciler.settings.gateways.len(),
        static_ips = reconciler.settings.addresses.len(),
        "egress reconciler runs"
    );
    loop {
        reconciler.reread();
        let said = reconciler.look().await;
        reconciler.reconcile(&said);
    }
}

impl Reconciler {
    /// Asks every gateway about every static IP of it, and waits for one look's time.
    async fn look(&mut self) -> BTreeMap<(GatewayName, Ipv4Addr), u64> {
        let nonce = fastrand::u64(..);
        let mut by_node = BTreeMap::new();
        for (name, gateway) in &self.settings.gateways {
            by_node.insert(gateway.node, Arc::clone(name));
            let own = self.settings.addresses.iter();
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
        let mut said = BTreeMap::new();
        let collect = self.collect(nonce, &by_node, &mut said);
        tokio::time::timeout(limits::RECONCILE_EVERY, collect)
            .await
            .ok();
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
        said: &mut BTreeMap<(GatewayName, Ipv4Addr), u64>,
    ) {
        let mut buffer = [0; Probe::BYTES + 1];
        loop {
            let Ok((length, SocketAddr::V4(from))) = self.socket.recv_from(&mut buffer).await
            else {
                tokio::task::yield_now().await;
                continue;
            };
            let probe = buffer.get(..length).and_then(Probe::decode);
            let probe = probe.filter(|probe| probe.answer && probe.nonce == nonce);
            if let (Some(probe), Some(name)) = (probe, by_node.get(from.ip())) {
                said.insert((Arc::clone(name), probe.static_ip), probe.epoch);
            }
        }
    }

    fn reconcile(&mut self, said: &BTreeMap<(GatewayName, Ipv4Addr), u64>) {
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
        self.looks = self.looks.saturating_add(1);
        if self.looks < limits::RECONCILE_LOST {
            return;
        }
        for (name, gateway) in &self.settings.gateways {
            self.health.entry(Arc::clone(name)).or_default().draining = gateway.draining;
        }
        for (ip, owner) in moves(&self.settings.addresses, &self.owners, &self.health) {
            tracing::warn!(static_ip = %ip, gateway = %owner.gateway, epoch = owner.epoch, "moves");
            self.owners.insert(ip, owner);
        }
        let mut wrong: BTreeMap<GatewayName, Vec<Ownership>> = BTreeMap::new();
        for (gateway, static_ip, epoch) in corrections(&self.owners, said) {
            let ownership = Ownership { static_ip, epoch };
            wrong.entry(gateway).or_default().push(ownership);
        }
        for (gateway, ownerships) in wrong {
            self.correct(gateway, ownerships);
        }
    }

    /// Tells a gateway, unless that is under way.
    fn correct(&mut self, name: GatewayName, ownerships: Vec<Ownership>) {
        let Some(gateway) = self.settings.gateways.get(&name) else {
            return;
        };
        if !self.telling.insert(Arc::clone(&name)) {
            return;
        }
        let secret = self.settings.admin_secret_file.clone();
        let (control, tls, tell) = (gateway.control, Arc::clone(&self.tls), self.tell.clone());
        tokio::spawn(async move {
            let secret = tokio::fs::read_to_string(secret).await.unwrap_or_default();
            let client = GatewayClient::new(control, tls, &secret);
            if let Err(error) = client.tell("/v1/ownership", &ownerships).await {
                tracing::warn!(%error, gateway = %name, "a gateway was not told");
            }
            // Fails when the reconciler is gone.
            tell.send(name).await.ok();
        });
    }

    /// Reads the settings again when the file was changed: a gateway is to be drained.
    fn reread(&mut self) {
        let changed = modified(&self.settings.path);
        if changed == self.changed {
            return;
        }
        self.changed = changed;
        match ReconcilerSettings::read(&self.settings.path) {
            Ok(settings) => self.settings = settings,
            Err(error) => tracing::error!(%error, "the settings stay as they were"),
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|file| file.modified())
        .ok()
}
