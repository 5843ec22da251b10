//! One autoscaler as its process sees it: made, run, served, asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fprs_config::{Applied, Candidate, SharedStore, View};
use fprs_proto::demand::demand_server::DemandServer;
use tokio::sync::mpsc;

use crate::controller::{Controller, LEASE};
use crate::explain::Explained;
use crate::service::{self, Reports};
use crate::shared::Shared;
use crate::trace::Line;

/// Who decides, where it takes reports, and how often it decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This process's name, unique in the plane and the same after a restart.
    pub holder: String,
    /// Where proxies reach [`Autoscaler::service`].
    pub address: SocketAddr,
    /// Between decisions.
    pub tick: Duration,
}

/// One autoscaler. Any number may run; the holder of the lease decides. Cheap to clone.
#[derive(Clone)]
pub struct Autoscaler {
    store: SharedStore,
    view: View,
    settings: Settings,
    shared: Arc<Shared>,
}

/// What a follower calls with every change, before it publishes it.
pub type Observer = Box<dyn FnMut(&Applied) + Send>;

impl Settings {
    /// How often an autoscaler decides unless told otherwise.
    pub const TICK: Duration = Duration::from_millis(200);
}

impl Autoscaler {
    /// An autoscaler of what `view` shows, which must follow `store`, and the observer by which the
    /// follower that publishes to `view` has to tell it of changes.
    #[must_use]
    pub fn new(store: SharedStore, view: View, settings: Settings) -> (Self, Observer) {
        let shared = Shared::new();
        let told = Arc::clone(&shared);
        let autoscaler = Self {
            store,
            view,
            settings,
            shared,
        };
        let observer = move |applied: &Applied| told.changes.add(applied);
        (autoscaler, Box::new(observer))
    }

    /// The gRPC service that proxies report to. It asks for no credentials: serve it behind the
    /// process's own check.
    pub fn service(&self) -> DemandServer<Reports> {
        service::service(Arc::clone(&self.shared))
    }

    /// Decides while it holds the lease; stands by otherwise. Runs until dropped, and only once.
    pub async fn run(self) {
        let candidate = Candidate::new(LEASE, self.settings.holder, self.settings.address);
        let controller = Controller::new(
            self.store,
            self.view,
            self.shared,
            candidate,
            self.settings.tick,
        );
        controller.run().await;
    }

    /// Whether this process decides now.
    pub fn leads(&self) -> bool {
        self.shared.leads()
    }

    /// How many proxies report; 0 on a standby.
    pub fn reporting(&self) -> usize {
        self.shared.demand().origins()
    }

    /// Exchanges in flight as proxies reported them last; 0 on a standby.
    pub fn in_flight(&self) -> u64 {
        self.shared.demand().in_flight()
    }

    /// Of these, the ones on proxies that fell silent, as relays confirm them.
    pub fn unheard(&self) -> u64 {
        self.shared.demand().unheard()
    }

    /// Replicas whose load proxies and relays did not agree on when that was checked last.
    pub fn disagreeing(&self) -> usize {
        self.shared.disagreeing.load(Ordering::Relaxed)
    }

    /// The last decisions about a server, the oldest first; none on a standby.
    pub fn explain(&self, server: &str) -> Vec<Explained> {
        self.shared.explanations.of(server)
    }

    /// Every decision about a server from the next one on, for as long as the receiver is read;
    /// `None` if too many read already. A receiver that is three minutes behind ends.
    pub fn record(&self, server: &str) -> Option<mpsc::Receiver<Line>> {
        self.shared.recorders.begin(server)
    }
}

impl std::fmt::Debug for Autoscaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Autoscaler")
            .field("settings", &self.settings)
            .field("leads", &self.leads())
            .finish_non_exhaustive()
    }
}
