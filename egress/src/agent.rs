//! An agent: for each pool a tunnel to each of its gateways, with one tunnel address and one range of
//! ports on both, and one route that says which of them is used. What it makes for bound containers
//! stays when it ends: with no tunnel they reach nothing, rather than the internet from elsewhere.

mod connect;
mod elsewhere;
mod follow;
mod pool;
mod probes;
pub mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::rustls::ClientConfig;

use crate::network::{EVERYWHERE, Network, NetworkError, Way};
use crate::ruleset::agent::{self as rules, AgentTunnels};
use crate::tls::TlsError;
use crate::tunnel::TunnelError;
use crate::{command, files, tls};

use self::elsewhere::Elsewhere;
use self::follow::Followed;
pub use self::follow::Plane;
use self::pool::{Held, Pool, Seat};
use self::settings::{AgentSettings, PoolSettings};

/// What ended an agent, or kept it from starting.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A tunnel.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// The rules.
    #[error(transparent)]
    Rules(#[from] command::CommandError),
    /// The authority.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Its state.
    #[error("can't keep the agent's state in `{path}`: {error}", path = path.display())]
    State {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A part of it ended.
    #[error("a part of the agent ended: {0}")]
    Ended(String),
}

/// What others on this host, and a later process, know of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolState {
    /// The table of whoever is bound to it.
    pub table: u32,
    /// What is reached without a tunnel.
    pub direct: Vec<ipnet::Ipv4Net>,
    /// Whose tunnels they are: the places of another address are none here.
    #[serde(default)]
    pub static_ip: Option<std::net::Ipv4Addr>,
    /// The tunnel address and ports, once there are some.
    pub tunnels: Option<KnownTunnels>,
    /// Which gateway's tunnel has the route.
    pub active: Option<usize>,
}

/// The place of an agent at a static IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownTunnels {
    /// Its tunnel address.
    pub address: std::net::Ipv4Addr,
    /// Its ports.
    pub ports: crate::plan::Ports,
}

/// Where the state of a pool is.
pub fn state_path(state_dir: &std::path::Path, pool: &str) -> std::path::PathBuf {
    state_dir.join("pools").join(format!("{pool}.json"))
}

/// The rules of all pools together: one table, one writer at a time, and one text for all that wait.
#[derive(Clone, Debug, Default)]
struct Rules(Arc<Written>);

#[derive(Debug, Default)]
struct Written {
    wanted: Mutex<(u64, BTreeMap<String, AgentTunnels>)>,
    /// The version in force. Held until the text is: a later one must not be overtaken.
    done: tokio::sync::Mutex<u64>,
}

impl Rules {
    async fn put(&self, pool: &str, tunnels: AgentTunnels) -> Result<(), command::CommandError> {
        let own = {
            let mut wanted = self.wanted();
            let (version, all) = &mut *wanted;
            if all.get(pool) != Some(&tunnels) {
                all.insert(pool.to_owned(), tunnels);
                *version += 1;
            }
            *version
        };
        let mut done = self.0.done.lock().await;
        if *done >= own {
            return Ok(());
        }
        let (version, pools) = {
            let wanted = self.wanted();
            let pools: Vec<AgentTunnels> = wanted.1.values().cloned().collect();
            (wanted.0, pools)
        };
        command::nft(&rules::text(&pools)).await?;
        *done = version;
        Ok(())
    }

    fn wanted(&self) -> MutexGuard<'_, (u64, BTreeMap<String, AgentTunnels>)> {
        // Every change is whole before anything can panic.
        let wanted = self.0.wanted.lock();
        wanted.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs an agent; `ready` is called once every pool fails closed. `plane`: it has pools, too, and their
/// changes are followed. Ends only when something it can't do without is gone.
///
/// # Errors
/// See [`AgentError`].
pub async fn run(
    settings: AgentSettings,
    plane: Option<Plane>,
    ready: impl FnOnce(),
) -> Result<(), AgentError> {
    let mut pools = Pools {
        network: Network::open()?,
        tls: tls::client(&settings.authority)?,
        rules: Rules::default(),
        open: BTreeMap::new(),
        parts: JoinSet::new(),
        settings,
    };
    let mut followed = plane.map(|plane| Followed::start(plane, &pools.settings));
    pools.put(followed.as_ref()).await?;
    ready();
    tracing::info!(
        agent = pools.settings.identity,
        pools = pools.open.len(),
        "egress agent runs"
    );
    loop {
        tokio::select! {
            Some(ended) = pools.parts.join_next() => {
                // One that was closed.
                if !ended.as_ref().is_err_and(tokio::task::JoinError::is_cancelled) {
                    return Err(AgentError::Ended(format!("{ended:?}")));
                }
            }
            () = changed(followed.as_mut()) => pools.put(followed.as_ref()).await?,
        }
    }
}

/// Waits for other pools; for ever if nobody says them.
async fn changed(followed: Option<&mut Followed>) {
    match followed {
        Some(followed) => followed.changed().await,
        None => std::future::pending().await,
    }
}

/// The pools that are open, each with its tasks.
struct Pools {
    settings: AgentSettings,
    network: Network,
    tls: Arc<ClientConfig>,
    rules: Rules,
    open: BTreeMap<String, (PoolSettings, Vec<AbortHandle>)>,
    parts: JoinSet<()>,
}

impl Pools {
    /// Opens those of the settings and those of the plane, and closes what is no longer wanted so. What is
    /// made for bound containers stays: they reach nothing.
    async fn put(&mut self, followed: Option<&Followed>) -> Result<(), AgentError> {
        let own = self.settings.pools.iter().cloned();
        let wanted = own.chain(followed.map(Followed::pools).into_iter().flatten());
        let wanted: BTreeMap<String, PoolSettings> =
            wanted.map(|pool| (pool.name.clone(), pool)).collect();
        self.open.retain(|name, (pool, tasks)| {
            let stays = wanted.get(name) == Some(&*pool);
            if !stays {
                tracing::info!(pool = name, "the pool is closed");
                tasks.iter().for_each(AbortHandle::abort);
            }
            stays
        });
        for (name, pool) in wanted {
            if !self.open.contains_key(&name) {
                let tasks = self.open(&pool).await?;
                self.open.insert(name, (pool, tasks));
            }
        }
        Ok(())
    }

    async fn open(&mut self, pool: &PoolSettings) -> Result<Vec<AbortHandle>, AgentError> {
        fail_closed(&self.network, pool).await?;
        let (mut tasks, mut others) = (Vec::new(), Vec::<Held>::new());
        for other in &pool.others {
            let (tell, held) = watch::channel(None);
            tasks.push(self.spawn(pool.by(*other), Seat::Other(tell)).await?);
            others.push(held);
        }
        let elsewhere = Elsewhere::default();
        let seat = Seat::Own { elsewhere, others };
        tasks.push(self.spawn(pool.clone(), seat).await?);
        Ok(tasks)
    }

    async fn spawn(&mut self, pool: PoolSettings, seat: Seat) -> Result<AbortHandle, AgentError> {
        let (tls, rules) = (Arc::clone(&self.tls), self.rules.clone());
        let pool = Pool::open(&self.network, &self.settings, pool, seat, tls, rules).await?;
        Ok(self.parts.spawn(pool.run()))
    }
}

/// Before anything else, and left behind at the end: whatever is looked up in the pool's table finds
/// at least the way nowhere.
///
/// # Errors
/// The kernel refuses.
pub async fn fail_closed(network: &Network, pool: &PoolSettings) -> Result<(), NetworkError> {
    close_table(network, pool.table, &pool.direct).await
}

/// [`fail_closed`] for a table.
///
/// # Errors
/// The kernel refuses.
pub async fn close_table(
    network: &Network,
    table: u32,
    direct: &[ipnet::Ipv4Net],
) -> Result<(), NetworkError> {
    network.route(table, EVERYWHERE, Way::Blackhole).await?;
    for net in direct {
        network.route(table, *net, Way::Throw).await?;
    }
    Ok(())
}

fn save(path: &std::path::Path, state: &PoolState) -> Result<(), AgentError> {
    files::write_json(path, state).map_err(|error| AgentError::State {
        path: path.to_owned(),
        error,
    })
}
