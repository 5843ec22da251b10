//! PURE. Who may do what on the admin port: by role and path, and within that by tenant. What isn't
//! allowed here is refused before any handler sees it; handlers ask about the tenant.

use std::fmt;
use std::sync::Arc;

use fprs_config::{Millis, SecretHash, Snapshot, TokenRole};
use http::{HeaderMap, Method};

use crate::token::{AdminToken, bearer};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// `admin`, or the id of a token: what the audit log says.
    pub(crate) name: Arc<str>,
    /// What they may do.
    pub(crate) access: Access,
}

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything.
    Admin,
    /// Deploy that tenant's servers, make its callers' tokens and issuers, and see all that is its.
    Deployer(Arc<str>),
    /// See that tenant's part, or all.
    Viewer(Option<Arc<str>>),
    /// Attach a relay.
    Worker,
}

/// The paths of what only attaches relays.
const WORKERS: &str = "/fprs.worker.v1.Workers/";

/// The paths of what belongs to tenants; handlers look at whose it is.
const OF_TENANTS: [&str; 10] = [
    "/v1/servers",
    "/v1/tokens",
    "/v1/tickets",
    "/v1/tenants",
    "/v1/issuers",
    "/v1/mirrors",
    "/v1/egress/pools",
    "/v1/splits",
    "/v1/status",
    "/v1/usage",
];

impl Who {
    /// Whoever has the plane's own token.
    pub(crate) fn admin() -> Self {
        Self {
            name: "admin".into(),
            access: Access::Admin,
        }
    }

    /// Who sends those fields, by the plane's own token or one of the store's. The same is done for
    /// an id that doesn't exist as for one that does.
    pub(crate) fn of(
        fields: &HeaderMap,
        own: &AdminToken,
        snapshot: Option<&Snapshot>,
        now: Millis,
    ) -> Option<Self> {
        let presented = bearer(fields)?;
        if own.equals(presented) {
            return Some(Self::admin());
        }
        let (id, secret) = presented.split_once('.')?;
        let hash = SecretHash::of(secret.as_bytes());
        let token = snapshot?.token(id);
        let secrets = token.map(|token| token.secrets.as_slice());
        let matches = secrets.unwrap_or(&[SecretHash([0; 32])]).iter();
        let matches = matches.fold(false, |any, secret| any | secret.matches(&hash));
        let token = token.filter(|token| matches && !token.is_expired(now))?;
        let tenant: Arc<str> = token.tenant.as_str().into();
        let access = match token.role {
            TokenRole::Caller | TokenRole::Ticket => return None,
            TokenRole::Admin => Access::Admin,
            TokenRole::Deployer => Access::Deployer(tenant),
            TokenRole::Viewer if tenant.is_empty() => Access::Viewer(None),
            TokenRole::Viewer => Access::Viewer(Some(tenant)),
            TokenRole::Worker => Access::Worker,
        };
        let name = id.into();
        Some(Self { name, access })
    }

    /// They may ask that at all.
    pub(crate) fn may(&self, method: &Method, path: &str) -> bool {
        let of_tenants = || {
            let under = |start: &&str| {
                path.strip_prefix(*start)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            OF_TENANTS.iter().any(under)
        };
        match &self.access {
            Access::Admin => true,
            Access::Worker => path.starts_with(WORKERS),
            Access::Deployer(_) => of_tenants(),
            Access::Viewer(Some(_)) => *method == Method::GET && of_tenants(),
            Access::Viewer(None) => *method == Method::GET && path.starts_with("/v1/"),
        }
    }

    /// They may do everything.
    pub(crate) fn is_admin(&self) -> bool {
        self.access == Access::Admin
    }

    /// They may see what is nobody's but the plane's.
    pub(crate) fn sees_the_fleet(&self) -> bool {
        matches!(self.access, Access::Admin | Access::Viewer(None))
    }

    /// They may see what is that tenant's.
    pub(crate) fn sees(&self, tenant: &str) -> bool {
        match &self.access {
            Access::Admin | Access::Viewer(None) => true,
            Access::Deployer(own) | Access::Viewer(Some(own)) => **own == *tenant,
            Access::Worker => false,
        }
    }

    /// They may change what is that tenant's.
    pub(crate) fn changes(&self, tenant: &str) -> bool {
        match &self.access {
            Access::Admin => true,
            Access::Deployer(own) => **own == *tenant,
            Access::Viewer(_) | Access::Worker => false,
        }
    }

    /// The tenant they mean where they name none.
    pub(crate) fn own_tenant(&self) -> &str {
        match &self.access {
            Access::Deployer(own) => own,
            Access::Admin | Access::Viewer(_) | Access::Worker => fprs_config::DEFAULT_TENANT,
        }
    }

    /// They may give somebody that role.
    pub(crate) fn grants(&self, role: TokenRole) -> bool {
        match &self.access {
            Access::Admin => true,
            // Another deployer is no more than they are, but would outlive them.
            Access::Deployer(_) => role.calls(),
            Access::Viewer(_) | Access::Worker => false,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(access: Access) -> Who {
        Who {
            name: "t".into(),
            access,
        }
    }

    #[test]
    fn every_role_may_ask_for_its_own_and_nothing_else() {
        let deployer = || who(Access::Deployer("acme".into()));
        let viewer = || who(Access::Viewer(Some("acme".into())));
        let viewer_of_all = || who(Access::Viewer(None));
        let worker = || who(Access::Worker);
        let commit = "/fprs.feed.v1.Feed/Commit";
        let watch = "/fprs.feed.v1.Feed/Watch";
        let attach = "/fprs.worker.v1.Workers/Attach";
        let report = "/fprs.demand.v1.Demand/Report";
        // Paths; then who may GET and who may PUT there: deployer, viewer, viewer of all, worker.
        for (path, get, put) in [
            ("/v1/servers", [1, 1, 1, 0], [1, 0, 0, 0]),
            ("/v1/servers/a/logs", [1, 1, 1, 0], [1, 0, 0, 0]),
            ("/v1/tokens", [1, 1, 1, 0], [1, 0, 0, 0]),
            ("/v1/issuers/a", [1, 1, 1, 0], [1, 0, 0, 0]),
            ("/v1/mirrors/a/report", [1, 1, 1, 0], [1, 0, 0, 0]),
            ("/v1/splits/a", [1, 1, 1, 0], [1, 0, 0, 0]),
            ("/v1/status", [1, 1, 1, 0], [1, 0, 0, 0]),
            ("/v1/serversx", [0, 0, 1, 0], [0, 0, 0, 0]),
            ("/v1/workers", [0, 0, 1, 0], [0, 0, 0, 0]),
            ("/v1/config", [0, 0, 1, 0], [0, 0, 0, 0]),
            (commit, [0, 0, 0, 0], [0, 0, 0, 0]),
            (watch, [0, 0, 0, 0], [0, 0, 0, 0]),
            (report, [0, 0, 0, 0], [0, 0, 0, 0]),
            (attach, [0, 0, 0, 1], [0, 0, 0, 1]),
            ("/", [0, 0, 0, 0], [0, 0, 0, 0]),
        ] {
            for (method, may) in [(Method::GET, get), (Method::PUT, put)] {
                let all = [deployer(), viewer(), viewer_of_all(), worker()];
                let said = all.map(|who| u8::from(who.may(&method, path)));
                assert_eq!(said, may, "{method} {path}");
                assert!(Who::admin().may(&method, path));
            }
        }
    }

    #[test]
    fn a_tenants_role_ends_at_its_tenant() {
        let deployer = who(Access::Deployer("acme".into()));
        let viewer = who(Access::Viewer(Some("acme".into())));
        for who in [&deployer, &viewer] {
            assert!(who.sees("acme") && !who.sees("other") && !who.sees("default"));
        }
        assert!(deployer.changes("acme") && !deployer.changes("other"));
        assert!(!viewer.changes("acme"));
        assert!(!who(Access::Worker).sees("acme"));
        let granted = TokenRole::ALL
            .into_iter()
            .filter(|role| deployer.grants(*role));
        assert_eq!(
            granted.collect::<Vec<_>>(),
            [TokenRole::Caller, TokenRole::Ticket]
        );
        assert!(
            TokenRole::ALL
                .into_iter()
                .all(|role| Who::admin().grants(role))
        );
    }
}
