//! What replicas print, from the relays that run them, as lines of text.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use fprs_config::{Replica, Snapshot};
use futures_util::{Stream, stream};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Api;
use super::servers::visible;
use crate::access::Who;
use crate::problem::Problem;
use crate::tail::{Chunk, Tail, TailId};

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ask {
    /// Of each replica, from the end.
    lines: u32,
    /// Go on with what is printed from now on, by replicas to come too.
    follow: bool,
    /// Only of this one.
    replica: Option<String>,
}

/// The lines of one reader, until it hangs up or there are no more.
struct Output {
    api: Api,
    server: String,
    ask: Ask,
    tails: BTreeMap<Arc<str>, TailId>,
    /// Kept while replicas may still come.
    sender: Option<mpsc::Sender<Chunk>>,
    chunks: mpsc::Receiver<Chunk>,
    deadline: Option<Instant>,
}

/// Streams the lines of the server's replicas, each line behind its replica's id.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    ask: Result<Query<Ask>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(mut ask) = ask.map_err(|rejection| {
        Problem::new(rejection.status(), rejection.body_text())
            .remedy("the parameters are `lines=N`, `follow=true` and `replica=ID`")
    })?;
    ask.lines = ask.lines.min(MAX_LINES);
    let snapshot = api.view.load();
    let view = visible(&snapshot, &who, &name)?;
    if let Some(replica) = &ask.replica
        && !view.replicas.contains_key(replica.as_str())
    {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("the server `{name}` has no replica `{replica}`"),
        )
        .remedy(format!(
            "`GET /v1/servers/{name}/replicas?all=true` lists those it has"
        )));
    }
    let output = Output::open(api, name, ask, &snapshot);
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    let body = Body::from_stream(output.into_stream());
    Ok(([(CONTENT_TYPE, content_type)], body).into_response())
}

impl Output {
    fn open(api: Api, server: String, ask: Ask, snapshot: &Snapshot) -> Self {
        let (sender, chunks) = Tail::channel();
        let deadline = (!ask.follow).then(|| Instant::now() + BACKLOG_DEADLINE);
        let mut output = Self {
            api,
            server,
            ask,
            tails: BTreeMap::new(),
            sender: Some(sender),
            chunks,
            deadline,
        };
        output.ask_for_new(snapshot);
        if !output.ask.follow {
            output.sender = None;
        }
        output
    }

    /// Asks the workers of replicas that were not asked for yet.
    fn ask_for_new(&mut self, snapshot: &Snapshot) {
        let (Some(view), Some(sender)) = (snapshot.server(&self.server), &self.sender) else {
            return;
        };
        self.tails.retain(|id, _| view.replicas.contains_key(id));
        for replica in view.replicas() {
            if self.tails.len() >= MAX_REPLICAS {
                break;
            }
            if self.tails.contains_key(&replica.id) || !self.wants(replica) {
                continue;
            }
            let Some(worker) = &replica.worker else {
                continue;
            };
            let tail = Tail::new(Arc::clone(&replica.id), sender.clone());
            let (lines, follow) = (self.ask.lines, self.ask.follow);
            if let Some(id) = self
                .api
                .workers
                .tail(worker, &replica.id, lines, follow, tail)
            {
                self.tails.insert(Arc::clone(&replica.id), id);
            }
        }
    }

    fn wants(&self, replica: &Replica) -> bool {
        self.ask
            .replica
            .as_ref()
            .is_none_or(|wanted| **wanted == *replica.id)
    }

    fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, async |mut output| {
            let chunk = output.next().await?;
            Some((Ok(Bytes::from(chunk.text())), output))
        })
    }

    async fn next(&mut self) -> Option<Chunk> {
        loop {
            tokio::select! {
                chunk = self.chunks.recv() => return chunk,
                snapshot = self.api.view.changed(), if self.ask.follow => {
                    self.ask_for_new(&*snapshot?);
                }
                () = past(self.deadline) => return None,
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        for id in self.tails.values() {
            self.api.workers.cancel_tail(*id);
        }
    }
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            lines: DEFAULT_LINES,
            follow: false,
            replica: None,
        }
    }
}

async fn past(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Lines of each replica where the caller doesn't say.
const DEFAULT_LINES: u32 = 100;
/// Lines of each replica at most; relays keep fewer.
const MAX_LINES: u32 = 10_000;
/// Replicas one reader follows at a time: each costs its relay a copy of every line.
const MAX_REPLICAS: usize = 32;
/// Without `follow`, how long a relay may take over its backlog.
const BACKLOG_DEADLINE: Duration = Duration::from_secs(5);
