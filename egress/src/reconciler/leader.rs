//! Which reconciler leads: the one that holds the lease in the store. It stops before the lease can end,
//! by its own clock; its term goes with everything it says, and gateways refuse an older one. One that no
//! gateway hears is relieved before its lease ends. While the store is away nobody leads for long, and
//! nothing moves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_config::candidate::{Candidate, RENEW_MS, TTL_MS};
use fprs_config::{
    CommitError, Expectation, Key, Kind, Lease, Millis, Record, Revision, SharedStore, View,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::settings::StoreSettings;
use super::{Pools, ReconcilerError};
use crate::{limits, store};

/// The lease's name.
const NAME: &str = "egress";
/// A leader stops so long before its lease ends: its clock may be slower than another one's.
const MARGIN: Duration = Duration::from_millis(200);

/// A time in which this reconciler leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    /// Counts leaders.
    pub(super) number: u64,
    until: Instant,
}

impl Term {
    /// Of a reconciler without a store, which leads alone.
    pub(super) fn endless() -> Option<Self> {
        let until = Instant::now().checked_add(Duration::from_secs(u64::from(u32::MAX)))?;
        Some(Self { number: 0, until })
    }

    /// It is not over.
    pub(super) fn lasts(self) -> bool {
        Instant::now() < self.until
    }
}

/// What a reconciler knows of the store.
#[derive(Clone, Debug)]
pub(super) struct Following {
    view: View,
    term: watch::Receiver<Option<Term>>,
    /// The term of a leader that no gateway hears.
    silent: watch::Sender<u64>,
}

impl Following {
    /// Follows the store, and wants the lease; until the process ends.
    pub(super) fn start(settings: &StoreSettings) -> Result<Self, ReconcilerError> {
        let StoreSettings {
            control,
            token_file,
            holder,
        } = settings;
        let (store, view) = store::follow(control, token_file, holder, None)?;
        let (told, term) = watch::channel(None);
        let (silent, heard) = watch::channel(0);
        // The lease says where its holder answers; this one answers nobody.
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let campaign = Campaign {
            candidate: Candidate::new(NAME, settings.holder.clone(), nowhere),
            store,
            view: view.clone(),
            term: told,
            silent: heard,
            began: Instant::now(),
            known: (0, Instant::now()),
        };
        tokio::spawn(campaign.run());
        Ok(Self { view, term, silent })
    }

    /// The term in which this reconciler leads now.
    pub(super) fn term(&self) -> Option<Term> {
        let term = *self.term.borrow();
        term.filter(|term| term.lasts())
    }

    /// Waits until this reconciler leads, in no older term than that.
    pub(super) async fn leads(&self, oldest: u64) {
        let mut term = self.term.clone();
        let leads =
            |term: &Option<Term>| term.is_some_and(|term| term.number >= oldest && term.lasts());
        if term.wait_for(leads).await.is_err() {
            // Nothing makes it lead any more.
            std::future::pending().await
        }
    }

    /// The term of the lease, whoever holds it.
    pub(super) fn leased(&self) -> Option<u64> {
        self.view.load().lease(NAME).map(|lease| lease.epoch)
    }

    /// No gateway hears the leader of that term: whoever waits may relieve it.
    pub(super) fn silent(&self, term: u64) {
        self.silent.send_replace(term);
    }

    /// The pools, once the store was heard.
    pub(super) fn pools(&self) -> Pools {
        Pools::of(&self.view.load())
    }
}

struct Campaign {
    candidate: Candidate,
    store: SharedStore,
    view: View,
    term: watch::Sender<Option<Term>>,
    silent: watch::Receiver<u64>,
    began: Instant,
    /// The newest term in the store, and since when it is known.
    known: (u64, Instant),
}

/// A lease that is held, and the revision that it was written in.
struct Held(Lease, Revision);

impl Campaign {
    async fn run(mut self) {
        loop {
            let mut held = self.take().await;
            tracing::info!(term = held.0.epoch, "this reconciler leads");
            while self.renew(&mut held).await {
                let relieved = self.relieved(held.0.epoch);
                let again = Duration::from_millis(RENEW_MS);
                if tokio::time::timeout(again, relieved).await.is_ok() {
                    break;
                }
            }
            self.term.send_replace(None);
            tracing::warn!(term = held.0.epoch, "this reconciler leads no longer");
        }
    }

    /// Waits until the lease is free, and takes it.
    async fn take(&mut self) -> Held {
        loop {
            // Woken by word of a silent leader.
            let again = tokio::time::timeout(limits::RECONCILE_EVERY, self.silent.changed());
            let silent = matches!(again.await, Ok(Ok(())));
            let snapshot = self.view.load();
            // Nothing is known of a lease before the store was heard.
            if snapshot.revision() == Revision(0) {
                continue;
            }
            let key = Key::new(Kind::Lease, NAME);
            let known = snapshot.lease(NAME).map(AsRef::as_ref);
            let known = known.zip(snapshot.written(&key));
            let began = Instant::now();
            let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let take = self.candidate.take(known, now_ms, unix_ms());
            let take = take.or_else(|| self.relieve(known.map(|(lease, _)| lease)?, silent));
            let Some(lease) = take else { continue };
            let revision = known.map(|(_, revision)| revision);
            match self.commit(&lease, revision).await {
                Ok(revision) => {
                    self.leads(&lease, began);
                    return Held(lease, revision);
                }
                Err(error) => tracing::debug!(%error, "the lease could not be taken"),
            }
        }
    }

    /// The lease to write in place of a leader's that no gateway hears. Its word counts for nothing at
    /// gateways that have heard of a newer term, and it stops when it can't renew.
    fn relieve(&mut self, held: &Lease, silent: bool) -> Option<Lease> {
        if self.known.0 != held.epoch {
            self.known = (held.epoch, Instant::now());
        }
        let (term, since) = self.known;
        let settled = since.elapsed() >= limits::LEADER_SETTLES;
        if !silent || !settled || *self.silent.borrow() != term {
            return None;
        }
        tracing::warn!(term, "no gateway hears the leader: it is relieved");
        self.candidate.relieve(held, unix_ms())
    }

    /// Waits until the store has a newer term.
    async fn relieved(&self, term: u64) {
        let mut view = self.view.clone();
        let newer = |view: &View| {
            view.load()
                .lease(NAME)
                .is_some_and(|lease| lease.epoch > term)
        };
        while !newer(&view) {
            if view.changed().await.is_none() {
                std::future::pending().await
            }
        }
    }

    /// `false`: it is another one's, or may be by now.
    async fn renew(&self, held: &mut Held) -> bool {
        let began = Instant::now();
        let lease = self.candidate.renew(&held.0, unix_ms());
        let committed = self.commit(&lease, Some(held.1));
        let rest = self.term.borrow().map_or(began, |term| term.until);
        match tokio::time::timeout_at(rest, committed).await {
            Ok(Ok(revision)) => {
                self.leads(&lease, began);
                *held = Held(lease, revision);
                true
            }
            Ok(Err(CommitError::Conflict(_))) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease is not renewed; trying again");
                Instant::now() < rest
            }
        }
    }

    async fn commit(
        &self,
        lease: &Lease,
        revision: Option<Revision>,
    ) -> Result<Revision, CommitError> {
        let record = Record::Lease(lease.clone());
        let key = record.key();
        let expected = Expectation { key, revision };
        self.store
            .commit(vec![record.change()], vec![expected])
            .await
    }

    /// Counted from before the lease was written: nobody can have seen it earlier.
    fn leads(&self, lease: &Lease, began: Instant) {
        let ttl = Duration::from_millis(TTL_MS).saturating_sub(MARGIN);
        self.term.send_replace(Some(Term {
            number: lease.epoch,
            until: began + ttl,
        }));
    }
}

fn unix_ms() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
