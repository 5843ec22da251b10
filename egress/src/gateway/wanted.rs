//! What a gateway is to serve: its file's static IPs and agents, and what the pools of the plane say that
//! name it. A worker's token of the plane is an agent's credential there.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_config::{EgressPool, Millis, Snapshot, TokenRole, View};

use super::settings::{GatewaySettings, ServedAddress, apart};
use crate::credential::{Credentials, SecretHash};
use crate::limits;
use crate::shaping::Rate;
use crate::store::{self, StoreError};

/// The plane that has pools for a gateway.
#[derive(Clone, Debug)]
pub struct Plane {
    /// Admin addresses of control processes.
    pub control: Vec<String>,
    /// The file with an admin's token of the plane.
    pub token_file: PathBuf,
    /// The pools that it serves. None: all that name it.
    pub pools: Vec<String>,
}

/// What is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) addresses: Vec<ServedAddress>,
    pub(super) agents: Credentials,
}

/// The plane's word.
pub(super) struct Followed {
    view: View,
    pools: Vec<String>,
    last: Option<Wanted>,
}

/// A token expires without a change of the store: it is looked for so often.
const EXPIRED: Duration = Duration::from_secs(10);
/// How long what comes one after the other is waited for.
const SETTLES: Duration = Duration::from_millis(200);
/// Longest wait for the plane's first word. After that what there is is served.
const FIRST: Duration = Duration::from_secs(5);

impl Followed {
    /// Follows the plane; a restart without it knows what it said last.
    pub(super) fn start(plane: Plane, settings: &GatewaySettings) -> Result<Self, StoreError> {
        let Plane {
            control,
            token_file,
            pools,
        } = plane;
        // Without it, a restart that the plane is away from serves nothing.
        if let Err(error) = std::fs::create_dir_all(&settings.state_dir) {
            tracing::warn!(%error, "what the plane says is not kept");
        }
        let kept = settings.state_dir.join("plane");
        let name = format!("egress-{}", settings.name);
        let (_, view) = store::follow(&control, &token_file, &name, Some(kept))?;
        Ok(Self {
            view,
            pools,
            last: None,
        })
    }

    /// What is to be served first.
    pub(super) async fn first(&mut self, settings: &GatewaySettings) -> Wanted {
        // What nobody says in time is served once somebody does.
        tokio::time::timeout(FIRST, self.view.changed()).await.ok();
        let wanted = wanted(settings, &self.view.load(), &self.pools, now());
        self.last = Some(wanted.clone());
        wanted
    }

    /// Waits until something else is to be served.
    pub(super) async fn changed(&mut self, settings: &GatewaySettings) -> Wanted {
        loop {
            tokio::time::timeout(EXPIRED, self.view.changed())
                .await
                .ok();
            // A plane that scales changes all the time.
            tokio::time::sleep(SETTLES).await;
            let wanted = wanted(settings, &self.view.load(), &self.pools, now());
            if self.last.as_ref() != Some(&wanted) {
                self.last = Some(wanted.clone());
                return wanted;
            }
        }
    }
}

impl Wanted {
    /// The file's alone.
    pub(super) fn of(settings: &GatewaySettings) -> Self {
        Self {
            addresses: settings.addresses.clone(),
            agents: settings.agents.clone(),
        }
    }
}

/// PURE, but for what it logs: one static IP that can't be served keeps no other from it.
fn wanted(
    settings: &GatewaySettings,
    snapshot: &Snapshot,
    named: &[String],
    now: Millis,
) -> Wanted {
    let mut wanted = Wanted::of(settings);
    let mut pools: Vec<&EgressPool> = snapshot
        .egress_pools()
        .map(|pool| &**pool)
        .filter(|pool| named.is_empty() || named.contains(&pool.name))
        .filter(|pool| {
            let mut gateways = pool.gateways.iter();
            gateways.any(|gateway| gateway.name == settings.name)
        })
        .collect();
    pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for pool in pools {
        for ip in &pool.static_ips {
            let known = wanted.addresses.iter().position(|known| known.ip == *ip);
            let mut address = match known {
                Some(known) => wanted.addresses.remove(known),
                None => match settings.pooled(*ip) {
                    Ok(address) => address,
                    Err(error) => {
                        tracing::error!(%error, static_ip = %ip, "a static IP is not served");
                        continue;
                    }
                },
            };
            address.rate = pool.megabits.map(Rate::megabits);
            address.tenant = pool.tenant.as_str().into();
            wanted.addresses.push(address);
            let full = wanted.addresses.len() > limits::STATIC_IPS;
            if full || apart(&wanted.addresses).is_err() {
                tracing::error!(
                    static_ip = %ip,
                    "a static IP shares its block or port with another one, or is one too many; the \
                     gateway's file may say others for it"
                );
                wanted.addresses.pop();
            }
        }
    }
    wanted.agents = wanted.agents.and(workers(snapshot, now));
    wanted
}

/// Workers' tokens that are good now.
fn workers(snapshot: &Snapshot, now: Millis) -> Credentials {
    let tokens = snapshot.tokens();
    let tokens = tokens.filter(|token| token.role == TokenRole::Worker && !token.is_expired(now));
    let tokens: Vec<_> = tokens.collect();
    Credentials::new(tokens.iter().flat_map(|token| {
        let hashes = token.secrets.iter();
        hashes.map(move |hash| (token.id.as_str().into(), SecretHash::from_bytes(hash.0)))
    }))
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
