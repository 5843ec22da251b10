//! Puts in force what this gateway owns: the kernel and the link know it. What is owned is given to the
//! kernel for a few seconds at a time, so a dead process owns nothing for long; what another gateway
//! may still hold is taken once it has let go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::epochs::{Epochs, Owned};
use super::{company, yielding};
use crate::announce::Announcer;
use crate::limits;
use crate::network::Network;
use crate::word::Seal;

/// How long the kernel keeps an address that it isn't told of again.
const VALID: Duration = Duration::from_secs(4);
/// How often it is told, in looks at whether it may be held at all.
const AGAIN: u32 = 20;
/// A new owner says so this often, a second apart, since a frame may be lost and caches hold on to what they just
/// learned.
const ANNOUNCEMENTS: u32 = 3;

/// What the kernel was told of a static IP.
#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u64,
    /// How often the link was told.
    announced: u32,
}

/// Puts the epochs in force.
pub(super) struct Owner {
    pub(super) network: Network,
    pub(super) uplink: u32,
    pub(super) announcer: Announcer,
    pub(super) epochs: Epochs,
    pub(super) seal: Seal,
    pub(super) node: Ipv4Addr,
    /// These are answered for by whom a cloud says: the kernel and the link have no part in that.
    pub(super) mapped: BTreeSet<Ipv4Addr>,
}

impl Owner {
    pub(super) async fn run(self) {
        let mut fence = tokio::time::interval(limits::FENCE_EVERY);
        fence.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut held = BTreeMap::new();
        let mut looks: u32 = 0;
        loop {
            let again = tokio::select! {
                _ = fence.tick() => {
                    self.fence();
                    looks = looks.wrapping_add(1);
                    looks.is_multiple_of(AGAIN)
                }
                () = self.epochs.changed() => false,
            };
            self.apply(&mut held, again).await;
        }
    }

    /// Asks the others, where no reconciler renews what is held.
    fn fence(&self) {
        let Some(others) = self.epochs.fence() else {
            return;
        };
        let (epochs, seal, node) = (self.epochs.clone(), self.seal.clone(), self.node);
        // Beside what changes the kernel, which waits for other gateways.
        tokio::spawn(async move {
            let (term, _) = epochs.leader();
            let asked = Instant::now();
            let said = company::ask(&seal, node, term, others).await;
            epochs.told(&said, asked);
        });
    }

    /// Puts what changed in force, or all of it again.
    async fn apply(&self, held: &mut BTreeMap<Ipv4Addr, Held>, again: bool) {
        let mut all = self.epochs.all();
        all.retain(|(ip, _)| !self.mapped.contains(ip));
        let owned = |(ip, owned): &(Ipv4Addr, Owned)| (owned.epoch != 0).then_some(*ip);
        let owned: BTreeSet<Ipv4Addr> = all.iter().filter_map(owned).collect();
        let gone = held.keys().filter(|ip| !owned.contains(ip));
        let gone: Vec<Ipv4Addr> = gone.copied().collect();
        for ip in gone {
            match self.network.remove_address(self.uplink, ip).await {
                Ok(()) => {
                    held.remove(&ip);
                    self.epochs.released(ip);
                }
                Err(error) => tracing::error!(%error, "a static IP is not given up"),
            }
        }
        let new: Vec<&(Ipv4Addr, Owned)> = all
            .iter()
            .filter(|(ip, owned)| owned.epoch != 0 && !held.contains_key(ip))
            .collect();
        self.others_yield(&new).await;
        for (ip, owned) in all.iter().filter(|(_, owned)| owned.epoch != 0) {
            let known = held.get(ip).copied();
            let changed = known.is_none_or(|held| held.epoch != owned.epoch);
            // It may be another one's by now; who asks from here on waits until the kernel lets go.
            if (again || changed) && self.epochs.hold(*ip, owned.epoch) {
                self.hold(held, *ip, owned.epoch, known).await;
            }
        }
    }

    async fn others_yield(&self, new: &[&(Ipv4Addr, Owned)]) {
        let mut asked: BTreeMap<Ipv4Addr, Vec<yielding::Taken>> = BTreeMap::new();
        for (ip, owned) in new {
            for other in &owned.others {
                asked.entry(*other).or_default().push((*ip, owned.epoch));
            }
        }
        let (term, _) = self.epochs.leader();
        for (ip, newest) in yielding::ask(&self.seal, self.node, term, asked).await {
            tracing::warn!(static_ip = %ip, newest, "another gateway has a static IP by a newer word");
            self.epochs.lost(ip, newest);
        }
    }

    async fn hold(
        &self,
        held: &mut BTreeMap<Ipv4Addr, Held>,
        ip: Ipv4Addr,
        epoch: u64,
        known: Option<Held>,
    ) {
        let given = self.network.add_address(self.uplink, ip, Some(VALID)).await;
        if let Err(error) = given {
            tracing::error!(%error, "a static IP is not held");
            if known.is_none() {
                self.epochs.released(ip);
            }
            return;
        }
        let known = known.filter(|held| held.epoch == epoch);
        let announced = known.map_or(0, |held| held.announced);
        if announced < ANNOUNCEMENTS
            && let Err(error) = self.announcer.announce(ip)
        {
            tracing::warn!(%error, static_ip = %ip, "the link was not told of the new owner");
        }
        let announced = announced.saturating_add(1);
        held.insert(ip, Held { epoch, announced });
    }
}
