//! PURE. What stands in for the routes of names that nobody has, so that a request without credentials
//! takes the same steps for a protected server and for none: as many lookups that find something, and
//! as many that don't.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use fprs_autoscaler_client::Demand;
use fprs_config::Auth;
use fprs_forward::Owner;

use fprs_config::Names;

use super::Route;
use crate::proxy::admit::Tenant;

/// A map of the table's kind with one route in it.
#[derive(Debug)]
pub(super) struct Nobody {
    routes: Names<Arc<ArcSwap<Route>>>,
}

/// The one name in the map, and one that isn't; neither is a server's.
const HELD: &str = "-held";
const MISSED: &str = "-gone";

impl Default for Nobody {
    fn default() -> Self {
        let mut routes = Names::default();
        routes.insert(HELD.into(), Arc::new(ArcSwap::from_pointee(route())));
        Self { routes }
    }
}

impl Nobody {
    /// Where a lookup in the table found nothing: one that finds something.
    pub(super) fn route(&self) -> Option<Arc<Route>> {
        self.routes
            .get(black_box(HELD))
            .map(|place| place.load_full())
    }

    /// The same, where one more was to follow in the table.
    pub(super) fn held(&self) {
        black_box(self.routes.get(black_box(HELD)));
    }

    /// Where a lookup in the table found something: one that doesn't.
    pub(super) fn miss(&self) {
        black_box(self.routes.get(black_box(MISSED)));
    }
}

/// A protected server without anything, whose demand nobody hears of.
fn route() -> Route {
    let name: Arc<str> = "".into();
    let tenant = Tenant::nobody();
    Route {
        auth: Auth::Required,
        cors: None,
        websocket_auth: Box::default(),
        owner: Owner::of(&name, tenant.holder()),
        tenant,
        hold: Duration::ZERO,
        request_timeout: None,
        ready: Box::default(),
        mirrors: Box::default(),
        splits: Box::default(),
        starting: false,
        demand: Demand::new().server(&name),
        edited: Arc::default(),
        startup_ms: 0,
        used: OnceLock::new(),
        server: name,
    }
}
