//! What this gateway owns, by whose word, and whether it may go on: shared by whoever is told something
//! and whoever puts it in force. An epoch that was heard of once is never undercut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::fencing::{Fence, Said, Standing};
use crate::wire::Ownership;

/// The epoch in which each static IP is owned here, 0 where it isn't.
#[derive(Clone, Debug)]
pub(super) struct Epochs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    began: Instant,
    /// Where the term is kept.
    path: PathBuf,
}

#[derive(Debug)]
struct State {
    all: BTreeMap<Ipv4Addr, Owned>,
    fence: Fence,
}

/// One static IP here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owned {
    /// The epoch in which it is owned, or 0.
    pub(super) epoch: u64,
    /// The newest epoch in which anybody owns it, as far as is known here.
    pub(super) newest: u64,
    /// The kernel has it.
    pub(super) held: bool,
    /// The other gateways that can hold it.
    pub(super) others: Vec<Ipv4Addr>,
    /// By a reconciler's word, which has to be renewed; not by the settings.
    leased: bool,
}

/// The word of an older reconciler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Older {
    /// The newest term.
    pub(super) term: u64,
}

impl Epochs {
    /// Of these, none of which is owned; the newest term is kept in that file.
    pub(super) fn new(all: impl IntoIterator<Item = Ipv4Addr>, path: PathBuf) -> Self {
        let term = crate::files::read_json(&path).ok().flatten();
        let all = all.into_iter().map(|ip| (ip, Owned::default()));
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                all: all.collect(),
                fence: Fence::new(term.unwrap_or(0)),
            }),
            changed: Notify::new(),
            began: Instant::now(),
            path,
        }))
    }

    /// The epoch in which it is owned here.
    pub(super) fn of(&self, ip: Ipv4Addr) -> u64 {
        self.state().all.get(&ip).map_or(0, |owned| owned.epoch)
    }

    /// Every static IP.
    pub(super) fn all(&self) -> Vec<(Ipv4Addr, Owned)> {
        let state = self.state();
        let all = state.all.iter().map(|(ip, owned)| (*ip, owned.clone()));
        all.collect()
    }

    /// One more static IP, which is not owned.
    pub(super) fn add(&self, ip: Ipv4Addr) {
        self.state().all.entry(ip).or_default();
    }

    /// One less: whoever has it from now on, this gateway does not.
    pub(super) fn remove(&self, ip: Ipv4Addr) {
        self.state().all.remove(&ip);
        self.0.changed.notify_one();
    }

    /// Owns it from the start, by the settings.
    pub(super) fn own(&self, ip: Ipv4Addr) {
        if let Some(owned) = self.state().all.get_mut(&ip) {
            (owned.epoch, owned.newest) = (1, 1);
        }
        self.0.changed.notify_one();
    }

    /// Takes a reconciler's word.
    pub(super) fn set(&self, term: u64, ownerships: Vec<Ownership>) -> Result<(), Older> {
        let mut state = self.state();
        self.takes(&mut state, term)?;
        for ownership in ownerships {
            let Some(owned) = state.all.get_mut(&ownership.static_ip) else {
                continue;
            };
            let epoch = ownership.epoch.unwrap_or(0);
            // Another gateway has it in a newer one: whoever says this will hear of that.
            if epoch != 0 && epoch < owned.newest {
                continue;
            }
            if owned.epoch != epoch {
                tracing::info!(static_ip = %ownership.static_ip, epoch, "ownership of a static IP changed");
            }
            owned.epoch = epoch;
            owned.newest = owned.newest.max(epoch);
            owned.others = ownership.others;
            owned.leased = true;
        }
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Another gateway takes it in that epoch. The newest epoch known here, once the kernel has let go
    /// of it or if it is this gateway's own; nothing before that.
    pub(super) fn yields(&self, term: u64, ip: Ipv4Addr, epoch: u64) -> Option<u64> {
        let mut state = self.state();
        self.takes(&mut state, term).ok()?;
        let Some(owned) = state.all.get_mut(&ip) else {
            return Some(epoch);
        };
        if owned.newest > epoch {
            return Some(owned.newest);
        }
        owned.newest = epoch;
        if owned.epoch != 0 {
            tracing::warn!(static_ip = %ip, epoch, "another gateway takes a static IP");
            owned.epoch = 0;
        }
        let gone = !owned.held;
        drop(state);
        if gone {
            return Some(epoch);
        }
        self.0.changed.notify_one();
        None
    }

    /// Another gateway has it in a newer epoch.
    pub(super) fn lost(&self, ip: Ipv4Addr, newest: u64) {
        if let Some(owned) = self.state().all.get_mut(&ip)
            && owned.epoch < newest
        {
            owned.newest = newest;
            owned.epoch = 0;
        }
    }

    /// The kernel is about to have it, unless it is another one's by now.
    pub(super) fn hold(&self, ip: Ipv4Addr, epoch: u64) -> bool {
        let mut state = self.state();
        let owned = state.all.get_mut(&ip);
        owned.is_some_and(|owned| {
            let still = owned.epoch == epoch;
            owned.held |= still;
            still
        })
    }

    /// The kernel has it no longer.
    pub(super) fn released(&self, ip: Ipv4Addr) {
        if let Some(owned) = self.state().all.get_mut(&ip) {
            owned.held = false;
        }
    }

    /// A reconciler has looked. `true`: it is the leader, answer it.
    pub(super) fn looked(&self, term: u64, nonce: u64, heard: u64) -> bool {
        let now = self.0.began.elapsed();
        let mut state = self.state();
        let known = state.fence.term();
        let leads = state.fence.looked(term, nonce, heard, now);
        if state.fence.term() != known {
            self.keep(state.fence.term());
        }
        leads
    }

    /// The newest term, and whether its reconciler looks at this gateway.
    pub(super) fn leader(&self) -> (u64, bool) {
        let state = self.state();
        (state.fence.term(), state.fence.led(self.0.began.elapsed()))
    }

    /// A reconciler that does not lead asks for how many milliseconds none was heard.
    pub(super) fn watched(&self, nonce: u64) -> u64 {
        let now = self.0.began.elapsed();
        let mut state = self.state();
        state.fence.answers(nonce, now);
        let silent = state.fence.silent(now);
        silent.map_or(u64::MAX, |silent| {
            u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// The others were asked whether they are led.
    pub(super) fn told(&self, all: &[(Ipv4Addr, Said)], asked: Instant) {
        let asked = asked.saturating_duration_since(self.0.began);
        self.state().fence.told(all, asked);
    }

    /// Gives up what it may not go on with. Whom to ask, while that is open.
    pub(super) fn fence(&self) -> Option<BTreeSet<Ipv4Addr>> {
        let mut state = self.state();
        let leased = |owned: &&mut Owned| owned.leased && owned.epoch != 0;
        let others: BTreeSet<Ipv4Addr> = state
            .all
            .values_mut()
            .filter(leased)
            .flat_map(|owned| owned.others.iter().copied())
            .collect();
        if others.is_empty() {
            return None;
        }
        match state.fence.standing(true, self.0.began.elapsed()) {
            Standing::Renewed => None,
            Standing::Asks => Some(others),
            Standing::GivesUp => {
                for owned in state.all.values_mut().filter(leased) {
                    owned.epoch = 0;
                }
                tracing::error!("no reconciler renews this gateway: it gives its static IPs up");
                self.0.changed.notify_one();
                None
            }
        }
    }

    /// Something is owned, or no longer, since the last time.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn takes(&self, state: &mut State, term: u64) -> Result<(), Older> {
        let known = state.fence.term();
        if !state.fence.takes(term) {
            return Err(Older { term: known });
        }
        if term != known {
            self.keep(term);
        }
        Ok(())
    }

    /// A restart must not listen to an older reconciler either.
    fn keep(&self, term: u64) {
        if let Err(error) = crate::files::write_json(&self.0.path, &term) {
            tracing::error!(%error, term, "a restart would not know the reconciler's term");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 101);
    const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

    fn epochs() -> Epochs {
        let name = format!("fprs-term-{:x}", fastrand::u64(..));
        Epochs::new([IP], std::env::temp_dir().join(name).join("term.json"))
    }

    fn owns(epoch: Option<u64>) -> Vec<Ownership> {
        let others = vec![OTHER];
        vec![Ownership {
            static_ip: IP,
            epoch,
            others,
        }]
    }

    #[test]
    fn an_older_reconcilers_moves_do_not_take_effect_even_after_a_restart() {
        let epochs = epochs();
        epochs.set(4, owns(Some(1))).unwrap();
        assert_eq!(epochs.set(3, owns(None)), Err(Older { term: 4 }));
        assert_eq!(epochs.of(IP), 1);
        assert_eq!(epochs.yields(3, IP, 9), None);
        assert_eq!(epochs.of(IP), 1);
        let again = Epochs::new([IP], epochs.0.path.clone());
        assert_eq!(again.set(3, owns(Some(2))), Err(Older { term: 4 }));
        std::fs::remove_dir_all(epochs.0.path.parent().unwrap()).unwrap();
    }

    #[test]
    fn an_address_is_yielded_once_the_kernel_has_let_go_of_it() {
        let epochs = epochs();
        epochs.set(0, owns(Some(1))).unwrap();
        assert!(epochs.hold(IP, 1));
        assert_eq!(epochs.yields(0, IP, 2), None);
        assert_eq!(epochs.of(IP), 0);
        assert!(!epochs.hold(IP, 1), "it is another one's");
        epochs.released(IP);
        assert_eq!(epochs.yields(0, IP, 2), Some(2));
    }

    #[test]
    fn an_epoch_that_another_gateway_has_passed_is_not_gone_back_to() {
        let epochs = epochs();
        assert_eq!(epochs.yields(0, IP, 5), Some(5));
        epochs.set(0, owns(Some(4))).unwrap();
        assert_eq!(epochs.of(IP), 0, "a word that was long under way");
        epochs.set(0, owns(Some(6))).unwrap();
        assert_eq!(epochs.yields(0, IP, 5), Some(6), "told who asks");
        assert_eq!(epochs.of(IP), 6);
        epochs.lost(IP, 7);
        assert_eq!(epochs.of(IP), 0);
    }
}
