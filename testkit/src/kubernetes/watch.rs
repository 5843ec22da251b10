//! A watch: every change after a version, as lines of JSON, and a bookmark now and then.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Cluster;
use super::state::{Change, Kind};

/// The lines of a watch as they come; its end is the connection's word for "ended".
pub(super) struct Lines(mpsc::Receiver<Bytes>);

/// Which objects, from where, for how long.
pub(super) struct Asked {
    pub(super) kind: Kind,
    pub(super) labels: Vec<(String, String)>,
    pub(super) version: u64,
    pub(super) bookmarks: bool,
    pub(super) within: Duration,
}

const BOOKMARK_EVERY: Duration = Duration::from_millis(500);

impl Asked {
    pub(super) fn selects(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels
            .iter()
            .all(|(key, value)| labels[key] == **value)
    }
}

pub(super) fn watch(cluster: Cluster, asked: Asked) -> Lines {
    let (lines, receiver) = mpsc::channel(64);
    tokio::spawn(async move { run(&cluster, asked, &lines).await });
    Lines(receiver)
}

async fn run(cluster: &Cluster, asked: Asked, lines: &mpsc::Sender<Bytes>) -> Option<()> {
    let until = Instant::now() + asked.within;
    let mut changed = cluster.shared.changed.subscribe();
    let mut ended = cluster.shared.ended.subscribe();
    ended.mark_unchanged();
    let mut version = asked.version;
    loop {
        changed.mark_unchanged();
        let (since, now) = {
            let state = cluster.state();
            (state.since(asked.kind, version), state.version())
        };
        let Some(since) = since else {
            let gone = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                "reason": "Expired", "message": format!("too old resource version: {version}"),
            });
            send(lines, "ERROR", &gone).await?;
            return None;
        };
        for change in since {
            tell(&asked, change, lines).await?;
        }
        version = now;
        let pause = until.min(Instant::now() + BOOKMARK_EVERY);
        let quiet = tokio::select! {
            heard = timeout_at(pause, changed.changed()) => heard.is_err(),
            _ = ended.changed() => return None,
            () = lines.closed() => return None,
            () = sleep_until(until) => return None,
        };
        if quiet && asked.bookmarks {
            let mark = json!({
                "kind": asked.kind.name(), "apiVersion": asked.kind.api_version(),
                "metadata": { "resourceVersion": version.to_string() },
            });
            send(lines, "BOOKMARK", &mark).await?;
        }
    }
}

/// An object that is selected no more is as good as gone, and one that comes to be as good as new.
async fn tell(asked: &Asked, change: Change, lines: &mpsc::Sender<Bytes>) -> Option<()> {
    let was = change.was.filter(|was| asked.selects(was));
    let is = change.is.filter(|is| asked.selects(is));
    match (was, is) {
        (None, None) => Some(()),
        (None, Some(is)) => send(lines, "ADDED", &is).await,
        (Some(_), Some(is)) => send(lines, "MODIFIED", &is).await,
        (Some(mut was), None) => {
            was["metadata"]["resourceVersion"] = change.version.to_string().into();
            send(lines, "DELETED", &was).await
        }
    }
}

async fn send(lines: &mpsc::Sender<Bytes>, kind: &str, object: &Value) -> Option<()> {
    let line = format!("{}\n", json!({ "type": kind, "object": object }));
    lines.send(line.into()).await.ok()
}

impl Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
