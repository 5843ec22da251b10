//! Whether a request goes on, and as whose: where its authority leads, and who asks. Nothing is
//! waited for, and what is refused here has touched no replica, count or demand. To whoever has no
//! valid credentials a host that could be a server's, but is nobody's, answers like one that asks for
//! credentials.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fprs_config::{Auth, WebSocketAuth};
use fprs_forward::downstream::Client;
use fprs_forward::{Answer, Reason, fields, websocket as sockets};
use http::{Request, Response};

use super::Proxy;
use crate::proxy::auth::credential::{strip, strip_pair};
use crate::proxy::auth::verify::{Now, Source};
use crate::proxy::auth::websocket::{Taken, take_subprotocol, take_ticket};
use crate::proxy::auth::{Credential, Denied, Identity, View, preflight};
use crate::proxy::table::{Found, Route};
use crate::proxy::{clock, forwarded};

/// The request is not for a replica.
pub(super) enum Turned {
    /// For the proxy itself, which is ready or not.
    Internal(bool),
    /// A preflight that the server's policy answers.
    Preflight(Response<()>),
    Refused(Answer),
}

impl From<Reason> for Turned {
    fn from(reason: Reason) -> Self {
        Self::Refused(Answer::new(reason))
    }
}

impl From<Denied> for Turned {
    fn from(denied: Denied) -> Self {
        Self::Refused(match denied {
            Denied::Unauthenticated => Answer::new(Reason::Unauthenticated),
            Denied::Throttled => Answer::new(Reason::TenantLimit)
                .detail("too many wrong credentials from this address; slow down")
                .retry_after(THROTTLED_SECONDS),
        })
    }
}

/// By then a source that was over its limit has some tries left again.
const THROTTLED_SECONDS: u64 = 10;

impl Proxy {
    /// The route that the request may take; its credentials are gone by then, and it says whose it is.
    pub(super) fn admit(
        &self,
        request: &mut Request<()>,
        client: &Client,
    ) -> Result<Arc<Route>, Turned> {
        let authority = request.uri().authority();
        let authority = authority.map_or("", |authority| authority.as_str());
        let table = self.tables.load();
        let found = self.tables.find(&table, authority);
        if !table.is_loaded() && !matches!(found, Found::Internal) {
            // Nobody is known yet, neither servers nor callers.
            return Err(Turned::Refused(
                Answer::new(Reason::NoReplica).retry_after(1),
            ));
        }
        let (route, nobodys) = match found {
            Found::Route(route) if route.auth == Auth::Public => {
                strip_pair(request.headers_mut());
                return Ok(route);
            }
            Found::Route(route) => (route, None),
            Found::NoServer(stand_in) => (stand_in, Some(Reason::NoReplica)),
            Found::OtherZone(stand_in) => (stand_in, Some(Reason::WrongZone)),
            Found::Nobodys => return Err(Reason::WrongZone.into()),
            Found::Internal => {
                let leaving = self.leaving.load(Ordering::Relaxed);
                return Err(Turned::Internal(table.is_loaded() && !leaving));
            }
        };
        if preflight::is_preflight(request) {
            return Err(preflight(&route, request));
        }
        let identity = self.authenticate(&table.callers, &route, request, client)?;
        if let Some(reason) = nobodys {
            return Err(reason.into());
        }
        if !identity.may_call(route.tenant.name(), &route.server) {
            return Err(Reason::Forbidden.into());
        }
        let fields = request.headers_mut();
        fields.insert(fields::TENANT, identity.tenant_field().clone());
        fields.insert(fields::TOKEN_ID, identity.id_field().clone());
        Ok(route)
    }

    /// Who asks; what says so is taken out of the request.
    fn authenticate(
        &self,
        view: &View,
        route: &Route,
        request: &mut Request<()>,
        client: &Client,
    ) -> Result<Identity, Denied> {
        let now = Now {
            unix_ms: clock::unix_ms(),
            steady_ms: clock::now_ms(),
        };
        let taken = socket_credential(route, request);
        let fields = request.headers();
        let (presented, place) = match &taken {
            Some((taken, source)) => (taken.credential().map(|found| (found, *source)), None),
            None => Credential::of(fields).map_or((None, None), |(found, place)| {
                (Some((found, Source::Field)), Some(place))
            }),
        };
        let presented = presented.ok_or(Denied::Unauthenticated)?;
        let source = || forwarded::source(fields, client, &self.edges);
        let identity = self.callers.authenticate(view, presented, now, source)?;
        let fields = request.headers_mut();
        if let Some(place) = place {
            strip(fields, place);
        }
        strip_pair(fields);
        Ok(identity)
    }
}

/// A credential where only WebSockets may have one, if the server allows that. It is taken out of any
/// request to a server that asks for credentials.
fn socket_credential(route: &Route, request: &mut Request<()>) -> Option<(Taken, Source)> {
    let is_socket = sockets::is_websocket(request);
    let allows = |way| is_socket && route.websocket_auth.contains(&way);
    let (subprotocol, query) = (
        allows(WebSocketAuth::Subprotocol),
        allows(WebSocketAuth::Query),
    );
    if is_socket {
        let taken = take_subprotocol(request.headers_mut());
        if subprotocol && taken != Taken::Nothing {
            return Some((taken, Source::Field));
        }
    }
    let taken = take_ticket(request);
    (query && taken != Taken::Nothing).then_some((taken, Source::Query))
}

fn preflight(route: &Route, request: &Request<()>) -> Turned {
    let policy = route.cors.as_ref();
    match policy.and_then(|cors| preflight::answer(cors, request.headers())) {
        Some(response) => Turned::Preflight(response),
        None => Reason::Unauthenticated.into(),
    }
}
