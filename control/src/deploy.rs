//! PURE. What a deploy and a deletion write: the server and its custom host names, in one group.

use fprs_config::record::Invalid;
use fprs_config::{Key, Kind, Manifest, Record, Snapshot, limits};

use crate::commit::Group;

/// Why a manifest is not deployed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeployError {
    /// Another server has that host name.
    #[error("the host name `{host}` belongs to the server `{server}`")]
    HostTaken {
        /// Which.
        host: String,
        /// Whose.
        server: String,
    },
    /// A field that can't be used on this plane.
    #[error("the manifest's {0}")]
    Invalid(#[from] Invalid),
    /// A feature this plane doesn't have.
    #[error("the manifest's `{field}` asks for {what}, which this plane does not have")]
    Missing {
        /// The manifest's key.
        field: &'static str,
        /// What it would need.
        what: String,
    },
    /// `<name>.<zone>` is no host name.
    #[error("`{0}` is longer than a host name may be ({max} characters)", max = limits::HOST_BYTES)]
    TooLong(String),
}

impl DeployError {
    /// What the user can do about it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::HostTaken { host, server } => format!(
                "remove `{host}` from the domains of `{server}` and deploy that first, or choose \
                 another host name"
            ),
            Self::Invalid(_) => "correct the manifest and deploy again".to_owned(),
            Self::Missing {
                field: "egress", ..
            } => "choose one of `fprs egress pool list`, or remove `egress`, and deploy again"
                .to_owned(),
            Self::Missing { field, .. } => format!("remove `{field}` and deploy again"),
            Self::TooLong(_) => "choose a shorter name".to_owned(),
        }
    }
}

/// What deploying that manifest writes, on a plane of that zone that runs images or doesn't.
pub(crate) fn deploy(
    snapshot: &Snapshot,
    (zone, images): (&str, bool),
    manifest: &Manifest,
    unix_ms: u64,
) -> Result<Group, DeployError> {
    let view = snapshot.server(manifest.name()).map(AsRef::as_ref);
    let server = manifest.server_in(view, unix_ms);
    check(snapshot, (zone, images), manifest, &server)?;
    let mut group = Group::default();
    let domains = manifest.domains();
    for domain in &domains {
        let owner = snapshot.domain(&domain.host).map(|owned| &owned.server);
        if let Some(owner) = owner.filter(|owner| **owner != server.name)
            && snapshot
                .server(owner)
                .is_some_and(|view| view.server.is_some())
        {
            return Err(DeployError::HostTaken {
                host: domain.host.to_string(),
                server: owner.to_string(),
            });
        }
        group.put(snapshot, &Record::Domain(domain.clone()));
    }
    let released = view
        .into_iter()
        .flat_map(|view| view.domains.keys())
        .filter(|host| domains.iter().all(|domain| domain.host != **host));
    for host in released {
        group.delete(snapshot, Key::new(Kind::Domain, host));
    }
    group.put(snapshot, &Record::Server(server));
    Ok(group)
}

/// What deleting that server writes; `None` where there is none. Its domains and mirrors go with it;
/// its replicas are drained by the autoscaler.
pub(crate) fn delete(snapshot: &Snapshot, name: &str) -> Option<Group> {
    let view = snapshot.server(name)?;
    view.server.as_ref()?;
    let mut group = Group::default();
    group.delete(snapshot, Key::new(Kind::Server, name));
    for host in view.domains.keys() {
        group.delete(snapshot, Key::new(Kind::Domain, host));
    }
    for mirror in view.mirrors.keys() {
        group.delete(snapshot, Key::new(Kind::Mirror, mirror));
    }
    Some(group)
}

fn check(
    snapshot: &Snapshot,
    (zone, images): (&str, bool),
    manifest: &Manifest,
    server: &fprs_config::Server,
) -> Result<(), DeployError> {
    manifest.check_zone(zone)?;
    let host = format!("{}.{zone}", server.name);
    if host.len() > limits::HOST_BYTES {
        return Err(DeployError::TooLong(host));
    }
    if !images && !server.target.image.is_empty() {
        return Err(DeployError::Missing {
            field: "image",
            what: "an executor for container images (`fprs control --kubernetes`)".to_owned(),
        });
    }
    let pool = snapshot.egress_pool(&server.egress);
    if !server.egress.is_empty() && pool.is_none_or(|pool| !pool.serves(server.tenant())) {
        return Err(DeployError::Missing {
            field: "egress",
            what: format!("the egress pool `{}`", server.egress),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
