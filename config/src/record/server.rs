//! PURE. A deployed program: what runs, how much of it, and who may call it.

use std::sync::Arc;
use std::time::Duration;

use fprs_proto::record as wire;

use super::check::{self, Invalid};
use super::{Cors, Millis, Scaling, Version, millis};
use crate::limits;

/// Who may call a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody.
    Public,
    /// Callers with valid credentials.
    Required,
}

/// Where a WebSocket may carry its credential beside its fields, for clients that can't set those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketAuth {
    /// `sec-websocket-protocol: fprs.bearer.<token>`.
    Subprotocol,
    /// `?fprs_token=<ticket>`; tickets live for minutes.
    Query,
}

/// The tenant of servers that name none.
pub const DEFAULT_TENANT: &str = "default";

/// A deployed program.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// A DNS label.
    pub name: Arc<str>,
    /// Empty: the default tenant; [`Server::tenant`] says which that is.
    pub tenant: String,
    /// The version users deployed last.
    pub target: Arc<Version>,
    /// A replica of `target` has been ready at least once.
    pub proven: bool,
    /// The last proven version; serves while `target` is not proven. Of a lower generation.
    pub fallback: Option<Arc<Version>>,
    /// How many replicas run.
    pub scaling: Scaling,
    /// Who may call it.
    pub auth: Auth,
    /// Which other origins' pages may call it; `None`: none.
    pub cors: Option<Cors>,
    /// Where else a WebSocket may carry its credential; each once.
    pub websocket_auth: Vec<WebSocketAuth>,
    /// A request that finds no replica waits this long; zero: answered at once.
    pub hold: Duration,
    /// Until response headers; `None`: no limit.
    pub request_timeout: Option<Duration>,
    /// Where it is routed.
    pub routing_region: String,
    /// Where its replicas run.
    pub compute_region: String,
    /// Egress pool for what replicas send out; empty: none.
    pub egress: String,
    /// When it was deployed last.
    pub deployed_unix_ms: Millis,
}

impl Server {
    /// The name of its tenant.
    pub fn tenant(&self) -> &str {
        if self.tenant.is_empty() {
            DEFAULT_TENANT
        } else {
            &self.tenant
        }
    }

    /// The version replicas of that generation run, if it is still known.
    pub fn version(&self, generation: u64) -> Option<&Arc<Version>> {
        [Some(&self.target), self.fallback.as_ref()]
            .into_iter()
            .flatten()
            .find(|version| version.generation == generation)
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check::label("name", &self.name)?;
        check::optional_label("tenant", &self.tenant)?;
        self.target.check()?;
        if let Some(fallback) = &self.fallback {
            fallback.check()?;
            if fallback.generation >= self.target.generation {
                return Err(Invalid::new(
                    "fallback",
                    format!(
                        "is of generation {}, not below the target's {}",
                        fallback.generation, self.target.generation
                    ),
                ));
            }
        }
        self.scaling.check()?;
        if let Some(cors) = &self.cors {
            cors.check()?;
        }
        let queries = self.websocket_auth.iter();
        let queries = queries.filter(|way| **way == WebSocketAuth::Query).count();
        if queries > 1 || self.websocket_auth.len() - queries > 1 {
            return Err(Invalid::new("auth_websocket", "names a way twice"));
        }
        check::at_most("hold", self.hold, limits::HOLD)?;
        if let Some(timeout) = self.request_timeout {
            check::positive("request_timeout", timeout, limits::DURATION)?;
        }
        check::label("routing_region", &self.routing_region)?;
        check::label("compute_region", &self.compute_region)?;
        check::optional_label("egress", &self.egress)
    }

    pub(super) fn try_from_wire(wire: wire::Server) -> Result<Self, String> {
        let auth = match wire.auth() {
            wire::Auth::Unspecified => {
                return Err(format!(
                    "`auth` has no value this build knows: {}",
                    wire.auth
                ));
            }
            wire::Auth::Required => Auth::Required,
            wire::Auth::Public => Auth::Public,
        };
        // The generated accessor leaves out what it doesn't know.
        let ways = wire.websocket_auth.iter();
        let ways = ways.map(|way| match wire::WebSocketAuth::try_from(*way) {
            Ok(wire::WebSocketAuth::Subprotocol) => Ok(WebSocketAuth::Subprotocol),
            Ok(wire::WebSocketAuth::Query) => Ok(WebSocketAuth::Query),
            Ok(wire::WebSocketAuth::Unspecified) | Err(_) => Err(format!(
                "`auth_websocket` has a value this build doesn't know: {way}"
            )),
        });
        let websocket_auth = ways.collect::<Result<_, _>>()?;
        let target = wire.target.ok_or("`target` is missing")?;
        let server = Self {
            websocket_auth,
            cors: wire.cors.map(Cors::from_wire),
            name: wire.name.into(),
            tenant: wire.tenant,
            target: Arc::new(Version::try_from_wire(target)?),
            proven: wire.proven,
            fallback: wire
                .fallback
                .map(Version::try_from_wire)
                .transpose()?
                .map(Arc::new),
            scaling: Scaling::from_wire(&wire.scaling.ok_or("`scaling` is missing")?),
            auth,
            hold: Duration::from_millis(wire.hold_ms),
            request_timeout: wire.request_timeout_ms.map(Duration::from_millis),
            routing_region: wire.routing_region,
            compute_region: wire.compute_region,
            egress: wire.egress,
            deployed_unix_ms: wire.deployed_unix_ms,
        };
        server.check()?;
        Ok(server)
    }

    pub(super) fn to_wire(&self) -> wire::Server {
        let auth = match self.auth {
            Auth::Public => wire::Auth::Public,
            Auth::Required => wire::Auth::Required,
        };
        wire::Server {
            name: self.name.to_string(),
            tenant: self.tenant.clone(),
            target: Some(self.target.to_wire()),
            proven: self.proven,
            fallback: self.fallback.as_ref().map(|version| version.to_wire()),
            scaling: Some(self.scaling.to_wire()),
            auth: auth.into(),
            cors: self.cors.as_ref().map(Cors::to_wire),
            websocket_auth: self.websocket_auth.iter().map(|way| way.wire()).collect(),
            hold_ms: millis(self.hold),
            request_timeout_ms: self.request_timeout.map(millis),
            routing_region: self.routing_region.clone(),
            compute_region: self.compute_region.clone(),
            egress: self.egress.clone(),
            deployed_unix_ms: self.deployed_unix_ms,
        }
    }
}

impl WebSocketAuth {
    fn wire(self) -> i32 {
        match self {
            Self::Subprotocol => wire::WebSocketAuth::Subprotocol.into(),
            Self::Query => wire::WebSocketAuth::Query.into(),
        }
    }
}
