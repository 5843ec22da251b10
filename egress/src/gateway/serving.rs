//! Serves what is wanted, and what is wanted instead while it runs: static IPs come and go, each with its
//! tunnel, its rules and its rate, and none of the others notices. Rules stand before a tunnel does and
//! fall after it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::epochs::Epochs;
use super::peers::{Peers, PeersHandle};
use super::settings::{GatewaySettings, ServedAddress};
use super::wanted::Wanted;
use super::{GatewayError, probes};
use crate::command;
use crate::credential::Credentials;
use crate::network::{Class, Network};
use crate::shaping::Rate;

/// What requests are answered from.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    pub(super) peers: Arc<BTreeMap<Ipv4Addr, PeersHandle>>,
    pub(super) locals: Arc<BTreeMap<Ipv4Addr, Ipv4Addr>>,
    pub(super) agents: Arc<Credentials>,
}

/// Everything that is served.
pub(super) struct Serving {
    settings: GatewaySettings,
    network: Network,
    uplink: u32,
    epochs: Epochs,
    open: BTreeMap<Ipv4Addr, Open>,
    /// The rules in force.
    rules: String,
    /// The uplink's classes.
    classes: Vec<Class>,
    told: watch::Sender<Served>,
    parts: JoinSet<()>,
}

/// One static IP.
struct Open {
    address: ServedAddress,
    peers: PeersHandle,
    tunnel: u32,
    probes: AbortHandle,
}

/// A tunnel that was closed is gone soon; longest wait for that.
const GONE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// Of a tunnel's own queue, which is one static IP's.
const ONLY_CLASS: u16 = 1;

impl Serving {
    /// Serves nothing yet.
    pub(super) fn new(
        settings: GatewaySettings,
        network: Network,
        uplink: u32,
        epochs: Epochs,
    ) -> Self {
        Self {
            settings,
            network,
            uplink,
            epochs,
            open: BTreeMap::new(),
            rules: String::new(),
            classes: Vec::new(),
            told: watch::channel(Served::default()).0,
            parts: JoinSet::new(),
        }
    }

    /// What requests are answered from, now and later.
    pub(super) fn served(&self) -> watch::Receiver<Served> {
        self.told.subscribe()
    }

    /// Waits until a part of it ends that should not.
    pub(super) async fn ended(&mut self) -> String {
        loop {
            match self.parts.join_next().await {
                // One that was closed.
                Some(Ok(())) => {}
                Some(Err(error)) if error.is_cancelled() => {}
                Some(Err(error)) => return error.to_string(),
                None => std::future::pending().await,
            }
        }
    }

    /// Serves that from now on. What failed is tried again with the next call.
    pub(super) async fn put(&mut self, wanted: &Wanted) -> Result<(), GatewayError> {
        let closing = self.close(wanted);
        // Before the first packet of a new one can come, and until the last one of an old one has.
        let meanwhile = closing.iter().map(|open| &open.address);
        let meanwhile: Vec<_> = wanted.addresses.iter().chain(meanwhile).cloned().collect();
        self.rule(&meanwhile).await?;
        self.tell(wanted);
        for open in closing {
            self.closed(open).await;
        }
        self.rule(&wanted.addresses).await?;
        self.shape(&wanted.addresses).await?;
        let mut failed = None;
        for address in &wanted.addresses {
            if let Err(error) = self.one(address).await {
                tracing::error!(%error, static_ip = %address.ip, "a static IP is not served");
                failed = Some(error);
            }
        }
        self.tell(wanted);
        self.leave(&wanted.agents).await;
        failed.map_or(Ok(()), Err)
    }

    /// Takes out what is wanted no longer, or otherwise than by its rate.
    fn close(&mut self, wanted: &Wanted) -> Vec<Open> {
        let gone: Vec<Ipv4Addr> = self
            .open
            .values()
            .filter(|open| {
                let same = |address: &ServedAddress| {
                    let rate = open.address.rate;
                    ServedAddress {
                        rate,
                        ..address.clone()
                    } == open.address
                };
                !wanted.addresses.iter().any(same)
            })
            .map(|open| open.address.ip)
            .collect();
        gone.iter().filter_map(|ip| self.open.remove(ip)).collect()
    }

    async fn closed(&self, open: Open) {
        let Open {
            address,
            peers,
            probes,
            ..
        } = open;
        tracing::info!(static_ip = %address.ip, "a static IP is served no longer");
        self.epochs.remove(address.ip);
        probes.abort();
        // Its task ends with its last handle, and the tunnel with it.
        drop(peers);
        let gone = async {
            while self.network.index(&address.device).await.is_ok() {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(GONE, gone).await.is_err() {
            tracing::warn!(
                device = address.device,
                "a tunnel that was closed is still there"
            );
        }
    }

    /// One static IP: opened, or its rate changed.
    async fn one(&mut self, address: &ServedAddress) -> Result<(), GatewayError> {
        if let Some(open) = self.open.get_mut(&address.ip) {
            if open.address.rate != address.rate {
                let rate = address.rate.unwrap_or(Rate::FREE);
                let classes = [(ONLY_CLASS, rate)];
                self.network
                    .shape(open.tunnel, ONLY_CLASS, &classes)
                    .await?;
                tracing::info!(static_ip = %address.ip, "the rate of a static IP changed");
                open.address.rate = address.rate;
            }
            return Ok(());
        }
        // What a process before this one may have owned is another gateway's by now.
        // A cloud says by itself who gets the packets: what it maps them to is always here.
        if address.local == address.ip {
            self.network.remove_address(self.uplink, address.ip).await?;
        } else {
            let local = address.local;
            self.network.add_address(self.uplink, local, None).await?;
        }
        let path = self.settings.state_dir.join(format!("{}.json", address.ip));
        let (node, tenants) = (self.settings.node, Arc::clone(&self.settings.tenants));
        let opened = Peers::open(&self.network, address.clone(), node, tenants, path);
        let (peers, handle) = opened.await?;
        let tunnel = peers.tunnel();
        if let Some(rate) = address.rate {
            let classes = [(ONLY_CLASS, rate)];
            self.network.shape(tunnel, ONLY_CLASS, &classes).await?;
        }
        // One socket each: an answer leaves by the address that was asked.
        let probes = probes::tunnel(address.gateway, self.epochs.clone()).await?;
        self.parts.spawn(peers.run());
        self.epochs.add(address.ip);
        if address.owned {
            self.epochs.own(address.ip);
        }
        let open = Open {
            address: address.clone(),
            peers: handle,
            tunnel,
            probes: self.parts.spawn(probes),
        };
        self.open.insert(address.ip, open);
        Ok(())
    }

    async fn rule(&mut self, addresses: &[ServedAddress]) -> Result<(), GatewayError> {
        let text = self.settings.rules(addresses).text();
        if text != self.rules {
            command::nft(&text).await?;
            self.rules = text;
        }
        Ok(())
    }

    /// What clients send: each static IP's in its class, and what else the host sends as it was.
    async fn shape(&mut self, addresses: &[ServedAddress]) -> Result<(), GatewayError> {
        let rates = (1..).zip(addresses);
        let classes: Vec<Class> = rates
            .filter_map(|(number, address)| Some((number, address.rate?)))
            .collect();
        if !classes.is_empty() && classes != self.classes {
            self.network.shape(self.uplink, 0, &classes).await?;
            self.classes = classes;
        }
        Ok(())
    }

    fn tell(&self, wanted: &Wanted) {
        let all = || self.open.values();
        let peers = all().map(|open| (open.address.ip, open.peers.clone()));
        let locals = all().map(|open| (open.address.ip, open.address.local));
        self.told.send_replace(Served {
            peers: Arc::new(peers.collect()),
            locals: Arc::new(locals.collect()),
            agents: Arc::new(wanted.agents.clone()),
        });
    }

    /// Agents that are known no longer have no place any more.
    async fn leave(&self, agents: &Credentials) {
        for open in self.open.values() {
            let (peers, _) = open.peers.status().await;
            for peer in peers.iter().filter(|peer| !agents.knows(&peer.identity)) {
                tracing::info!(identity = peer.identity, "an agent is known no longer");
                open.peers.disconnect(peer.identity.as_str().into()).await;
            }
        }
    }
}
