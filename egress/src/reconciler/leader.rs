//! Which reconciler leads: the one that holds the lease in the store. It stops before the lease can be
//! another one's, by its own clock; its term goes with everything it says, and gateways refuse an older
//! one. While the store is away nobody leads for long, and nothing moves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_config::candidate::{Candidate, RENEW_MS, TTL_MS};
use fprs_config::feed::FeedClient;
use fprs_config::{
    CommitError, Expectation, Follower, Key, Kind, Lease, Millis, Record, Revision, SharedStore,
    View,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::settings::StoreSettings;
use super::{Pools, ReconcilerError};
use crate::limits;

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
}

impl Following {
    /// Follows the store, and wants the lease; until the process ends.
    pub(super) fn start(settings: &StoreSettings) -> Result<Self, ReconcilerError> {
        let token = std::fs::read_to_string(&settings.token_file).map_err(|error| {
            ReconcilerError::Token {
                path: settings.token_file.clone(),
                error,
            }
        })?;
        let feed = FeedClient::new(&settings.control, token.trim(), &settings.holder);
        let store: SharedStore =
            Arc::new(feed.map_err(|error| ReconcilerError::Store(error.to_string()))?);
        let (publisher, view) = View::new();
        tokio::spawn(Follower::new(Arc::clone(&store), publisher).run());
        let (told, term) = watch::channel(None);
        // The lease says where its holder answers; this one answers nobody.
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let campaign = Campaign {
            candidate: Candidate::new(NAME, settings.holder.clone(), nowhere),
            store,
            view: view.clone(),
            term: told,
            began: Instant::now(),
        };
        tokio::spawn(campaign.run());
        Ok(Self { view, term })
    }

    /// The term in which this reconciler leads now.
    pub(super) fn term(&self) -> Option<Term> {
        let term = *self.term.borrow();
        term.filter(|term| term.lasts())
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
    began: Instant,
}

/// A lease that is held, and the revision that it was written in.
struct Held(Lease, Revision);

impl Campaign {
    async fn run(mut self) {
        loop {
            let mut held = self.take().await;
            tracing::info!(term = held.0.epoch, "this reconciler leads");
            while self.renew(&mut held).await {
                tokio::time::sleep(Duration::from_millis(RENEW_MS)).await;
            }
            self.term.send_replace(None);
            tracing::warn!(term = held.0.epoch, "this reconciler leads no longer");
        }
    }

    /// Waits until the lease is free, and takes it.
    async fn take(&mut self) -> Held {
        loop {
            tokio::time::sleep(limits::RECONCILE_EVERY).await;
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
            let Some(lease) = self.candidate.take(known, now_ms, unix_ms()) else {
                continue;
            };
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
