//! Following a store: what every role does first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::follow::{Follower, Status};
use fprs_config::last_good::LastGood;
use fprs_config::{Applied, SharedStore, View};

use prometheus::Registry;

use crate::failure::Failure;
use crate::process::Parts;
use crate::roles::config_metrics;

/// Sees every change before it is in force.
pub(super) type Observer = Box<dyn FnMut(&Applied) + Send>;

/// A store that will be followed: observers first, then [`start`](Self::start).
#[derive(Debug)]
pub struct Following {
    follower: Follower,
    view: View,
    status: Arc<Status>,
}

impl Following {
    /// Prepares to follow a store. `last_good` is where the last snapshot that served well is kept.
    pub fn new(store: SharedStore, last_good: Option<PathBuf>) -> Self {
        let (publisher, view) = View::new();
        let mut follower = Follower::new(store, publisher);
        if let Some(path) = last_good {
            follower = follower.last_good(LastGood::new(path));
        }
        let status = follower.status();
        Self {
            follower,
            view,
            status,
        }
    }

    /// What is in force.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// How the following stands.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Runs by what is staged for that cell.
    #[must_use]
    pub fn in_cell(mut self, cell: Option<&str>) -> Self {
        self.follower = self.follower.in_cell(cell.map(Arc::from));
        self
    }

    /// Adds one who sees every change.
    #[must_use]
    pub fn observe(mut self, observer: Observer) -> Self {
        self.follower = self.follower.observe(observer);
        self
    }

    /// Follows until the process ends.
    ///
    /// # Errors
    /// The registry has a following already.
    pub fn start(self, registry: &Registry, parts: &mut Parts) -> Result<(), Failure> {
        config_metrics::register(registry, &self.status)?;
        let lag = config_metrics::lag(registry)?;
        let hear = Box::new(move |after: Duration| lag.observe(after.as_secs_f64()));
        parts.run("the store's follower", self.follower.lag(hear).run());
        Ok(())
    }
}
