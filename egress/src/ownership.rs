//! PURE. Which gateway owns which static IP. A dead gateway's addresses move to the living one that
//! has the fewest, each in a new epoch; a drained one's too, while it still lives. Nothing moves
//! without need, and nothing at all while no other gateway lives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A gateway's name.
pub type GatewayName = Arc<str>;

/// Who owns a static IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The gateway.
    pub gateway: GatewayName,
    /// Counts moves; the higher one is right.
    pub epoch: u64,
}

/// What is wanted of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Looks in a row without an answer.
    pub lost: u32,
    /// It answered at least once.
    pub seen: bool,
    /// It is to own nothing.
    pub draining: bool,
}

impl Health {
    /// Takes one look's answer in.
    pub const fn looked(&mut self, answered: bool) {
        if answered {
            self.lost = 0;
            self.seen = true;
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    const fn alive(self, lost: u32) -> bool {
        self.seen && self.lost < lost
    }

    /// One lost look is no reason to leave it, and a reason not to go there.
    const fn fit(self) -> bool {
        self.seen && self.lost == 0 && !self.draining
    }
}

/// One static IP, and the gateways that can hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The static IP.
    pub ip: Ipv4Addr,
    /// In the order of preference.
    pub gateways: Vec<GatewayName>,
    /// Those of them that are not to own it.
    pub draining: BTreeSet<GatewayName>,
}

/// The static IPs that move, with their new owners. A gateway that did not answer `lost` looks in a row
/// is dead.
pub fn moves(
    addresses: &[Address],
    owners: &BTreeMap<Ipv4Addr, Owner>,
    health: &BTreeMap<GatewayName, Health>,
    lost: u32,
) -> Vec<(Ipv4Addr, Owner)> {
    let of = |name: &GatewayName| health.get(name).copied().unwrap_or_default();
    let mut held: BTreeMap<&GatewayName, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    for (ip, owner) in owners {
        held.entry(&owner.gateway).or_default().insert(*ip);
    }
    let mut moves = Vec::new();
    for address in addresses {
        let owner = owners.get(&address.ip);
        if owner.is_some_and(|owner| {
            let health = of(&owner.gateway);
            // One that was never seen may be older than this process: it gets the same three looks.
            let waits = !health.seen && health.lost < lost;
            let listed = address.gateways.contains(&owner.gateway);
            let drained = health.draining || address.draining.contains(&owner.gateway);
            listed && !drained && (health.alive(lost) || waits)
        }) {
            continue;
        }
        let to = address.gateways.iter();
        let to = to.filter(|name| of(name).fit() && !address.draining.contains(*name));
        let to = to.min_by_key(|name| held.get(name).map_or(0, BTreeSet::len));
        let Some(to) = to else { continue };
        held.entry(to).or_default().insert(address.ip);
        let owner = Owner {
            gateway: Arc::clone(to),
            epoch: owner.map_or(1, |owner| owner.epoch + 1),
        };
        moves.push((address.ip, owner));
    }
    moves
}

/// What a gateway has to be told of a static IP: the epoch in which it owns it, or that it does not.
pub type Correction = (GatewayName, Ipv4Addr, Option<u64>);

/// What gateways have to be told, given what they say that they own: each static IP at each gateway
/// that answered, with its epoch or 0.
pub fn corrections(
    owners: &BTreeMap<Ipv4Addr, Owner>,
    said: &BTreeMap<(GatewayName, Ipv4Addr), u64>,
) -> Vec<Correction> {
    let wrong = said.iter().filter_map(|((gateway, ip), epoch)| {
        let owner = owners.get(ip)?;
        let right = (owner.gateway == *gateway).then_some(owner.epoch);
        (right.unwrap_or(0) != *epoch).then(|| (Arc::clone(gateway), *ip, right))
    });
    wrong.collect()
}

/// Who owns what, as the gateways say it: of two, the one with the later epoch.
pub fn claimed(said: &BTreeMap<(GatewayName, Ipv4Addr), u64>) -> BTreeMap<Ipv4Addr, Owner> {
    let mut owners: BTreeMap<Ipv4Addr, Owner> = BTreeMap::new();
    for ((gateway, ip), epoch) in said.iter().filter(|(_, epoch)| **epoch > 0) {
        if owners.get(ip).is_none_or(|owner| owner.epoch < *epoch) {
            let gateway = Arc::clone(gateway);
            let epoch = *epoch;
            owners.insert(*ip, Owner { gateway, epoch });
        }
    }
    owners
}

#[cfg(test)]
mod tests;
