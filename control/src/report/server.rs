//! PURE. A server as users see it: where it answers, which version runs, and, when that does not
//! become ready, the one line that says so.

use std::sync::Arc;

use fprs_config::{Replica, ReplicaState, Revision, Server, ServerView};
use serde::Serialize;

use super::PublicState;
use super::spec::Spec;
use crate::place::NoRoom;

/// One server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerReport {
    name: String,
    url: String,
    domains: Vec<String>,
    /// Of the commit that wrote it.
    revision: u64,
    generation: u64,
    /// A replica of this generation has been ready.
    proven: bool,
    /// What serves until this generation is proven.
    fallback_generation: Option<u64>,
    replicas: Counts,
    /// Why it does not run as deployed, and what serves meanwhile.
    problem: Option<String>,
    deployed_unix_ms: u64,
    spec: Spec,
}

/// Replicas by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    starting: u32,
    ready: u32,
    draining: u32,
    failed: u32,
}

impl ServerReport {
    /// What is told of that server.
    pub(crate) fn new(
        server: &Server,
        view: &ServerView,
        revision: Revision,
        url: String,
        waiting: Option<&NoRoom>,
        now_unix_ms: u64,
    ) -> Self {
        let domains: Vec<_> = view.domains.keys().map(ToString::to_string).collect();
        Self {
            name: server.name.to_string(),
            url,
            revision: revision.0,
            generation: server.target.generation,
            proven: server.proven,
            fallback_generation: server.fallback.as_ref().map(|version| version.generation),
            replicas: Counts::of(view),
            problem: problem(server, view, waiting, now_unix_ms),
            deployed_unix_ms: server.deployed_unix_ms,
            spec: Spec::new(server, domains.clone()),
            domains,
        }
    }
}

impl Counts {
    /// Of one server.
    pub(crate) fn of(view: &ServerView) -> Self {
        let mut counts = Self::default();
        for replica in view.replicas() {
            match PublicState::from(replica.state) {
                PublicState::Draining => counts.draining += 1,
                PublicState::Failed => counts.failed += 1,
                PublicState::Ready => counts.ready += 1,
                PublicState::Starting => counts.starting += 1,
            }
        }
        counts
    }

    /// Replicas that run or are about to.
    pub(crate) const fn live(self) -> u32 {
        self.starting + self.ready + self.draining
    }

    /// Those of one more server.
    pub(crate) const fn add(&mut self, more: Self) {
        self.starting += more.starting;
        self.ready += more.ready;
        self.draining += more.draining;
        self.failed += more.failed;
    }
}

/// Why the server does not run as deployed; `None` while all is well or still to be seen.
pub(crate) fn problem(
    server: &Server,
    view: &ServerView,
    waiting: Option<&NoRoom>,
    now_unix_ms: u64,
) -> Option<String> {
    let failing = failing(server, view, now_unix_ms);
    let waiting = waiting.map(|no_room| format!("a replica waits for a place: {no_room}"));
    let lines: Vec<_> = failing.into_iter().chain(waiting).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

fn failing(server: &Server, view: &ServerView, now_unix_ms: u64) -> Option<String> {
    let generation = server.target.generation;
    let of_target = || {
        view.replicas()
            .filter(move |replica| replica.generation == generation)
    };
    let failed: Vec<&Arc<Replica>> = of_target()
        .filter(|replica| replica.state == ReplicaState::Failed)
        .collect();
    let last = failed.iter().max_by_key(|replica| replica.since_unix_ms)?;
    let reason = first_line(&last.reason);
    let attempts = match failed.len() {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    };
    if server.proven {
        let serves = of_target().any(|replica| replica.state == ReplicaState::Ready);
        let lately = now_unix_ms.abs_diff(last.since_unix_ms) < LATELY_MS;
        return (lately && !serves).then(|| {
            format!("version {generation} ran before and fails now: {reason} ({attempts})")
        });
    }
    let meanwhile = server.fallback.as_ref().map_or_else(
        || "nothing serves yet".to_owned(),
        |fallback| format!("version {} keeps serving", fallback.generation),
    );
    Some(format!(
        "version {generation} is not becoming ready: {reason} ({attempts}); {meanwhile}"
    ))
}

/// A problem is one line, whatever a relay wrote.
fn first_line(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return "no reason was given".to_owned();
    }
    line.chars().take(MAX_REASON_CHARS).collect()
}

/// Of a reason, in a line that people read; all of it is with the replica.
const MAX_REASON_CHARS: usize = 400;

/// A failure of a version that ran before is news for so long: twice the longest pause between two
/// tries. The records of failures are kept longer than that.
const LATELY_MS: u64 = 2 * 60 * 1000;

#[cfg(test)]
mod tests;
