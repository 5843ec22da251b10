//! What fprs runs by: records → checked types → snapshot, by one pure `apply`; and the stores that
//! hold the records. `apply`, `record`, `snapshot`, `manifest` are PURE; `store`, `feed`, `follow`
//! and `last_good` do the I/O around them. Only this crate knows a database. `whole_file` and `secret`
//! are here because every crate that needs them may import this one.

pub mod apply;
mod backoff;
pub mod candidate;
mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod engines;
pub mod feed;
mod few;
pub mod follow;
pub mod key;
pub mod last_good;
pub mod limits;
pub mod manifest;
mod names;
pub mod pace;
pub mod record;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod secret;
pub mod snapshot;
pub mod store;
#[cfg(test)]
mod testing;
pub mod whole_file;

pub use apply::Applied;
pub use candidate::Candidate;
pub use few::Few;
pub use follow::{Follower, Source, Status, StatusReport, View};
pub use key::{Key, Kind, Revision};
pub use last_good::LastGood;
pub use manifest::{Manifest, ScalingChange};
pub use names::Names;
pub use record::{
    Algorithm, Auth, Capture, Compare, Cors, DEFAULT_TENANT, Domain, EgressGateway, EgressPolicy,
    EgressPool, EgressProvider, Issuer, Jwk, Jwks, Lease, Limits, MadeFor, Millis, Mirror,
    MirrorKey, PublicKey, Record, Refusal, Replica, ReplicaState, Rollout, Scaling, SecretHash,
    Server, Tenant, Token, TokenRole, Version, WebSocketAuth, Worker,
};
pub use secret::Secret;
pub use snapshot::{Bound, Held, ServerView, Snapshot};
#[cfg(feature = "etcd")]
pub use store::Etcd;
#[cfg(feature = "spanner")]
pub use store::Spanner;
pub use store::{
    Batch, Change, CommitError, Contents, EmbeddedStore, Entry, Expectation, SharedStore, Store,
    StoreAddress, StoreError, WatchEvent,
};
