//! Requests on servers with splits: some of those whom the server has let in are served by another
//! server of the same tenant, the variant, as if they had asked for it.

use std::sync::Arc;

use fprs_forward::downstream::Inbound;

use super::Proxy;
use crate::proxy::access_log::Note;
use crate::proxy::split::{Splitting, Went};
use crate::proxy::table::{Route, Table};

impl Proxy {
    /// The route of whoever serves the request: the first variant that takes it, or the server itself.
    #[cold]
    pub(super) fn variant(
        &self,
        route: Arc<Route>,
        inbound: &Inbound,
        note: &mut Note,
    ) -> Arc<Route> {
        for split in &route.splits {
            let went = match split.sampler.takes(inbound, &self.edges, note) {
                None => Went::NoKey,
                Some(false) => Went::Server,
                Some(true) => match self.serving(split, &route) {
                    Ok(variant) => {
                        split.tally.count(Went::Variant);
                        note.variant(&variant.server);
                        return variant;
                    }
                    Err(went) => went,
                },
            };
            split.tally.count(went);
            if !matches!(went, Went::NoKey | Went::Server) {
                // Another variant's callers are others.
                break;
            }
        }
        route
    }

    /// The variant, if it is the same tenant's and has a replica, or waits for one. Without, the server
    /// itself serves, and the autoscaler is told that somebody asked.
    fn serving(&self, split: &Splitting, route: &Route) -> Result<Arc<Route>, Went> {
        let variant = Table::route(&self.tables.load(), &split.record.shadow);
        let same = |variant: &Arc<Route>| variant.tenant.name() == route.tenant.name();
        let variant = variant.filter(same).ok_or(Went::Gone)?;
        if variant.ready.is_empty() && variant.hold.is_zero() {
            variant.demand.unserved();
            return Err(Went::NoReplica);
        }
        Ok(variant)
    }
}
