//! Serves a store to followers. A follower that reads slowly is lost, never waited for; callers were
//! authenticated before they get here.

mod followers;
mod hub;
mod snapshot;

use std::sync::{Arc, OnceLock};

use fprs_proto::feed as wire;
use fprs_proto::feed::feed_server::{Feed, FeedServer};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::key::Revision;
use crate::limits;
use crate::store::history::HistoryLimits;
use crate::store::{Change, CommitError, Expectation, SharedStore, StoreError, WatchEvent};

pub use followers::{FollowerReport, Followers};
use hub::Hub;
use snapshot::Shared;

/// The gRPC service, to be merged into the host's routes behind its check of the bearer token.
pub fn service(store: SharedStore) -> FeedServer<FeedService> {
    service_within(store, HistoryLimits::default(), Arc::default())
}

/// As [`service`], noting who watches in `followers`.
pub fn service_noting(store: SharedStore, followers: Arc<Followers>) -> FeedServer<FeedService> {
    service_within(store, HistoryLimits::default(), followers)
}

pub(super) fn service_within(
    store: SharedStore,
    history: HistoryLimits,
    followers: Arc<Followers>,
) -> FeedServer<FeedService> {
    FeedServer::new(FeedService {
        store,
        history,
        hub: OnceLock::new(),
        snapshots: Arc::new(Semaphore::new(limits::FEED_SNAPSHOTS)),
        shared: Shared::default(),
        followers,
    })
    .max_decoding_message_size(limits::FEED_MESSAGE_BYTES)
    .max_encoding_message_size(limits::FEED_MESSAGE_BYTES)
}

/// Serves one store. All followers share one watch of it.
pub struct FeedService {
    store: SharedStore,
    history: HistoryLimits,
    /// Started by the first follower: only then is there surely a runtime.
    hub: OnceLock<Hub>,
    snapshots: Arc<Semaphore>,
    shared: Shared,
    followers: Arc<Followers>,
}

impl std::fmt::Debug for FeedService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedService").finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl Feed for FeedService {
    type SnapshotStream = BoxStream<'static, Result<wire::SnapshotChunk, Status>>;

    async fn snapshot(
        &self,
        _: Request<wire::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        // In turn, rather than in the order of who tries again first.
        let turn = Arc::clone(&self.snapshots).acquire_owned();
        let Ok(Ok(permit)) = timeout(limits::FEED_TURN, turn).await else {
            return Err(Status::unavailable(
                "too many snapshots are being served; try again in a moment",
            ));
        };
        let contents = self.shared.read(&*self.store).await.map_err(refuse)?;
        Ok(Response::new(snapshot::chunks(contents, permit)))
    }

    type WatchStream = BoxStream<'static, Result<wire::WatchEvent, Status>>;

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let wire::WatchRequest {
            from,
            follower,
            admin,
            cell,
        } = request.into_inner();
        if follower.len() > limits::ID_BYTES || cell.len() > limits::LABEL_BYTES {
            return Err(Status::invalid_argument(
                "the follower's name or cell is too long",
            ));
        }
        tracing::debug!(follower, from, "a follower watches");
        // What can't be understood is where nobody can be asked.
        let admin = admin.parse().ok();
        let place = self.followers.enter(follower, admin, cell, Revision(from));
        let hub = self
            .hub
            .get_or_init(|| Hub::start(Arc::clone(&self.store), self.history));
        let events = hub.follow(Arc::clone(&self.store), Revision(from));
        let events = events.map(move |event| {
            match &event {
                WatchEvent::Batch(batch) => place.told(batch.revision),
                WatchEvent::Progress(revision) => place.told(*revision),
                WatchEvent::Lost => {}
            }
            Ok(event.into())
        });
        Ok(Response::new(events.boxed()))
    }

    async fn commit(
        &self,
        request: Request<wire::CommitRequest>,
    ) -> Result<Response<wire::CommitReply>, Status> {
        let wire::CommitRequest {
            writes,
            expectations,
        } = request.into_inner();
        let malformed =
            |error: crate::store::wire::NoKey| Status::invalid_argument(error.to_string());
        let writes = writes
            .into_iter()
            .map(Change::try_from)
            .collect::<Result<_, _>>()
            .map_err(malformed)?;
        let expectations = expectations
            .into_iter()
            .map(Expectation::try_from)
            .collect::<Result<_, _>>()
            .map_err(malformed)?;
        let reply = match self.store.commit(writes, expectations).await {
            Ok(revision) => wire::CommitReply {
                revision: revision.0,
                conflicts: Vec::new(),
            },
            Err(CommitError::Conflict(keys)) => wire::CommitReply {
                revision: 0,
                conflicts: keys.into_iter().map(Into::into).collect(),
            },
            Err(CommitError::Refused(reason)) => return Err(Status::invalid_argument(reason)),
            Err(CommitError::Store(error)) => return Err(refuse(error)),
        };
        Ok(Response::new(reply))
    }
}

impl From<WatchEvent> for wire::WatchEvent {
    fn from(event: WatchEvent) -> Self {
        use wire::watch_event::Event;
        let event = match event {
            WatchEvent::Batch(batch) => Event::Batch(batch.into()),
            WatchEvent::Progress(revision) => Event::Progress(revision.0),
            WatchEvent::Lost => Event::Lost(wire::Lost {}),
        };
        Self { event: Some(event) }
    }
}

fn refuse(error: StoreError) -> Status {
    match error {
        StoreError::Corrupt(reason) => Status::data_loss(reason),
        StoreError::Held(reason) => Status::failed_precondition(reason),
        StoreError::Unavailable(reason) => Status::unavailable(reason),
    }
}
