//! What the status page shows, in one answer: the servers that matter most, their replicas with what
//! is in flight, workers and tenants. Bounded however many there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use fprs_config::{ReplicaState, ServerView, Snapshot};
use serde::{Deserialize, Serialize};

use super::workers::{WorkerReport, report_all};
use super::{Api, tenants};
use crate::access::Who;
use crate::driver::unix_ms;
use crate::problem::Problem;
use crate::report::{Counts, ReplicaReport, problem};

/// Servers in one answer: more than a person reads.
const MOST_SERVERS: usize = 100;
/// Replicas of one server in one answer.
const MOST_REPLICAS: usize = 64;

/// What may follow the path.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ask {
    /// Only servers with that in their names.
    like: String,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    zone: String,
    revision: u64,
    now_unix_ms: u64,
    /// What this answer took to find: whoever asks again and again goes by it.
    took_us: u128,
    /// In how many servers the ones below were chosen.
    servers_found: usize,
    totals: Counts,
    in_flight: u64,
    servers: Vec<ServerStatus>,
    tenants: Vec<tenants::TenantReport>,
    /// Of the plane's own people only.
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<Vec<WorkerReport>>,
}

/// One server.
#[derive(Debug, Serialize)]
struct ServerStatus {
    name: String,
    url: String,
    tenant: String,
    generation: u64,
    proven: bool,
    counts: Counts,
    max_replicas: u32,
    in_flight: u64,
    problem: Option<String>,
    replicas: Vec<ReplicaReport>,
}

/// `GET /v1/status`: those with a problem first, then the busiest.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    ask: Result<Query<Ask>, QueryRejection>,
) -> Result<Json<StatusReport>, Problem> {
    let Query(ask) = ask.map_err(|rejection| {
        Problem::new(rejection.status(), rejection.body_text())
            .remedy("the only parameter is `like=TEXT`")
    })?;
    let started = Instant::now();
    let snapshot = api.view.load();
    let in_flight = api.workers.in_flight_of_all();
    let mut found: Vec<_> = snapshot
        .servers()
        .filter(|(name, view)| name.contains(&ask.like) && sees(&who, view))
        .map(|(_, view)| Found::new(&api, view, &in_flight))
        .collect();
    let mut totals = Counts::default();
    for server in &found {
        totals.add(server.counts);
    }
    found.sort_unstable_by(|a, b| a.rank().cmp(&b.rank()));
    let servers = found.iter().take(MOST_SERVERS);
    let servers = servers.filter_map(|server| server.status(&api, &in_flight));
    Ok(Json(StatusReport {
        zone: api.settings.zone.clone(),
        revision: snapshot.revision().0,
        now_unix_ms: unix_ms(),
        servers_found: found.len(),
        totals,
        in_flight: found.iter().map(|server| server.in_flight).sum(),
        servers: servers.collect(),
        tenants: tenants::seen_by(&who, &snapshot, MOST_SERVERS),
        workers: workers(&api, &who, &snapshot),
        took_us: started.elapsed().as_micros(),
    }))
}

/// What a server is ranked by.
struct Found<'a> {
    view: &'a ServerView,
    counts: Counts,
    in_flight: u64,
    problem: Option<String>,
}

impl<'a> Found<'a> {
    fn new(api: &Api, view: &'a ServerView, in_flight: &BTreeMap<Arc<str>, u64>) -> Self {
        let of = |server: &Arc<fprs_config::Server>| {
            let waiting = api.workers.waiting(&server.name);
            problem(server, view, waiting.as_ref(), unix_ms())
        };
        Self {
            counts: Counts::of(view),
            in_flight: view
                .replicas()
                .filter_map(|replica| in_flight.get(&*replica.id))
                .sum(),
            problem: view.server.as_ref().and_then(of),
            view,
        }
    }

    fn rank(&self) -> impl Ord {
        let name = self.view.server.as_ref().map(|server| &server.name);
        (
            self.problem.is_none(),
            std::cmp::Reverse((self.in_flight, self.counts.live())),
            name.cloned(),
        )
    }

    fn status(&self, api: &Api, in_flight: &BTreeMap<Arc<str>, u64>) -> Option<ServerStatus> {
        let server = self.view.server.as_ref()?;
        let live = self
            .view
            .replicas()
            .filter(|replica| replica.state != ReplicaState::Failed);
        let replicas = live.take(MOST_REPLICAS).map(|replica| {
            let count = in_flight.get(&*replica.id).copied();
            ReplicaReport::new(replica, count.unwrap_or_default())
        });
        Some(ServerStatus {
            name: server.name.to_string(),
            url: api.settings.url(&server.name),
            tenant: server.tenant().to_owned(),
            generation: server.target.generation,
            proven: server.proven,
            counts: self.counts,
            max_replicas: server.scaling.max_replicas,
            in_flight: self.in_flight,
            problem: self.problem.clone(),
            replicas: replicas.collect(),
        })
    }
}

fn sees(who: &Who, view: &ServerView) -> bool {
    let server = view.server.as_ref();
    server.is_some_and(|server| who.sees(server.tenant()))
}

fn workers(api: &Api, who: &Who, snapshot: &Snapshot) -> Option<Vec<WorkerReport>> {
    who.sees_the_fleet().then(|| report_all(api, snapshot))
}
