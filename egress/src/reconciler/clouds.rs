//! Keeps a cloud's idea of where static IPs are in step with who owns them. The cloud is asked again and
//! again, and at once when an owner changes; only the leader asks, and stops when it no longer is one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

use crate::client::GatewayClient;
use crate::cloud::{Place, Provider};
use crate::wire::GatewayStatus;

/// How often the cloud is asked while nothing changes.
const AGAIN: Duration = Duration::from_secs(5);
/// How long what the reconciler said last holds: one that leads says it eight times a second.
const HOLDS: Duration = Duration::from_secs(1);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Who owns what the cloud moves.
#[derive(Clone)]
pub(super) struct Owned {
    pub(super) term: u64,
    pub(super) secret: String,
    pub(super) tls: Arc<ClientConfig>,
    /// Control of the owner of each.
    pub(super) gateways: BTreeMap<Ipv4Addr, SocketAddr>,
}

/// What is wanted of the cloud.
pub(super) struct Wanted(watch::Sender<Option<(Instant, Owned)>>);

impl Wanted {
    /// From now on this.
    pub(super) fn want(&self, owned: Owned) {
        let now = Instant::now();
        self.0.send_if_modified(|known| {
            let same = known.as_ref().is_some_and(|(_, known)| {
                (known.term, &known.gateways) == (owned.term, &owned.gateways)
            });
            *known = Some((now, owned));
            !same
        });
    }
}

/// Asks that provider until the process ends.
pub(super) fn start(provider: impl Provider + 'static) -> Wanted {
    let (wanted, told) = watch::channel(None);
    tokio::spawn(follow(provider, told));
    Wanted(wanted)
}

async fn follow(provider: impl Provider, mut told: watch::Receiver<Option<(Instant, Owned)>>) {
    let mut wait = AGAIN;
    loop {
        match tokio::time::timeout(wait, told.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return,
        }
        wait = AGAIN;
        let owned = told.borrow_and_update().clone();
        let Some((said, owned)) = owned else { continue };
        if said.elapsed() > HOLDS {
            continue;
        }
        if let Err(why) = put(&provider, &owned).await {
            tracing::error!(
                why,
                "static IPs are not where they should be in the cloud; trying again"
            );
            wait = RETRY;
        }
    }
}

/// Owners know by which interface and address they can be reached.
async fn put(provider: &impl Provider, owned: &Owned) -> Result<(), String> {
    let mut places = BTreeMap::new();
    let mut unknown = None;
    let gateways: std::collections::BTreeSet<_> = owned.gateways.values().copied().collect();
    for control in gateways {
        let client = GatewayClient::new(control, Arc::clone(&owned.tls), &owned.secret);
        let status: GatewayStatus = match client.get("/v1/status").await {
            Ok(status) => status,
            Err(error) => {
                unknown = Some(error.to_string());
                continue;
            }
        };
        for address in status.static_ips {
            if owned.gateways.get(&address.static_ip) != Some(&control) {
                continue;
            }
            match address.interface {
                Some(interface) => {
                    let local = address.local;
                    places.insert(address.static_ip, Place { interface, local });
                }
                None => {
                    unknown = Some(format!(
                        "{} does not know the interface of {}, which stands for {}",
                        status.gateway, address.local, address.static_ip
                    ));
                }
            }
        }
    }
    let put = provider.put(&places).await;
    put.map_err(|error| error.to_string())?;
    unknown.map_or(Ok(()), Err)
}
