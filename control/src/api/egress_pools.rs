//! Egress pools: which static addresses there are, which gateways can hold them, and whose servers may
//! use them. They are the plane's; a tenant sees those that it may use.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fprs_config::{
    EgressGateway, EgressPolicy, EgressPool, EgressProvider, Key, Kind, Record, Server, Snapshot,
    limits,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, checked, forbidden, read};
use crate::access::Who;
use crate::commit::Group;
use crate::problem::Problem;

/// A pool as it is written. What is left out is as usual.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    static_ips: Vec<Ipv4Addr>,
    gateways: Vec<GatewaySpec>,
    provider: Option<String>,
    policy: Option<String>,
    megabits: Option<u32>,
    #[serde(default)]
    tenant: String,
}

/// A gateway as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewaySpec {
    name: String,
    control: SocketAddr,
    /// Control's address, unless told otherwise.
    node: Option<Ipv4Addr>,
}

/// One pool.
#[derive(Debug, Serialize)]
pub(super) struct PoolReport {
    name: String,
    static_ips: Vec<Ipv4Addr>,
    gateways: Vec<GatewayReport>,
    provider: &'static str,
    policy: &'static str,
    megabits: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant: String,
    /// Servers whose replicas are reached by it.
    servers: Vec<String>,
}

#[derive(Debug, Serialize)]
struct GatewayReport {
    name: String,
    node: Ipv4Addr,
    control: SocketAddr,
    draining: bool,
}

/// Every pool that whoever asks may use, by name.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Json<Vec<PoolReport>> {
    let snapshot = api.view.load();
    let mut pools: Vec<_> = snapshot
        .egress_pools()
        .filter(|pool| pool.tenant.is_empty() || who.sees(&pool.tenant))
        .map(|pool| report(&snapshot, &who, pool))
        .collect();
    pools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Json(pools)
}

/// Writes a pool: a new one, or another version of one that is there. Gateways that drain go on.
pub(super) async fn put(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PoolReport>, Problem> {
    admin(&who)?;
    let pool = pool(&name, read("egress pool", body)?)?;
    checked(Record::EgressPool(pool.clone()))?;
    change(&api, &who, "set", &name, |snapshot| {
        let mut pool = pool.clone();
        let others = snapshot.egress_pools().filter(|other| other.name != name);
        let others: Vec<_> = others.collect();
        if others.len() >= limits::EGRESS_POOLS {
            let detail = format!("there are {} egress pools already", limits::EGRESS_POOLS);
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
                .remedy("remove one that is no longer needed"));
        }
        for other in others {
            apart(&pool, other)?;
        }
        if let Some(current) = snapshot.egress_pool(&name) {
            for gateway in &mut pool.gateways {
                let known = current.gateways.iter();
                gateway.draining = known
                    .filter(|known| known.name == gateway.name)
                    .any(|known| known.draining);
            }
        }
        Ok(pool)
    })
    .await
}

/// Removes a pool that no server uses.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    admin(&who)?;
    let what = format!("egress_pool/{name}");
    let revision = api
        .commit(&who, "remove", &what, |snapshot| {
            snapshot.egress_pool(&name).ok_or_else(|| no_pool(&name))?;
            if let Some(server) = users(snapshot, &name).next() {
                let detail = format!("the server `{}` uses the egress pool `{name}`", server.name);
                return Err(Problem::new(StatusCode::CONFLICT, detail)
                    .remedy("deploy it without `egress` first"));
            }
            let mut group = Group::default();
            group.delete(snapshot, Key::new(Kind::EgressPool, &name));
            Ok(group)
        })
        .await?;
    Ok(Json(json!({ "name": name, "revision": revision.0 })))
}

/// Moves a pool's addresses from one of its gateways.
pub(super) async fn drain(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((name, gateway)): Path<(String, String)>,
) -> Result<Json<PoolReport>, Problem> {
    set_draining(&api, &who, &name, &gateway, true).await
}

/// Lets a gateway own addresses of a pool again.
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((name, gateway)): Path<(String, String)>,
) -> Result<Json<PoolReport>, Problem> {
    set_draining(&api, &who, &name, &gateway, false).await
}

async fn set_draining(
    api: &Api,
    who: &Who,
    name: &str,
    gateway: &str,
    draining: bool,
) -> Result<Json<PoolReport>, Problem> {
    admin(who)?;
    let action = if draining { "drain" } else { "resume" };
    change(api, who, action, name, |snapshot| {
        let pool = snapshot.egress_pool(name).ok_or_else(|| no_pool(name))?;
        let mut pool = EgressPool::clone(pool);
        let known = pool.gateways.iter_mut().find(|known| known.name == gateway);
        let known = known.ok_or_else(|| {
            let detail = format!("the egress pool `{name}` has no gateway `{gateway}`");
            Problem::new(StatusCode::NOT_FOUND, detail)
                .remedy("`fprs egress pool list` shows those it has")
        })?;
        known.draining = draining;
        Ok(pool)
    })
    .await
}

async fn change(
    api: &Api,
    who: &Who,
    action: &str,
    name: &str,
    decide: impl Fn(&Snapshot) -> Result<EgressPool, Problem> + Send + Sync,
) -> Result<Json<PoolReport>, Problem> {
    let what = format!("egress_pool/{name}");
    api.commit(who, action, &what, |snapshot| {
        let mut group = Group::default();
        group.put(snapshot, &Record::EgressPool(decide(snapshot)?));
        Ok(group)
    })
    .await?;
    let snapshot = api.view.load();
    let pool = snapshot.egress_pool(name).ok_or_else(|| no_pool(name))?;
    Ok(Json(report(&snapshot, who, pool)))
}

fn pool(name: &str, spec: Spec) -> Result<EgressPool, Problem> {
    let provider = spec
        .provider
        .as_deref()
        .map_or(Ok(EgressProvider::Link), |text| {
            let known = EgressProvider::parse(text);
            known.ok_or_else(|| unknown("provider", text, "the providers are `link` and `aws`"))
        })?;
    let policy = spec
        .policy
        .as_deref()
        .map_or(Ok(EgressPolicy::Strict), |text| {
            let known = EgressPolicy::parse(text);
            known.ok_or_else(|| {
                unknown(
                    "policy",
                    text,
                    "the policies are `strict` and `prefer-available`",
                )
            })
        })?;
    if policy == EgressPolicy::PreferAvailable && spec.static_ips.len() < 2 {
        let why = "a pool of one static IP has no other to leave by; give it two, or use `strict`";
        return Err(unknown("policy", policy.text(), why));
    }
    let gateways = spec.gateways.into_iter().map(|gateway| {
        let node = match (gateway.node, gateway.control.ip()) {
            (Some(node), _) | (None, IpAddr::V4(node)) => node,
            (None, IpAddr::V6(_)) => {
                let control = gateway.control.to_string();
                return Err(unknown(
                    "control",
                    &control,
                    "tunnels are IPv4: say `node`, too",
                ));
            }
        };
        Ok(EgressGateway {
            name: gateway.name,
            node,
            control: gateway.control,
            draining: false,
        })
    });
    Ok(EgressPool {
        name: name.to_owned(),
        static_ips: spec.static_ips,
        gateways: gateways.collect::<Result<_, _>>()?,
        provider,
        policy,
        megabits: spec.megabits,
        tenant: spec.tenant,
    })
}

/// Two pools share no address, and mean the same gateway by one name.
fn apart(pool: &EgressPool, other: &EgressPool) -> Result<(), Problem> {
    let conflict = |detail: String| {
        let problem = Problem::new(StatusCode::CONFLICT, detail);
        Err(problem.remedy("`fprs egress pool list` shows what there is"))
    };
    let shared = pool
        .static_ips
        .iter()
        .find(|ip| other.static_ips.contains(ip));
    if let Some(ip) = shared {
        return conflict(format!("{ip} is of the egress pool `{}`", other.name));
    }
    for gateway in &pool.gateways {
        let known = other
            .gateways
            .iter()
            .find(|known| known.name == gateway.name);
        if let Some(known) = known
            && (known.node, known.control) != (gateway.node, gateway.control)
        {
            return conflict(format!(
                "the gateway `{}` is at {} in the egress pool `{}`",
                known.name, known.control, other.name
            ));
        }
    }
    Ok(())
}

fn report(snapshot: &Snapshot, who: &Who, pool: &EgressPool) -> PoolReport {
    let gateways = pool.gateways.iter().map(|gateway| GatewayReport {
        name: gateway.name.clone(),
        node: gateway.node,
        control: gateway.control,
        draining: gateway.draining,
    });
    let mut servers: Vec<String> = users(snapshot, &pool.name)
        .filter(|server| who.sees(server.tenant()))
        .map(|server| server.name.to_string())
        .collect();
    servers.sort_unstable();
    PoolReport {
        name: pool.name.clone(),
        static_ips: pool.static_ips.clone(),
        gateways: gateways.collect(),
        provider: pool.provider.text(),
        policy: pool.policy.text(),
        megabits: pool.megabits,
        tenant: pool.tenant.clone(),
        servers,
    }
}

/// Servers that use a pool.
fn users<'a>(snapshot: &'a Snapshot, pool: &'a str) -> impl Iterator<Item = &'a Server> {
    let servers = snapshot.servers();
    let servers = servers.filter_map(|(_, view)| view.server.as_deref());
    servers.filter(move |server| server.egress == pool)
}

fn admin(who: &Who) -> Result<(), Problem> {
    if who.is_admin() {
        return Ok(());
    }
    Err(forbidden(who))
}

fn unknown(field: &str, value: &str, remedy: &str) -> Problem {
    let detail = format!("`{field}` is `{value}`");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).remedy(remedy)
}

fn no_pool(name: &str) -> Problem {
    let detail = format!("there is no egress pool `{name}`");
    Problem::new(StatusCode::NOT_FOUND, detail)
        .remedy("`fprs egress pool list` lists those there are")
}
