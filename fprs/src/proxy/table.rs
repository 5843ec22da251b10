//! The routing table: host → server → replicas that take requests. Names are one immutable map with
//! structural sharing, replaced at once; what a name leads to is one immutable route, swapped at
//! once; a request that has its route keeps it to its end. Counters
//! and reported loads belong to the replica and survive every edit around it.

mod nobody;
mod replica;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use fprs_autoscaler_client::{Demand, ServerDemand};
use fprs_config::pace::give_way_after;
use fprs_config::{
    Applied, Auth, Cors, Names, ReplicaState, ServerView, Snapshot, WebSocketAuth, limits,
};
use fprs_forward::Owner;
use tokio::sync::Notify;

use crate::proxy::admit::{Tenant, Tenants};
use crate::proxy::auth::View;
use crate::proxy::host::{self, Host};
use crate::proxy::mirror::{Mirroring, Mirrors};
use crate::proxy::sources::Sources;
use crate::proxy::split::{Splits, Splitting};
use crate::usage::{Counts, Usage};

use self::nobody::Nobody;
pub use self::replica::Replica;

/// Which server every host name means, at one revision.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// A server's route is swapped in its place: an edit costs the same among any number of servers,
    /// and a request that has its route keeps it.
    servers: Names<Arc<ArcSwap<Route>>>,
    /// What the table was made of: custom host → server.
    snapshot: Arc<Snapshot>,
    /// Who may call.
    pub(crate) callers: View,
    /// At least one snapshot has been applied.
    loaded: bool,
}

/// What a host name leads to.
#[derive(Debug)]
pub enum Found {
    /// A deployed server.
    Route(Arc<Route>),
    /// A name of this zone without a server: what stands in for its route, so that a request without
    /// credentials takes the same steps.
    NoServer(Arc<Route>),
    /// The proxy itself.
    Internal,
    /// A name outside this zone that is no custom domain, but could be one: likewise.
    OtherZone(Arc<Route>),
    /// A name that can't be a server's.
    Nobodys,
}

/// A server as requests need it.
#[derive(Debug)]
pub struct Route {
    /// The server's name.
    pub server: Arc<str>,
    /// Whose it is.
    pub tenant: Arc<Tenant>,
    /// Who may call it.
    pub auth: Auth,
    /// Which other origins' pages may call it.
    pub cors: Option<Cors>,
    /// Where else its WebSockets may carry a credential.
    pub websocket_auth: Box<[WebSocketAuth]>,
    /// On whom the bytes of its exchanges are counted.
    pub owner: Owner,
    /// How long a request may wait for a replica.
    pub hold: Duration,
    /// Until response headers.
    pub request_timeout: Option<Duration>,
    /// Replicas that take requests.
    pub ready: Box<[Arc<Replica>]>,
    /// The mirrors of its requests; most servers have none.
    pub mirrors: Box<[Arc<Mirroring>]>,
    /// What sends some of its requests elsewhere; most servers have none.
    pub splits: Box<[Arc<Splitting>]>,
    /// A replica is on its way.
    pub starting: bool,
    /// The demand that nobody serves yet.
    pub demand: Arc<ServerDemand>,
    /// Told after every edit of this route.
    pub edited: Arc<Notify>,
    /// How long a start took lately, in milliseconds; 0: not known.
    pub startup_ms: u64,
    /// What it used, once it used something.
    used: OnceLock<Arc<Counts>>,
}

impl Table {
    /// What that authority leads to. Takes lower case only; see [`Tables::find`].
    fn find(&self, authority: &str, zone: &str, nobody: &Nobody) -> Found {
        let (place, unknown): (_, fn(Arc<Route>) -> Found) = match host::read(authority, zone) {
            Host::Internal => return Found::Internal,
            Host::Server(server) => (self.servers.get(server), Found::NoServer),
            Host::Other(host) if host::may_be_custom(host, zone) => {
                let place = match self.snapshot.domain(host) {
                    Some(bound) => self.servers.get(&bound.server),
                    None => {
                        nobody.held();
                        None
                    }
                };
                (place, Found::OtherZone)
            }
            Host::Other(_) => return Found::Nobodys,
        };
        let Some(place) = place else {
            return nobody.route().map_or(Found::Nobodys, unknown);
        };
        let route = place.load_full();
        if route.auth == Auth::Required {
            nobody.miss();
        }
        Found::Route(route)
    }

    /// At least one snapshot has been applied.
    pub const fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Servers in the table.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// No server is in the table.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The route of a server.
    pub fn route(&self, server: &str) -> Option<Arc<Route>> {
        self.servers.get(server).map(|route| route.load_full())
    }
}

impl Route {
    /// Where is counted what it uses. Only the first time costs a look.
    pub fn used(&self, usage: &Usage) -> &Counts {
        let look = || usage.of(self.tenant.name(), &self.server);
        self.used.get_or_init(look)
    }
}

/// Replicas that began or ceased to take requests.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Worth a connection.
    pub added: Vec<Arc<Replica>>,
    /// Their connections can go.
    pub removed: Vec<Arc<str>>,
}

/// The table in force and its one writer's state.
#[derive(Debug)]
pub struct Tables {
    zone: String,
    current: ArcSwap<Table>,
    demand: Arc<Demand>,
    tenants: Tenants,
    mirrors: Mirrors,
    sources: Sources,
    splits: Splits,
    nobody: Nobody,
}

impl Tables {
    /// An empty table for a zone.
    pub fn new(zone: &str, demand: Arc<Demand>) -> Arc<Self> {
        let nowhere = Sources::new(Path::new(""));
        Self::with(zone, demand, Mirrors::default(), nowhere)
    }

    /// An empty table for a zone, whose mirrors and egress pools are those.
    pub fn with(zone: &str, demand: Arc<Demand>, mirrors: Mirrors, sources: Sources) -> Arc<Self> {
        Arc::new(Self {
            zone: zone.to_owned(),
            current: ArcSwap::default(),
            demand,
            tenants: Tenants::default(),
            mirrors,
            sources,
            splits: Splits::default(),
            nobody: Nobody::default(),
        })
    }

    /// The zone it answers for.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The tenants of its servers.
    pub const fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// The egress pools of its replicas.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The mirrors of its servers.
    pub const fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// The splits of its servers.
    pub const fn splits(&self) -> &Splits {
        &self.splits
    }

    /// The table in force; not to be held across an await.
    pub fn load(&self) -> Guard<Arc<Table>> {
        self.current.load()
    }

    /// What that authority leads to in the table, whatever its case.
    pub fn find(&self, table: &Table, authority: &str) -> Found {
        if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let authority = authority.to_ascii_lowercase();
            return table.find(&authority, &self.zone, &self.nobody);
        }
        table.find(authority, &self.zone, &self.nobody)
    }

    /// Takes over what was applied to the snapshot; costs what changed. For the one follower.
    pub fn apply(&self, applied: &Applied) -> Edit {
        let before = self.current.load_full();
        let mut next = Table::clone(&before);
        next.loaded = true;
        next.snapshot = Arc::clone(&applied.snapshot);
        next.callers.apply(applied);
        let mut edit = Edit::default();
        self.tenants.apply(applied);
        if applied.whole {
            self.replace(&applied.snapshot, &before, &mut next, &mut edit);
        } else {
            for (at, server) in applied.servers.iter().enumerate() {
                give_way_after(at);
                let view = applied.snapshot.server(server);
                if let (Some(old), Some(view)) = (before.snapshot.server(server), view)
                    && view.is_routed_as(old)
                {
                    continue;
                }
                let view = view.map(|view| (&**view, &*applied.snapshot));
                self.place(server, view, &mut next, &mut edit);
            }
        }
        let edited: Vec<_> = self.edited(applied, &before, &next);
        self.current.store(Arc::new(next));
        for notify in edited {
            notify.notify_waiters();
        }
        edit
    }

    fn replace(&self, snapshot: &Snapshot, before: &Table, next: &mut Table, edit: &mut Edit) {
        for server in before.servers.keys() {
            if snapshot.server(server).is_none() {
                self.place(server, None, next, edit);
            }
        }
        for (at, (server, view)) in snapshot.servers().enumerate() {
            give_way_after(at);
            self.place(server, Some((view, snapshot)), next, edit);
        }
    }

    /// Whom to wake: those who wait for a replica of a server whose route changed.
    fn edited(&self, applied: &Applied, before: &Table, next: &Table) -> Vec<Arc<Notify>> {
        let route = |server: &Arc<str>| {
            next.servers
                .get(server)
                .or_else(|| before.servers.get(server))
                .map(|route| Arc::clone(&route.load().edited))
        };
        if applied.whole {
            before.servers.keys().filter_map(route).collect()
        } else {
            applied.servers.iter().filter_map(route).collect()
        }
    }

    /// Puts a server's route in the place of the one it had.
    fn place(
        &self,
        server: &Arc<str>,
        view: Option<(&ServerView, &Snapshot)>,
        next: &mut Table,
        edit: &mut Edit,
    ) {
        let old = next.route(server);
        let known: HashMap<&str, &Arc<Replica>> = old
            .iter()
            .flat_map(|route| route.ready.iter())
            .map(|replica| (&**replica.id(), replica))
            .collect();
        let route = view.and_then(|view| self.route(server, view, old.as_deref(), &known));
        let ready = route
            .as_ref()
            .map(|route| &*route.ready)
            .unwrap_or_default();
        let stays: HashSet<&str> = match known.is_empty() {
            true => HashSet::new(),
            false => ready.iter().map(|replica| &**replica.id()).collect(),
        };
        edit.added.extend(
            ready
                .iter()
                .filter(|replica| !known.contains_key(&**replica.id()))
                .cloned(),
        );
        for replica in known
            .values()
            .filter(|replica| !stays.contains(&**replica.id()))
        {
            replica.leave();
            edit.removed.push(Arc::clone(replica.id()));
        }
        match (route, next.servers.get(server)) {
            (Some(route), Some(place)) => place.store(Arc::new(route)),
            (Some(route), None) => {
                let place = Arc::new(ArcSwap::from_pointee(route));
                next.servers.insert(Arc::clone(server), place);
            }
            (None, _) => {
                next.servers.remove(server);
                self.demand.remove_server(server);
            }
        }
    }

    fn route(
        &self,
        server: &Arc<str>,
        (view, snapshot): (&ServerView, &Snapshot),
        old: Option<&Route>,
        known: &HashMap<&str, &Arc<Replica>>,
    ) -> Option<Route> {
        let spec = view.server.as_ref()?;
        let tenant = self.tenants.of(spec.tenant(), snapshot);
        let starting = |state| matches!(state, ReplicaState::Requested | ReplicaState::Starting);
        let ready = view
            .replicas
            .values()
            .filter(|replica| replica.state == ReplicaState::Ready)
            .filter_map(|replica| {
                let address = replica.address?;
                let same = known
                    .get(&*replica.id)
                    .filter(|known| known.address() == address && known.pool() == &*replica.egress);
                Some(match same {
                    Some(same) => Arc::clone(same),
                    None => self.replica(replica, address, &tenant)?,
                })
            })
            .collect();
        let records = || view.mirrors.values().take(limits::MIRRORS_PER_SERVER);
        let mirrors = records().filter_map(|mirror| self.mirrors.of(mirror, tenant.name()));
        let mirrors = mirrors.collect();
        let splits = records()
            .filter_map(|split| self.splits.of(split))
            .collect();
        Some(Route {
            server: Arc::clone(server),
            auth: spec.auth,
            cors: spec.cors.clone(),
            websocket_auth: spec.websocket_auth.as_slice().into(),
            owner: Owner::of(server, tenant.holder()),
            used: old
                .filter(|old| old.tenant.name() == tenant.name())
                .map_or_else(OnceLock::new, |old| old.used.clone()),
            tenant,
            hold: spec.hold,
            request_timeout: spec.request_timeout,
            ready,
            mirrors,
            splits,
            starting: view
                .replicas
                .values()
                .any(|replica| starting(replica.state)),
            demand: old.map_or_else(|| self.demand.server(server), |old| Arc::clone(&old.demand)),
            edited: old.map_or_else(Arc::default, |old| Arc::clone(&old.edited)),
            startup_ms: view
                .replicas
                .values()
                .map(|replica| replica.startup_ms)
                .max()
                .filter(|startup| *startup > 0)
                .or_else(|| old.map(|old| old.startup_ms))
                .unwrap_or_default(),
        })
    }

    fn replica(
        &self,
        replica: &Arc<fprs_config::Replica>,
        address: SocketAddr,
        tenant: &Tenant,
    ) -> Option<Arc<Replica>> {
        let egress = (!replica.egress.is_empty()).then(|| self.sources.of(&replica.egress));
        let replica = Replica::new(replica, address, (tenant.dials(), egress), &self.demand)?;
        Some(Arc::new(replica))
    }
}

#[cfg(test)]
mod tests;
