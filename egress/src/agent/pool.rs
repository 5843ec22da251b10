//! One pool at an agent: its tunnels, what they are found to be at every look, and the one route that
//! is replaced when another tunnel is better. The decision is `failover`'s; here it is put in force.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::rustls::ClientConfig;

use super::connect::{Asker, ConnectError};
use super::elsewhere::{Elsewhere, Go};
use super::probes::Probes;
use super::settings::{AgentSettings, PoolSettings};
use super::{AgentError, KnownTunnels, PoolState, Rules, save, state_path};
use crate::failover::{Failover, Look, Step};
use crate::key::PrivateKey;
use crate::network::{By, EVERYWHERE, Network, Rule, Way};
use crate::ruleset::agent::AgentTunnels;
use crate::tunnel::{PeerSettings, Tunnel, TunnelError, TunnelSettings};
use crate::wire::{Connected, Probe};
use crate::{files, limits};

/// What came of asking the gateway of a tunnel.
type Asked = (usize, Result<Connected, ConnectError>);

/// The interface by which a static IP is left while a gateway holds it.
pub(super) type Held = watch::Receiver<Option<u32>>;

/// Which of the addresses of a pool this one is.
pub(super) enum Seat {
    /// The one that the pool's table leads to; the others are where it leads meanwhile.
    Own {
        elsewhere: Elsewhere,
        others: Vec<Held>,
    },
    /// Another one.
    Other(watch::Sender<Option<u32>>),
}

pub(super) struct Pool {
    settings: PoolSettings,
    seat: Seat,
    network: Network,
    rules: Rules,
    asker: Asker,
    key: PrivateKey,
    path: PathBuf,
    state: PoolState,
    links: Vec<Link>,
    failover: Failover,
    probes: Option<Probes>,
    began: Instant,
    asked: mpsc::Receiver<Asked>,
    asking: mpsc::Sender<Asked>,
}

/// The tunnel to one gateway.
#[derive(Debug, Default)]
struct Link {
    tunnel: Option<Tunnel>,
    /// The gateway's tunnel address.
    gateway: Option<Ipv4Addr>,
    /// Its key, by which its peer is found.
    peer: Option<PeerSettings>,
    received: u64,
    /// The probe that is under way.
    nonce: Option<u64>,
    owner_epoch: Option<u64>,
    answered: bool,
    /// A connect is under way, or was less than [`limits::CONNECT_RETRY`] ago.
    asked: Option<Instant>,
    asking: bool,
    rounds: u32,
    /// Connects since something came out of it.
    fruitless: u32,
}

impl Pool {
    /// Takes over what an earlier process knew.
    pub(super) async fn open(
        network: &Network,
        settings: &AgentSettings,
        pool: PoolSettings,
        seat: Seat,
        tls: Arc<ClientConfig>,
        rules: Rules,
    ) -> Result<Self, AgentError> {
        let path = state_path(&settings.state_dir, &pool.name);
        let kept = files::read_json::<PoolState>(&path);
        let kept = kept.map_err(|error| AgentError::State {
            path: path.clone(),
            error,
        })?;
        let state = PoolState {
            table: pool.table,
            direct: pool.direct.clone(),
            static_ip: Some(pool.static_ip),
            tunnels: kept
                .filter(|kept| kept.static_ip.is_none_or(|ip| ip == pool.static_ip))
                .and_then(|kept| kept.tunnels),
            active: None,
        };
        save(&path, &state)?;
        let key = PrivateKey::random().map_err(|_| AgentError::State {
            path: path.clone(),
            error: std::io::Error::other("the system has no randomness for a key"),
        })?;
        let (asking, asked) = mpsc::channel(pool.gateways.len().max(1));
        Ok(Self {
            asker: Asker {
                identity: settings.identity.clone(),
                secret_file: settings.secret_file.clone(),
                tls,
                static_ip: pool.static_ip,
                key: key.public(),
            },
            links: pool.gateways.iter().map(|_| Link::default()).collect(),
            failover: Failover::new(pool.gateways.len()),
            network: network.clone(),
            probes: None,
            began: Instant::now(),
            settings: pool,
            seat,
            rules,
            key,
            path,
            state,
            asked,
            asking,
        })
    }

    /// Runs until the process ends.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(limits::PROBE_EVERY);
        // A late look must not be followed by one that no probe had time for.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.look().await,
                (from, probe) = answer(self.probes.as_ref()) => self.answered(from, probe),
                Some((tunnel, asked)) = self.asked.recv() => self.learn(tunnel, asked).await,
            }
        }
    }

    async fn look(&mut self) {
        let mut looks = Vec::with_capacity(self.links.len());
        for link in &mut self.links {
            looks.push(link.look().await);
        }
        let step = self.failover.look(&looks, self.began.elapsed());
        self.apply(step).await;
        self.leave().await;
        for tunnel in 0..self.links.len() {
            self.ask_if_due(tunnel);
        }
    }

    async fn apply(&mut self, step: Step) {
        if let Some(tunnel) = step.route {
            let leads = matches!(&self.seat, Seat::Own { elsewhere, .. } if !elsewhere.away());
            if leads {
                self.route(tunnel).await;
            }
            self.state.active = Some(tunnel);
            self.keep();
        }
        for tunnel in step.died {
            tracing::warn!(pool = self.settings.name, tunnel, "a tunnel is dead");
        }
        let Some(probes) = &self.probes else { return };
        for tunnel in step.probe {
            if let Some(link) = self.links.get_mut(tunnel)
                && let Some(gateway) = link.gateway
            {
                let nonce = fastrand::u64(..);
                link.nonce = Some(nonce);
                probes.ask(gateway, nonce);
            }
        }
    }

    /// Says by which interface this address is left, or takes the pool's connections to another one.
    async fn leave(&mut self) {
        let held = self.failover.held();
        let active = self.failover.active();
        match &mut self.seat {
            Seat::Other(tell) => {
                let link = active.and_then(|active| self.links.get(active));
                let own = link
                    .and_then(|link| link.tunnel.as_ref())
                    .map(Tunnel::index);
                let own = own.filter(|_| held);
                tell.send_if_modified(|known| std::mem::replace(known, own) != own);
            }
            Seat::Own { elsewhere, others } => {
                let others = others.iter().filter_map(|other| *other.borrow());
                let go = elsewhere.look(held, others, self.began.elapsed());
                let pool = &self.settings.name;
                match (go, active) {
                    (Some(Go::By(interface)), _) => {
                        tracing::warn!(pool, interface, "leaves by another address of the pool");
                        self.route_by(interface).await;
                    }
                    (Some(Go::Back), Some(active)) => {
                        tracing::info!(pool, "leaves by its own address again");
                        self.route(active).await;
                    }
                    (Some(Go::Back), None) | (None, _) => {}
                }
            }
        }
    }

    /// The one message to the kernel that a failover is.
    async fn route(&self, tunnel: usize) {
        let link = self.links.get(tunnel);
        if let Some(open) = link.and_then(|link| link.tunnel.as_ref()) {
            tracing::info!(
                pool = self.settings.name,
                tunnel,
                "the route is by this tunnel"
            );
            self.route_by(open.index()).await;
        }
    }

    async fn route_by(&self, interface: u32) {
        let (table, way) = (self.settings.table, Way::Device(interface));
        if let Err(error) = self.network.route(table, EVERYWHERE, way).await {
            tracing::error!(%error, pool = self.settings.name, "the route is not replaced");
        }
    }

    fn answered(&mut self, from: Ipv4Addr, probe: Probe) {
        let link = self
            .links
            .iter_mut()
            .find(|link| link.gateway == Some(from));
        let Some(link) = link else { return };
        // Only what was asked for, and in time: an old answer proves nothing.
        if link.nonce == Some(probe.nonce) {
            link.nonce = None;
            link.answered = true;
            link.owner_epoch = Some(probe.epoch);
        }
    }

    /// Connects what is not, or no longer.
    fn ask_if_due(&mut self, tunnel: usize) {
        let fine = !self.failover.silent(tunnel);
        // The first place is one gateway's to give, then the other is asked for the same.
        let first = self.state.tunnels.is_none() && self.links.iter().any(|link| link.asking);
        let (Some(link), Some(gateway)) = (
            self.links.get_mut(tunnel),
            self.settings.gateways.get(tunnel),
        ) else {
            return;
        };
        let waits = link.asked.is_some_and(|at| at.elapsed() < link.retry());
        if fine || link.asking || waits || first {
            return;
        }
        link.asked = Some(Instant::now());
        link.asking = true;
        let want = self.state.tunnels.map(|tunnels| tunnels.address);
        let (asker, gateway) = (self.asker.clone(), *gateway);
        let asking = self.asking.clone();
        tokio::spawn(async move {
            let asked = asker.ask(gateway, want).await;
            // Fails when the pool is gone.
            asking.send((tunnel, asked)).await.ok();
        });
    }

    async fn learn(&mut self, tunnel: usize, asked: Result<Connected, ConnectError>) {
        let connected = match asked {
            Ok(connected) => connected,
            Err(error) => return self.refused(tunnel, &error),
        };
        if let Some(link) = self.links.get_mut(tunnel) {
            link.asking = false;
            link.fruitless = link.fruitless.saturating_add(1);
        }
        if let Err(error) = self.connect(tunnel, &connected).await {
            tracing::error!(pool = self.settings.name, tunnel, %error, "no tunnel");
        }
    }

    fn refused(&mut self, tunnel: usize, error: &ConnectError) {
        tracing::warn!(pool = self.settings.name, tunnel, %error, "not connected");
        let open = self.links.iter().any(|link| link.tunnel.is_some());
        let Some(link) = self.links.get_mut(tunnel) else {
            return;
        };
        link.asking = false;
        // Connections hang on the address once there is a tunnel: then it stays.
        if let Some(free) = error.free()
            && !open
            && link.rounds < limits::CONNECT_ROUNDS
        {
            link.rounds += 1;
            link.asked = None;
            if let Some(tunnels) = &mut self.state.tunnels {
                tunnels.address = free;
            }
        }
    }

    async fn connect(&mut self, tunnel: usize, connected: &Connected) -> Result<(), AgentError> {
        let tunnels = KnownTunnels {
            address: connected.address,
            ports: connected.ports,
        };
        self.state.tunnels = Some(tunnels);
        self.prepare(tunnels).await?;
        let device = self.settings.device(tunnel);
        let settings = TunnelSettings {
            device,
            key: self.key.clone(),
            address: tunnels.address,
            socket: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            engine: self.settings.engine.clone(),
        };
        let Some(link) = self.links.get_mut(tunnel) else {
            return Ok(());
        };
        link.put(&self.network, settings, connected).await?;
        if let Some(open) = &link.tunnel {
            let gateway = Ipv4Net::from(connected.gateway);
            let way = Way::Device(open.index());
            self.network
                .route(self.settings.table, gateway, way)
                .await?;
        }
        if self.probes.is_none() {
            let probes = Probes::open(tunnels.address, self.settings.static_ip).await;
            self.probes = Some(probes.map_err(|error| AgentError::State {
                path: self.path.clone(),
                error,
            })?);
        }
        self.keep();
        tracing::info!(pool = self.settings.name, tunnel, address = %tunnels.address, "connected");
        Ok(())
    }

    /// The rules before the tunnel: nothing leaves by it with another address or port.
    async fn prepare(&self, tunnels: KnownTunnels) -> Result<(), AgentError> {
        let devices = (0..self.links.len()).map(|tunnel| self.settings.device(tunnel));
        let rules = AgentTunnels {
            devices: devices.collect(),
            address: tunnels.address,
            ports: tunnels.ports,
        };
        self.rules.put(&self.settings.name, rules).await?;
        // Whoever binds to the tunnel address goes by the tunnels.
        let rule = Rule {
            by: By::Source(tunnels.address),
            table: self.settings.table,
        };
        Ok(self.network.add_rule(rule).await?)
    }

    fn keep(&self) {
        if let Err(error) = save(&self.path, &self.state) {
            tracing::error!(%error, "a restart would not know this pool");
        }
    }
}

impl Link {
    /// What is found since the last look.
    async fn look(&mut self) -> Look {
        let received = self.received().await;
        let grown = received > self.received;
        self.received = received;
        let received = grown || std::mem::take(&mut self.answered);
        if received {
            self.fruitless = 0;
        }
        Look {
            received,
            unanswered: self.nonce.take().is_some(),
            owner_epoch: self.owner_epoch.take(),
        }
    }

    /// How long it waits before it asks its gateway again. One that gives a place whose tunnel carries
    /// nothing has too much to do already.
    fn retry(&self) -> Duration {
        limits::CONNECT_RETRY * (1 << self.fruitless.saturating_sub(1).min(3))
    }

    async fn received(&self) -> u64 {
        match &self.tunnel {
            Some(tunnel) => tunnel.peers().await.iter().map(|peer| peer.received).sum(),
            None => 0,
        }
    }

    /// Opens the tunnel, or gives the one that is open its gateway anew: the session with one that
    /// restarted is nothing it knows.
    async fn put(
        &mut self,
        network: &Network,
        settings: TunnelSettings,
        connected: &Connected,
    ) -> Result<(), TunnelError> {
        let tunnel = match self.tunnel.take() {
            Some(tunnel) => tunnel,
            None => Tunnel::open(network, settings).await?,
        };
        let peer = PeerSettings {
            key: connected.public_key,
            endpoint: Some(connected.endpoint),
            addresses: EVERYWHERE,
            keepalive: Some(limits::KEEPALIVE_SECONDS),
        };
        if let Some(old) = self.peer.take() {
            tunnel.remove_peers(&[old.key]).await?;
        }
        tunnel.set_peers(std::slice::from_ref(&peer)).await?;
        self.peer = Some(peer);
        self.gateway = Some(connected.gateway);
        self.received = 0;
        self.tunnel = Some(tunnel);
        Ok(())
    }
}

/// The next answer to a probe; never, while there are none.
async fn answer(probes: Option<&Probes>) -> (Ipv4Addr, Probe) {
    match probes {
        Some(probes) => probes.answer().await,
        None => std::future::pending().await,
    }
}
