//! How many bytes of exchanges a process may hold that can't go on, and whose they are. Past the limit
//! whoever holds most loses its largest exchanges and gets no new ones until there is room; nobody
//! else notices. Cores count for themselves and meet here a few times a second, never on the path of
//! a request.

mod credit;
mod ledger;

pub(crate) use credit::Credit;
pub use ledger::{Account, Holds, Ledger, Shed, Window};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// On whom bytes are counted. It is the server now; where servers share a tenant it will be that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// A server.
    pub fn server(name: &Arc<str>) -> Self {
        Self(Arc::clone(name))
    }

    /// Its name, for logs.
    pub fn name(&self) -> &str {
        &self.0
    }
}

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
    fn tell(&self, core: usize, held: Held) -> Option<Excess> {
        let mut state = self.lock();
        if let Some(place) = state.cores.get_mut(core) {
            *place = held;
        }
        let total: usize = state.cores.iter().flat_map(HashMap::values).sum();
        self.total.store(total, Ordering::Relaxed);
        // Down to this when it is too much, so that the next few bytes aren't too much again.
        let enough = self.limit / 8 * 7;
        if total <= enough {
            self.refuse(&mut state, None);
        }
        if total <= self.limit {
            return None;
        }
        let (owner, bytes) = state.largest()?;
        let here = state.cores.get(core)?.get(&owner).copied();
        self.refuse(&mut state, Some(&owner));
        let share = (total - enough).min(bytes) as u128 * here? as u128 / bytes.max(1) as u128;
        Some(Excess {
            owner,
            bytes: usize::try_from(share).unwrap_or(usize::MAX),
        })
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

impl State {
    fn largest(&self) -> Option<(Owner, usize)> {
        let mut sums = Held::default();
        for (owner, bytes) in self.cores.iter().flatten() {
            *sums.entry(owner.clone()).or_default() += bytes;
        }
        sums.into_iter().max_by_key(|(_, bytes)| *bytes)
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
        assert_eq!(budget.tell(first, held(&[("a", 300), ("b", 200)])), None);
        // No core sees that alone: "a" has 400, "b" 500.
        let part = budget.tell(second, held(&[("a", 100), ("b", 300)]));
        let pays = |bytes| {
            let owner = owner("b");
            Some(Excess { owner, bytes })
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
        assert!(budget.tell(core, held(&[("a", 801)])).is_some());
        assert_eq!(budget.tell(core, held(&[("a", 750)])), None);
        assert!(budget.refuses(&owner("a")), "nearly full");
        assert_eq!(budget.tell(core, held(&[("a", 700)])), None);
        assert!(!budget.refuses(&owner("a")));
    }

    #[test]
    fn an_owner_never_pays_more_than_it_has() {
        let budget = Budget::new(80);
        let core = budget.join();
        let many: Vec<String> = (0..100).map(|number| format!("s{number}")).collect();
        let mut of: Vec<(&str, usize)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        of.push(("a", 5));
        let part = budget.tell(core, held(&of)).unwrap();
        assert_eq!((part.owner.name(), part.bytes), ("a", 5));
    }
}
