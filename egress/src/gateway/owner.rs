//! Which static IPs this gateway owns, and that the kernel and the link know. What is owned is given
//! to the kernel for a few seconds at a time, so a dead process owns nothing for long.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::announce::Announcer;
use crate::network::Network;

/// How long the kernel keeps an address that it isn't told of again.
const VALID: Duration = Duration::from_secs(4);
/// How often it is told.
const AGAIN: Duration = Duration::from_secs(1);
/// A new owner says so this often, a second apart, since a frame may be lost and caches hold on to what they just
/// learned.
const ANNOUNCEMENTS: u32 = 3;

/// The epoch in which each static IP is owned here, 0 where it isn't.
#[derive(Clone, Debug)]
pub(super) struct Epochs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epochs: BTreeMap<Ipv4Addr, AtomicU64>,
    changed: Notify,
}

impl Epochs {
    /// Of these, none of which is owned.
    pub(super) fn new(all: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        let epochs = all.into_iter().map(|ip| (ip, AtomicU64::new(0)));
        Self(Arc::new(Shared {
            epochs: epochs.collect(),
            changed: Notify::new(),
        }))
    }

    /// The epoch in which it is owned here.
    pub(super) fn of(&self, ip: Ipv4Addr) -> u64 {
        let epoch = self.0.epochs.get(&ip);
        epoch.map_or(0, |epoch| epoch.load(Ordering::Acquire))
    }

    /// Owns it from now on, or no longer. `false`: it is none of this gateway's.
    pub(super) fn set(&self, ip: Ipv4Addr, epoch: Option<u64>) -> bool {
        let Some(known) = self.0.epochs.get(&ip) else {
            return false;
        };
        let epoch = epoch.unwrap_or(0);
        if known.swap(epoch, Ordering::AcqRel) != epoch {
            tracing::info!(static_ip = %ip, epoch, "ownership of a static IP changed");
            self.0.changed.notify_one();
        }
        true
    }
}

/// What the kernel was told of a static IP.
#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u64,
    /// How often the link was told.
    announced: u32,
}

/// Puts the epochs in force.
pub(super) struct Owner {
    network: Network,
    uplink: u32,
    announcer: Announcer,
    epochs: Epochs,
    held: BTreeMap<Ipv4Addr, Held>,
}

impl Owner {
    pub(super) const fn new(
        network: Network,
        uplink: u32,
        announcer: Announcer,
        epochs: Epochs,
    ) -> Self {
        Self {
            network,
            uplink,
            announcer,
            epochs,
            held: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut again = tokio::time::interval(AGAIN);
        loop {
            let all = tokio::select! {
                _ = again.tick() => true,
                () = self.epochs.0.changed.notified() => false,
            };
            self.apply(all).await;
        }
    }

    /// Puts what changed in force, or all of it again.
    async fn apply(&mut self, again: bool) {
        let all: Vec<Ipv4Addr> = self.epochs.0.epochs.keys().copied().collect();
        for ip in all {
            let epoch = self.epochs.of(ip);
            let held = self.held.get(&ip).copied();
            if epoch != 0 {
                if again || held.is_none_or(|held| held.epoch != epoch) {
                    self.hold(ip, epoch, held).await;
                }
            } else if held.is_some() {
                match self.network.remove_address(self.uplink, ip).await {
                    Ok(()) => _ = self.held.remove(&ip),
                    Err(error) => tracing::error!(%error, "a static IP is not given up"),
                }
            }
        }
    }

    async fn hold(&mut self, ip: Ipv4Addr, epoch: u64, held: Option<Held>) {
        let given = self.network.add_address(self.uplink, ip, Some(VALID)).await;
        if let Err(error) = given {
            tracing::error!(%error, "a static IP is not held");
            return;
        }
        let known = held.filter(|held| held.epoch == epoch);
        let announced = known.map_or(0, |held| held.announced);
        if announced < ANNOUNCEMENTS
            && let Err(error) = self.announcer.announce(ip)
        {
            tracing::warn!(%error, static_ip = %ip, "the link was not told of the new owner");
        }
        let announced = announced.saturating_add(1);
        self.held.insert(ip, Held { epoch, announced });
    }
}
