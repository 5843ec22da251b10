//! What fprs runs by: records → checked types → snapshot, by one pure `apply`; and the stores that
//! hold the records. `apply`, `record`, `snapshot`, `manifest` are PURE; `store`, `feed`, `follow`
//! and `last_good` do the I/O around them. Only this crate knows a database.

pub mod apply;
mod backoff;
#[cfg(any(test, feature = "conformance"))]
pub mod engines;
pub mod feed;
pub mod follow;
pub mod key;
pub mod last_good;
pub mod limits;
pub mod manifest;
pub mod record;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod snapshot;
pub mod store;
#[cfg(test)]
mod testing;

pub use apply::Applied;
pub use follow::{Follower, Source, Status, StatusReport, View};
pub use key::{Key, Kind, Revision};
pub use last_good::LastGood;
pub use manifest::{Manifest, ScalingChange};
pub use record::{
    Algorithm, Auth, Capture, Compare, Cors, DEFAULT_TENANT, Domain, Issuer, Jwk, Jwks, Lease,
    Limits, MadeFor, Millis, Mirror, MirrorKey, PublicKey, Record, Refusal, Replica, ReplicaState,
    Scaling, SecretHash, Server, Tenant, Token, TokenRole, Version, WebSocketAuth, Worker,
};
pub use snapshot::{Held, ServerView, Snapshot};
#[cfg(feature = "etcd")]
pub use store::Etcd;
#[cfg(feature = "spanner")]
pub use store::Spanner;
pub use store::{
    Batch, Change, CommitError, Contents, EmbeddedStore, Entry, Expectation, SharedStore, Store,
    StoreAddress, StoreError, WatchEvent,
};
