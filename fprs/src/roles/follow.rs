//! Following a store: what every role does first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::follow::{Follower, Status};
use fprs_config::last_good::LastGood;
use fprs_config::{Applied, Refusal, Revision, SharedStore, View};
use fprs_control::ConfigStatus;

use crate::process::Parts;

/// Sees every change before it is in force.
pub type Observer = Box<dyn FnMut(&Applied) + Send>;

/// A store that is being followed.
#[derive(Clone, Debug)]
pub struct Followed {
    /// What is in force.
    pub view: View,
    status: Arc<Status>,
}

/// Follows a store until the process ends. `observer` sees every change before it is in force;
/// `last_good` is where the last snapshot that served well is kept.
pub fn follow(
    store: SharedStore,
    last_good: Option<PathBuf>,
    observer: Option<Observer>,
    parts: &mut Parts,
) -> Followed {
    let (publisher, view) = View::new();
    let mut follower = Follower::new(store, publisher);
    if let Some(path) = last_good {
        follower = follower.last_good(LastGood::new(path));
    }
    if let Some(observer) = observer {
        follower = follower.observe(observer);
    }
    let status = follower.status();
    parts.run("the store's follower", follower.run());
    Followed { view, status }
}

impl ConfigStatus for Followed {
    fn revision(&self) -> Revision {
        self.status.report().revision
    }

    fn age(&self) -> Duration {
        self.status.report().age.unwrap_or_default()
    }

    fn refused(&self) -> Vec<Refusal> {
        self.status.report().refused
    }
}
