//! How many bytes of exchanges a process may hold that can't go on, and whose they are. Past the limit
//! the tenant that holds most loses the largest exchanges of its server that holds most, which gets no
//! new ones until there is room; nobody else notices. Past a tenant's own limit the same happens to it
//! alone. Cores count for themselves and meet here a few times a second, never on the path of
//! a request.

mod credit;
mod holder;
mod ledger;
mod sums;

pub(crate) use credit::Credit;
pub use holder::{Holder, Owner};
pub use ledger::{Account, Holds, Ledger, Shed, Window};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::sums::{Tenancy, tenancies};

/// Bytes held, by owner.
type Held = HashMap<Owner, usize, foldhash::fast::RandomState>;

/// The account of one process.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    total: AtomicUsize,
    shed: AtomicU64,
    /// Somebody gets no new exchanges; see `State::refused` for whom.
    over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What each core held when it looked last.
    cores: Vec<Held>,
    refused: Option<Owner>,
    /// Tenants over their own limits.
    over: Vec<Arc<Holder>>,
}

/// What one core is to let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excess {
    owner: Owner,
    bytes: usize,
}

impl Budget {
    /// An account with that limit, in bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            total: AtomicUsize::new(0),
            shed: AtomicU64::new(0),
            over: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// Bytes held by exchanges that can't go on, a moment ago.
    pub fn held(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// How many may be.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Exchanges that were ended to get below the limit.
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// This owner holds most, and the process too much: it gets no new exchange now.
    pub fn refuses(&self, owner: &Owner) -> bool {
        self.over.load(Ordering::Relaxed) && self.lock().refused.as_ref() == Some(owner)
    }

    /// One more core counts; what it is to be known by.
    fn join(&self) -> usize {
        let mut state = self.lock();
        state.cores.push(Held::default());
        state.cores.len() - 1
    }

    /// Takes what a core holds now, and says what it is to let go of.
    fn tell(&self, core: usize, held: Held) -> Vec<Excess> {
        let mut state = self.lock();
        if let Some(place) = state.cores.get_mut(core) {
            *place = held;
        }
        let mut excesses = state.of_tenants(core);
        let total: usize = state.cores.iter().flat_map(HashMap::values).sum();
        self.total.store(total, Ordering::Relaxed);
        if total <= enough(self.limit) {
            self.refuse(&mut state, None);
        }
        if total > self.limit
            && let Some((owner, bytes)) = state.largest()
        {
            self.refuse(&mut state, Some(&owner));
            excesses.extend(state.part(core, owner, bytes, total - enough(self.limit)));
        }
        excesses
    }

    fn refuse(&self, state: &mut State, owner: Option<&Owner>) {
        if state.refused.as_ref() == owner {
            return;
        }
        if let Some(owner) = owner {
            tracing::warn!(
                owner = owner.name(),
                limit = self.limit,
                "the buffer limit is reached: its largest exchanges are ended, and no new ones begun"
            );
        }
        state.refused = owner.cloned();
        self.over.store(owner.is_some(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; what is in it would be whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Down to this when it is too much, so that the next few bytes aren't too much again.
const fn enough(limit: usize) -> usize {
    limit / 8 * 7
}

impl State {
    /// The server that holds most, of the tenant that holds most.
    fn largest(&self) -> Option<(Owner, usize)> {
        tenancies(&self.cores, |_| true)
            .into_iter()
            .max_by_key(|tenancy| tenancy.bytes)
            .map(|tenancy| tenancy.largest)
    }

    /// What a core is to let go of for tenants over their own limits; tells those tenants.
    fn of_tenants(&mut self, core: usize) -> Vec<Excess> {
        let limit = |owner: &Owner| owner.holder()?.limit();
        let tenancies = tenancies(&self.cores, |owner| limit(owner).is_some());
        let before = std::mem::take(&mut self.over);
        let mut excesses = Vec::new();
        for Tenancy {
            holder,
            bytes,
            largest: (owner, most),
        } in tenancies
        {
            let (Some(holder), Some(limit)) = (holder, limit(&owner)) else {
                continue;
            };
            let stays = |over: &Arc<Holder>| over.name() == holder.name();
            if bytes > limit {
                excesses.extend(self.part(core, owner, most, bytes - enough(limit)));
            } else if bytes <= enough(limit) || !before.iter().any(stays) {
                continue;
            }
            holder.set_over(true);
            self.over.push(holder);
        }
        for holder in before {
            if !self.over.iter().any(|over| Arc::ptr_eq(over, &holder)) {
                holder.set_over(false);
            }
        }
        excesses
    }

    /// A core's part of the bytes that an owner, which holds `bytes` in all cores, is to let go of.
    fn part(&self, core: usize, owner: Owner, bytes: usize, excess: usize) -> Option<Excess> {
        let here = self.cores.get(core)?.get(&owner).copied()?;
        let share = excess.min(bytes) as u128 * here as u128 / bytes.max(1) as u128;
        Some(Excess {
            owner,
            bytes: usize::try_from(share).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::server(&name.into())
    }

    fn held(of: &[(&str, usize)]) -> Held {
        of.iter()
            .map(|(name, bytes)| (owner(name), *bytes))
            .collect()
    }

    #[test]
    fn whoever_holds_most_in_all_cores_pays_and_each_core_its_part() {
        let budget = Budget::new(800);
        let (first, second) = (budget.join(), budget.join());
        assert_eq!(budget.tell(first, held(&[("a", 300), ("b", 200)])), []);
        // No core sees that alone: "a" has 400, "b" 500.
        let part = budget.tell(second, held(&[("a", 100), ("b", 300)]));
        let pays = |bytes| {
            let owner = owner("b");
            [Excess { owner, bytes }]
        };
        assert_eq!(part, pays(120), "3 of 5 parts of the 200 above 700");
        let part = budget.tell(first, held(&[("a", 300), ("b", 200)]));
        assert_eq!(part, pays(80));
        assert!(budget.refuses(&owner("b")) && !budget.refuses(&owner("a")));
        assert_eq!(budget.held(), 900);
    }

    #[test]
    fn it_is_refused_until_there_is_room_again() {
        let budget = Budget::new(800);
        let core = budget.join();
        assert_eq!(budget.tell(core, held(&[("a", 801)])).len(), 1);
        assert_eq!(budget.tell(core, held(&[("a", 750)])), []);
        assert!(budget.refuses(&owner("a")), "nearly full");
        assert_eq!(budget.tell(core, held(&[("a", 700)])), []);
        assert!(!budget.refuses(&owner("a")));
    }

    #[test]
    fn an_owner_never_pays_more_than_it_has() {
        let budget = Budget::new(80);
        let core = budget.join();
        let many: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
        let mut of: Vec<(&str, usize)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        of.push(("a", 5));
        let parts = budget.tell(core, held(&of));
        assert_eq!((parts[0].owner.name(), parts[0].bytes), ("a", 5));
    }

    #[test]
    fn the_tenant_that_holds_most_pays_however_many_servers_it_has() {
        let budget = Budget::new(800);
        let core = budget.join();
        let (many, one) = (Holder::new(&"many".into()), Holder::new(&"one".into()));
        let mut held: Held = (0..6)
            .map(|number| (Owner::of(&format!("s{number}").into(), &many), 90))
            .collect();
        held.insert(Owner::of(&"largest".into(), &many), 100);
        held.insert(Owner::of(&"other".into(), &one), 200);
        let parts = budget.tell(core, held);
        assert_eq!(parts[0].owner.name(), "largest");
        assert!(!many.is_over(), "it has no limit of its own");
    }

    #[test]
    fn a_tenant_is_held_to_its_own_limit_alone() {
        let budget = Budget::new(10_000);
        let (first, second) = (budget.join(), budget.join());
        let tenant = Holder::new(&"t".into());
        let held = |bytes| -> Held {
            let own = Owner::of(&"a".into(), &tenant);
            [(own, bytes), (owner("b"), 3_000)].into_iter().collect()
        };
        assert_eq!(budget.tell(first, held(600)), []);
        tenant.set_limit(Some(800));
        let parts = budget.tell(second, held(300));
        let of_a = |bytes| Excess {
            owner: owner("a"),
            bytes,
        };
        assert_eq!(parts, [of_a(66)], "a third of the 200 above 700");
        assert!(tenant.is_over());
        assert_eq!(budget.tell(first, held(600)), [of_a(133)]);
        assert_eq!(budget.tell(first, held(450)), []);
        assert!(tenant.is_over(), "nearly full");
        assert_eq!(budget.tell(first, held(400)), []);
        assert!(!tenant.is_over());
        assert_eq!(budget.tell(first, held(501)).len(), 1);
        tenant.set_limit(None);
        assert!(!tenant.is_over());
        assert_eq!(budget.tell(first, held(3_000)), []);
    }

    #[test]
    fn a_tenant_that_holds_nothing_any_more_is_over_no_limit() {
        let budget = Budget::new(10_000);
        let core = budget.join();
        let tenant = Holder::new(&"t".into());
        tenant.set_limit(Some(8));
        let held = [(Owner::of(&"a".into(), &tenant), 9)];
        assert_eq!(budget.tell(core, held.into_iter().collect()).len(), 1);
        assert!(tenant.is_over());
        budget.tell(core, Held::default());
        assert!(!tenant.is_over());
    }
}
