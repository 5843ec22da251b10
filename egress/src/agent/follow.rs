//! Which pools the plane has for this agent: asked of control every second, as anybody may who sees pools,
//! since agents are on every worker and what they hold is no admin's. While control is away, what it said
//! last holds, after a restart of the agent, too.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::settings::{AgentSettings, PoolSettings};
use super::{PoolState, state_path};
use crate::cloud::http::exchange;
use crate::tunnel::Engine;
use crate::{files, limits};

/// The plane that has the pools.
#[derive(Clone, Debug)]
pub struct Plane {
    /// Admin addresses of control processes.
    pub control: Vec<String>,
    /// The file with a viewer's token of the plane.
    pub token_file: PathBuf,
    /// The pools that this agent has tunnels to.
    pub pools: Vec<String>,
}

/// How often control is asked: a change is in force twice as late.
const EVERY: Duration = Duration::from_secs(1);

/// A pool, as control lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    name: String,
    static_ips: Vec<Ipv4Addr>,
    gateways: Vec<ListedGateway>,
    policy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ListedGateway {
    control: SocketAddr,
}

/// What control said last.
pub(super) struct Followed {
    listed: watch::Receiver<Vec<Listed>>,
    own: Own,
}

/// What is this agent's own to decide.
#[derive(Clone, Debug)]
struct Own {
    identity: String,
    state_dir: PathBuf,
    tables: u32,
    taken: Vec<u32>,
    direct: Vec<ipnet::Ipv4Net>,
    engine: Engine,
    pools: Vec<String>,
}

impl Followed {
    /// Starts to ask.
    pub(super) fn start(plane: Plane, settings: &AgentSettings) -> Self {
        let path = settings.state_dir.join("plane.json");
        let kept = files::read_json(&path).ok().flatten();
        let (tell, listed) = watch::channel(kept.unwrap_or_default());
        let own = Own {
            identity: settings.identity.clone(),
            state_dir: settings.state_dir.clone(),
            tables: settings.tables,
            taken: settings.pools.iter().map(|pool| pool.table).collect(),
            direct: settings.direct.clone(),
            engine: settings.engine.clone(),
            pools: plane.pools.clone(),
        };
        tokio::spawn(follow(plane, path, tell));
        Self { listed, own }
    }

    /// Waits until it says something else.
    pub(super) async fn changed(&mut self) {
        if self.listed.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// The pools, as this agent opens them.
    pub(super) fn pools(&self) -> Vec<PoolSettings> {
        let known = |name: &str| {
            let state = files::read_json::<PoolState>(&state_path(&self.own.state_dir, name));
            state.ok().flatten().map(|state| state.table)
        };
        self.own.pools(&self.listed.borrow(), known)
    }
}

impl Own {
    fn pools(&self, listed: &[Listed], known: impl Fn(&str) -> Option<u32>) -> Vec<PoolSettings> {
        // Bindings hang on a pool's table: it stays.
        let mut tables: BTreeMap<&str, u32> = BTreeMap::new();
        for name in &self.pools {
            tables.extend(known(name).map(|table| (name.as_str(), table)));
        }
        let mut pools = Vec::new();
        for name in &self.pools {
            let Some(pool) = listed.iter().find(|pool| pool.name == *name) else {
                continue;
            };
            let taken = |table: &u32| {
                self.taken.contains(table) || tables.values().any(|known| known == table)
            };
            let free = (self.tables..).find(|table| !taken(table));
            let Some(table) = tables.get(name.as_str()).copied().or(free) else {
                continue;
            };
            tables.insert(name, table);
            pools.extend(self.pool(pool, table));
        }
        pools
    }

    fn pool(&self, pool: &Listed, table: u32) -> Option<PoolSettings> {
        let mut ips = pool.static_ips.clone();
        // An address that comes or goes changes the place of those agents alone that it is about.
        ips.sort_by_key(|ip| std::cmp::Reverse(self.weight(*ip)));
        let (first, others) = ips.split_first()?;
        let prefers = pool.policy == "prefer-available";
        let others = others.iter().filter(|_| prefers).take(OTHERS);
        Some(PoolSettings {
            name: pool.name.clone(),
            static_ip: *first,
            others: others.copied().collect(),
            table,
            direct: self.direct.clone(),
            gateways: pool.gateways.iter().map(|known| known.control).collect(),
            engine: self.engine.clone(),
        })
    }

    fn weight(&self, ip: Ipv4Addr) -> [u8; 8] {
        let text = format!("{}\0{ip}", self.identity);
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        digest.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// Other addresses that an agent has a place at: each takes one of 62 there.
const OTHERS: usize = 1;

async fn follow(plane: Plane, path: PathBuf, tell: watch::Sender<Vec<Listed>>) {
    let mut again = tokio::time::interval(EVERY);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        again.tick().await;
        let listed = match ask(&plane).await {
            Ok(listed) => listed,
            Err(why) => {
                tracing::warn!(why, "control does not say which pools there are");
                continue;
            }
        };
        let changed = tell.send_if_modified(|known| {
            let changed = *known != listed;
            known.clone_from(&listed);
            changed
        });
        if changed && let Err(error) = files::write_json(&path, &listed) {
            tracing::error!(%error, "a restart without control would not know the pools");
        }
        if tell.is_closed() {
            return;
        }
    }
}

/// Asks the first control process that answers.
async fn ask(plane: &Plane) -> Result<Vec<Listed>, String> {
    let token = tokio::fs::read_to_string(&plane.token_file).await;
    let token = token.map_err(|error| format!("`{}`: {error}", plane.token_file.display()))?;
    let mut failed = "no control process is named".to_owned();
    for control in &plane.control {
        let asked = tokio::time::timeout(limits::CONTROL, list(control, token.trim())).await;
        match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(listed) => return Ok(listed),
            Err(why) => failed = format!("{control}: {why}"),
        }
    }
    Err(failed)
}

async fn list(control: &str, token: &str) -> Result<Vec<Listed>, String> {
    let stream = TcpStream::connect(control).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let request = Request::get("/v1/egress/pools")
        .header(header::HOST, control)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::new(Bytes::new()));
    let request = request.map_err(|error| error.to_string())?;
    let (status, body) = exchange(stream, request).await?;
    if !status.is_success() {
        let said: String = body.chars().take(200).collect();
        return Err(format!("{status}: {said}"));
    }
    serde_json::from_str(&body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(identity: &str) -> Own {
        Own {
            identity: identity.into(),
            state_dir: "/run/fprs".into(),
            tables: 51_901,
            taken: vec![51_901],
            direct: Vec::new(),
            engine: Engine::InProcess,
            pools: vec!["a".into(), "b".into()],
        }
    }

    fn listed(name: &str, ips: std::ops::Range<u8>, policy: &str) -> Listed {
        Listed {
            name: name.into(),
            static_ips: ips.map(|n| Ipv4Addr::new(203, 0, 113, n)).collect(),
            gateways: vec![ListedGateway {
                control: "203.0.113.1:8443".parse().unwrap(),
            }],
            policy: policy.into(),
        }
    }

    #[test]
    fn a_pool_keeps_its_table_and_a_new_one_gets_a_free_one() {
        let all = [
            listed("b", 1..2, "strict"),
            listed("a", 2..3, "strict"),
            listed("c", 3..4, "strict"),
        ];
        let known = |name: &str| (name == "b").then_some(51_902);
        let pools = own("w").pools(&all, known);
        let tables: Vec<_> = pools
            .iter()
            .map(|pool| (pool.name.as_str(), pool.table))
            .collect();
        assert_eq!(tables, [("a", 51_903), ("b", 51_902)]);
    }

    #[test]
    fn agents_spread_over_a_pools_addresses_and_few_move_when_one_comes() {
        let address = |n: u32, ips: std::ops::Range<u8>| {
            let own = own(&format!("w{n}"));
            own.pool(&listed("a", ips, "strict"), 1).unwrap().static_ip
        };
        let (mut moved, mut counted) = (0, BTreeMap::<Ipv4Addr, u32>::new());
        for n in 0..300 {
            let before = address(n, 1..4);
            *counted.entry(before).or_default() += 1;
            moved += u32::from(before != address(n, 1..5));
        }
        assert!(
            counted.values().all(|count| (60..=140).contains(count)),
            "{counted:?}"
        );
        assert!(moved < 120, "{moved} of 300");
    }

    #[test]
    fn only_a_pool_that_prefers_what_is_available_has_others() {
        let others = |policy| own("w").pool(&listed("a", 1..4, policy), 1).unwrap().others;
        assert_eq!(others("strict"), Vec::<Ipv4Addr>::new());
        assert_eq!(others("prefer-available").len(), OTHERS);
        assert_eq!(own("w").pool(&listed("a", 1..1, "strict"), 1), None);
    }
}
