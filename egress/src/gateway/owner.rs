//! Which static IPs this gateway owns, and that the kernel and the link know. What is owned is given
//! to the kernel for a few seconds at a time, so a dead process owns nothing for long.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::command;
use crate::network::Network;

/// How long the kernel keeps an address that it isn't told of again.
const VALID: Duration = Duration::from_secs(4);
/// How often it is told.
const AGAIN: Duration = Duration::from_secs(1);
/// A new owner says so this often, since a frame may be lost and caches hold on to what they just
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

/// Puts the epochs in force.
pub(super) struct Owner {
    network: Network,
    uplink: u32,
    uplink_name: String,
    epochs: Epochs,
    /// What the kernel was told, and in which epoch.
    held: BTreeMap<Ipv4Addr, u64>,
}

impl Owner {
    pub(super) const fn new(
        network: Network,
        uplink: u32,
        uplink_name: String,
        epochs: Epochs,
    ) -> Self {
        Self {
            network,
            uplink,
            uplink_name,
            epochs,
            held: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut again = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                _ = again.tick() => {}
                () = self.epochs.0.changed.notified() => {}
            }
            self.apply().await;
        }
    }

    async fn apply(&mut self) {
        let all: Vec<Ipv4Addr> = self.epochs.0.epochs.keys().copied().collect();
        for ip in all {
            let epoch = self.epochs.of(ip);
            let held = self.held.get(&ip).copied();
            if epoch != 0 {
                self.hold(ip, epoch, held).await;
            } else if held.is_some() {
                match self.network.remove_address(self.uplink, ip).await {
                    Ok(()) => _ = self.held.remove(&ip),
                    Err(error) => tracing::error!(%error, "a static IP is not given up"),
                }
            }
        }
    }

    async fn hold(&mut self, ip: Ipv4Addr, epoch: u64, held: Option<u64>) {
        let given = self.network.add_address(self.uplink, ip, Some(VALID)).await;
        if let Err(error) = given {
            tracing::error!(%error, "a static IP is not held");
            return;
        }
        if held != Some(epoch) {
            self.held.insert(ip, epoch);
            tokio::spawn(announce(
                self.uplink_name.clone(),
                ip,
                self.epochs.clone(),
                epoch,
            ));
        }
    }
}

/// Ends after its few frames.
async fn announce(uplink: String, ip: Ipv4Addr, epochs: Epochs, epoch: u64) {
    for _ in 0..ANNOUNCEMENTS {
        if epochs.of(ip) != epoch {
            return;
        }
        if let Err(error) = command::announce(&uplink, ip).await {
            tracing::warn!(%error, static_ip = %ip, "the link was not told of the new owner");
        }
    }
}
