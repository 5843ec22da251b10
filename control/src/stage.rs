//! Writes that come in force in some cells first. A request says so in its query; what it would write is
//! written as rollouts instead, which one order promotes or takes back together.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fprs_config::{Kind, Record, Rollout, Snapshot};
use http::{Method, StatusCode};

use crate::commit::Group;
use crate::problem::Problem;

/// For which cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stage {
    cells: Vec<String>,
    basis_points: u32,
}

tokio::task_local! {
    static STAGE: Stage;
}

/// What of the API can be staged.
const STAGED: [&str; 5] = [
    "/v1/servers/",
    "/v1/mirrors/",
    "/v1/tenants/",
    "/v1/issuers/",
    "/v1/tokens/",
];

/// Reads `cells=a,b` and `cells_percent=10` of a request that writes.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let stage = match Stage::of(request.uri().query().unwrap_or_default()) {
        Ok(stage) => stage,
        Err(problem) => return problem.into_response(),
    };
    if stage == Stage::default() || request.method() == Method::GET {
        return next.run(request).await;
    }
    let path = request.uri().path();
    if !STAGED.iter().any(|prefix| path.starts_with(prefix)) {
        let detail = format!("`{path}` can't be staged");
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        return problem
            .remedy("leave out `cells`: it comes in force everywhere")
            .into_response();
    }
    STAGE.scope(stage, next.run(request)).await
}

/// How the request that is served is meant; `None`: for all cells.
pub(crate) fn current() -> Option<Stage> {
    STAGE.try_with(Clone::clone).ok()
}

impl Stage {
    fn of(query: &str) -> Result<Self, Problem> {
        let mut stage = Self::default();
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("cells", cells)) => {
                    let cells = cells.split(',').filter(|cell| !cell.is_empty());
                    stage.cells.extend(cells.map(str::to_owned));
                }
                Some(("cells_percent", percent)) => stage.basis_points = points(percent)?,
                _ => {}
            }
        }
        Ok(stage)
    }

    /// The rollouts of what the group writes, as one set.
    pub(crate) fn group(
        &self,
        snapshot: &Snapshot,
        group: &Group,
        set: &str,
    ) -> Result<Group, Problem> {
        let mut staged = Group::default();
        for (change, base) in group.writes() {
            let key = &change.key;
            let kind = Kind::from_name(&key.kind).filter(|kind| Rollout::stages(*kind));
            let kind = kind.ok_or_else(|| refused(&format!("{key} can't be staged")))?;
            let record = change.value.as_ref();
            let record = record.map(|value| Record::decode(key, value)).transpose();
            let rollout = Record::Rollout(Rollout {
                name: key.to_string(),
                kind,
                record: key.name.clone(),
                staged: record.map_err(|reason| refused(&reason))?.map(Box::new),
                cells: self.cells.clone(),
                basis_points: self.basis_points,
                base,
                set: set.to_owned(),
            });
            rollout
                .check()
                .map_err(|invalid| refused(&invalid.to_string()))?;
            staged.put(snapshot, &rollout);
            staged.expect(key.clone(), base);
        }
        Ok(staged)
    }

    /// What whoever staged something is told. It is no problem: but there is nothing to show yet.
    pub(crate) fn done(&self, set: &str) -> Problem {
        let cells = match (self.cells.is_empty(), self.basis_points) {
            (false, 0) => format!("the cells {}", self.cells.join(", ")),
            (true, points) => format!("{} % of the cells", f64::from(points) / 100.0),
            (false, points) => format!(
                "the cells {} and {} % of all",
                self.cells.join(", "),
                f64::from(points) / 100.0
            ),
        };
        Problem::new(StatusCode::ACCEPTED, format!("{set} is staged for {cells}")).remedy(format!(
            "`fprs rollout promote {set}` brings it in force everywhere, `fprs rollout back {set}` takes \
             it back"
        ))
    }
}

/// Writes nothing of which another version is staged: promoting that would undo it unseen.
pub(crate) fn free(snapshot: &Snapshot, group: &Group) -> Result<(), Problem> {
    let ends = |rollout: &Rollout| {
        let key = Rollout::key_of(&rollout.target());
        group.writes().any(|(change, _)| change.key == key)
    };
    let mut open = group
        .writes()
        .filter_map(|(change, _)| snapshot.rollout(&change.key.to_string()));
    match open.find(|rollout| !ends(rollout)) {
        None => Ok(()),
        Some(rollout) => {
            let detail = format!("another version of {} is staged", rollout.name);
            let set = &rollout.set;
            Err(Problem::new(StatusCode::CONFLICT, detail).remedy(format!(
                "`fprs rollout promote {set}` or `fprs rollout back {set}` first"
            )))
        }
    }
}

fn points(percent: &str) -> Result<u32, Problem> {
    let points = percent.parse::<f64>().ok().map(|percent| percent * 100.0);
    let points = points.filter(|points| (1.0..=10_000.0).contains(points));
    let points = points.ok_or_else(|| {
        let detail = format!("`cells_percent` is `{percent}`");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).remedy("it is 0.01 to 100")
    })?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to 10,000"
    )]
    Ok(points.round() as u32)
}

fn refused(reason: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason)
        .remedy("nothing was changed; correct what it names")
}
