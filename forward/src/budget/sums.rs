//! PURE. What all cores hold together: by tenant, and of each tenant the server that holds most.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Held, Holder, Owner};

/// What one tenant holds; a server whose tenant nobody knows is one of its own.
#[derive(Debug)]
pub(super) struct Tenancy {
    pub(super) holder: Option<Arc<Holder>>,
    pub(super) bytes: usize,
    /// Its server that holds most, and how much.
    pub(super) largest: (Owner, usize),
}

/// Tenants that hold bytes through owners that are to be counted.
pub(super) fn tenancies(cores: &[Held], counted: impl Fn(&Owner) -> bool) -> Vec<Tenancy> {
    let mut servers: HashMap<&str, (&Owner, usize)> = HashMap::new();
    for (owner, bytes) in cores.iter().flatten().filter(|(owner, _)| counted(owner)) {
        let (known, sum) = servers.entry(owner.name()).or_insert((owner, 0));
        *sum += bytes;
        // The relay's cores in this process know servers only.
        if known.holder().is_none() {
            *known = owner;
        }
    }
    let mut tenants: HashMap<(bool, &str), Tenancy> = HashMap::new();
    for (owner, bytes) in servers.into_values() {
        let holder = owner.holder();
        let name = holder.map_or_else(|| owner.name(), |holder| holder.name());
        let tenancy = tenants
            .entry((holder.is_some(), name))
            .or_insert_with(|| Tenancy {
                holder: holder.map(Arc::clone),
                bytes: 0,
                largest: (Owner::clone(owner), 0),
            });
        tenancy.bytes += bytes;
        if bytes > tenancy.largest.1 {
            tenancy.largest = (Owner::clone(owner), bytes);
        }
    }
    tenants.into_values().collect()
}
