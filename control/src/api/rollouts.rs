//! What is staged for some cells: shown, promoted, taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use fprs_config::{Rollout, Snapshot};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Api, forbidden, read};
use crate::access::Who;
use crate::commit::Group;
use crate::problem::Problem;

/// Which one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    set: String,
}

/// What is promoted together.
#[derive(Debug, Serialize)]
pub(super) struct SetReport {
    set: String,
    cells: Vec<String>,
    percent: f64,
    records: Vec<RecordReport>,
}

#[derive(Debug, Serialize)]
struct RecordReport {
    record: String,
    deleted: bool,
    /// The promoted version's.
    base_revision: Option<u64>,
    /// The staged version's.
    revision: Option<u64>,
}

/// Everything that is staged, by name.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Result<Json<Vec<SetReport>>, Problem> {
    if !who.sees_the_fleet() {
        return Err(forbidden(&who));
    }
    let snapshot = api.view.load();
    let mut sets: BTreeMap<&str, Vec<&Arc<Rollout>>> = BTreeMap::new();
    for rollout in snapshot.rollouts() {
        sets.entry(&rollout.set).or_default().push(rollout);
    }
    let reports = sets.into_iter().map(|(set, rollouts)| {
        let first = rollouts.first();
        let mut records: Vec<_> = rollouts
            .iter()
            .map(|rollout| RecordReport {
                record: rollout.name.clone(),
                deleted: rollout.staged.is_none(),
                base_revision: rollout.base.map(|base| base.0),
                revision: snapshot
                    .written(&Rollout::key_of(&rollout.target()))
                    .map(|revision| revision.0),
            })
            .collect();
        records.sort_unstable_by(|a, b| a.record.cmp(&b.record));
        SetReport {
            set: set.to_owned(),
            cells: first.map(|first| first.cells.clone()).unwrap_or_default(),
            percent: first.map_or(0.0, |first| f64::from(first.basis_points) / 100.0),
            records,
        }
    });
    Ok(Json(reports.collect()))
}

/// What is staged comes in force everywhere.
pub(super) async fn promote(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let Named { set } = read("rollout", body)?;
    end(&api, &who, "promote", &set, |snapshot, rollout, group| {
        let target = rollout.target();
        if snapshot.written(&target) != rollout.base {
            let detail = format!("{target} was written since another version of it was staged");
            return Err(Problem::new(StatusCode::CONFLICT, detail)
                .remedy("take that back, and stage it again"));
        }
        group.add(snapshot, rollout.promotion());
        Ok(())
    })
    .await
}

/// What is staged is in force nowhere any more.
pub(super) async fn back(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let Named { set } = read("rollout", body)?;
    end(&api, &who, "take back", &set, |_, _, _| Ok(())).await
}

async fn end(
    api: &Api,
    who: &Who,
    action: &str,
    set: &str,
    with: impl Fn(&Snapshot, &Rollout, &mut Group) -> Result<(), Problem> + Send + Sync,
) -> Result<Json<Value>, Problem> {
    if !who.is_admin() {
        return Err(forbidden(who));
    }
    let revision = api
        .commit(who, action, set, |snapshot| {
            let mut group = Group::default();
            for rollout in snapshot.rollouts().filter(|rollout| rollout.set == set) {
                with(snapshot, rollout, &mut group)?;
                group.delete(snapshot, Rollout::key_of(&rollout.target()));
            }
            if group.is_empty() {
                let detail = format!("nothing is staged as `{set}`");
                return Err(Problem::new(StatusCode::NOT_FOUND, detail)
                    .remedy("`fprs rollout list` lists what is"));
            }
            Ok(group)
        })
        .await?;
    Ok(Json(json!({ "set": set, "revision": revision.0 })))
}
