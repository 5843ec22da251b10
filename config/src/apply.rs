//! PURE. The one way records become a snapshot: decode and check every record of a batch first,
//! then build the next snapshot at once; a record that is refused keeps its last good version.

use std::sync::Arc;

use crate::record::Refusal;
use crate::snapshot::Snapshot;

/// What applying a batch came to.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The next snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Servers whose view changed: the spec, a replica or a domain. Each once.
    pub servers: Vec<Arc<str>>,
    /// Custom host names bound, rebound or released. Each once.
    pub hosts: Vec<Arc<str>>,
    /// Records that were refused.
    pub refused: Vec<Refusal>,
    /// Everything may have changed (a new snapshot was taken); `servers` and `hosts` are empty.
    pub whole: bool,
}
