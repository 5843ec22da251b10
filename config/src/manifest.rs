//! PURE. What users deploy: the TOML manifest, checked, and the server record it becomes. A
//! [`Manifest`] that exists is valid; its JSON form has the same keys and the same words.

mod raw;
mod scaling;
mod text;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::record::{
    Auth, Cors, Domain, Invalid, Millis, Scaling, Server, Version, WebSocketAuth, check_host,
};
use crate::snapshot::ServerView;

pub use scaling::ScalingChange;
pub use text::ManifestError;

/// A checked manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "raw::Raw", into = "raw::Raw")]
pub struct Manifest {
    name: Arc<str>,
    /// A template: its generation is set by [`Manifest::server`].
    version: Version,
    scaling: Scaling,
    /// Empty: that of the server it replaces, or of whoever deploys it.
    tenant: String,
    auth: Auth,
    cors: Option<Cors>,
    websocket_auth: Vec<WebSocketAuth>,
    hold: Duration,
    request_timeout: Option<Duration>,
    routing_region: String,
    compute_region: String,
    egress: String,
    domains: Vec<Arc<str>>,
}

impl Manifest {
    /// Reads a manifest file's text.
    ///
    /// # Errors
    /// Names the key, the line where it is known, and for an unknown key the nearest valid one.
    pub fn from_toml(text: &str) -> Result<Self, ManifestError> {
        text::parse(text)
    }

    /// The server's name.
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The tenant it asks for; empty: whoever's the server is already.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The same for that tenant; a name that is no label is refused by whoever takes the server.
    #[must_use]
    pub fn in_tenant(mut self, tenant: &str) -> Self {
        tenant.clone_into(&mut self.tenant);
        self
    }

    /// Where the command runs; empty: the relay's own directory.
    pub fn working_dir(&self) -> &str {
        &self.version.working_dir
    }

    /// Runs the command in the manifest file's directory unless the manifest names another; a
    /// relative `working_dir` starts there.
    ///
    /// # Errors
    /// The directory isn't UTF-8 or is too long.
    pub fn in_directory(mut self, directory: &Path) -> Result<Self, Invalid> {
        if self.version.command.is_empty() {
            return Ok(self);
        }
        let joined = if self.version.working_dir.is_empty() {
            directory.to_path_buf()
        } else {
            directory.join(&self.version.working_dir)
        };
        self.version.working_dir = joined
            .into_os_string()
            .into_string()
            .map_err(|path| Invalid::new("working_dir", format!("is not UTF-8: {path:?}")))?;
        self.check()?;
        Ok(self)
    }

    /// Refuses host names that belong to the zone: `<server>.<zone>` needs no domain, and nobody
    /// may take another server's.
    ///
    /// # Errors
    /// Names the host.
    pub fn check_zone(&self, zone: &str) -> Result<(), Invalid> {
        let inside = |host: &str| {
            host.strip_suffix(zone)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        match self.domains.iter().find(|host| inside(host)) {
            None => Ok(()),
            Some(host) => Err(Invalid::new(
                "domains",
                format!(
                    "has `{host}`, which is under the zone `{zone}`; this server is \
                     `{}.{zone}` without any entry, remove it",
                    self.name
                ),
            )),
        }
    }

    /// The server record this deploy writes: always the next generation, unproven, with the last
    /// proven version as fallback. That nothing in the manifest changed says nothing about the
    /// files its command runs.
    pub fn server(&self, previous: Option<&Server>, now: Millis) -> Server {
        self.server_above(previous, 0, now)
    }

    /// As [`Manifest::server`], for a name that may still have replicas of a deleted server: their
    /// generations are never used again, so that none of them passes for a copy of this program.
    pub fn server_in(&self, view: Option<&ServerView>, now: Millis) -> Server {
        let previous = view.and_then(|view| view.server.as_deref());
        let highest = view
            .into_iter()
            .flat_map(|view| view.replicas())
            .map(|replica| replica.generation)
            .max()
            .unwrap_or_default();
        self.server_above(previous, highest, now)
    }

    /// The host names this deploy binds.
    pub fn domains(&self) -> Vec<Domain> {
        self.domains
            .iter()
            .map(|host| Domain {
                host: Arc::clone(host),
                server: Arc::clone(&self.name),
            })
            .collect()
    }

    fn server_above(&self, previous: Option<&Server>, used: u64, now: Millis) -> Server {
        let last = previous.map_or(0, |server| server.target.generation);
        let target = Version {
            generation: last.max(used).saturating_add(1),
            ..self.version.clone()
        };
        let fallback = previous.and_then(|server| {
            if server.proven {
                Some(Arc::clone(&server.target))
            } else {
                server.fallback.clone()
            }
        });
        Server {
            name: Arc::clone(&self.name),
            tenant: match (self.tenant.as_str(), previous) {
                ("", Some(server)) => server.tenant.clone(),
                (tenant, _) => tenant.to_owned(),
            },
            target: Arc::new(target),
            proven: false,
            fallback,
            scaling: Scaling {
                // A deploy is no reason to go on with what somebody stopped.
                paused: previous.is_some_and(|server| server.scaling.paused),
                ..self.scaling
            },
            auth: self.auth,
            cors: self.cors.clone(),
            websocket_auth: self.websocket_auth.clone(),
            hold: self.hold,
            request_timeout: self.request_timeout,
            routing_region: self.routing_region.clone(),
            compute_region: self.compute_region.clone(),
            egress: self.egress.clone(),
            deployed_unix_ms: now,
        }
    }

    /// The record's own rules, and those that only a manifest has.
    fn check(&self) -> Result<(), Invalid> {
        self.server(None, 0).check()?;
        if self.domains.len() > limits::MANIFEST_DOMAINS {
            return Err(Invalid::new(
                "domains",
                format!(
                    "has {} names; the limit is {}",
                    self.domains.len(),
                    limits::MANIFEST_DOMAINS
                ),
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        for host in &self.domains {
            check_host("domains", host)?;
            if !seen.insert(host) {
                return Err(Invalid::new("domains", format!("has `{host}` twice")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
