//! Keeps the copy up to date: everything at one revision, then one watch from the next. A watch that
//! breaks or falls silent goes on where the copy is; when that history is compacted away, everything
//! is read again. What was read stays served meanwhile.

use std::sync::Arc;

use fprs_proto::etcd as wire;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::client::{Client, Watching};
use crate::backoff::Backoff;
use crate::key::Revision;
use crate::limits;
use crate::store::StoreError;
use crate::store::mirror::Mirror;

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it broke: {0}")]
    Broken(String),
    #[error("it fell silent")]
    Silent,
    #[error("its history is compacted away: {0}")]
    Gone(String),
}

/// Follows until dropped.
pub(super) async fn run(client: Client, mirror: Arc<Mirror>) {
    let mut backoff = Backoff::default();
    loop {
        match follow(&client, &mirror, &mut backoff).await {
            Ok(ended) => {
                tracing::info!(reason = %ended, "the watch is begun again");
                mirror.troubled(ended.to_string());
                if let Ended::Gone(_) = ended
                    && let Err(error) = read(&client, &mirror, 0).await
                {
                    mirror.troubled(error.to_string());
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the store can't be read");
                mirror.troubled(error.to_string());
            }
        }
        sleep(backoff.next(fastrand::f64())).await;
    }
}

async fn follow(
    client: &Client,
    mirror: &Mirror,
    backoff: &mut Backoff,
) -> Result<Ended, StoreError> {
    let revision = match mirror.revision() {
        Some(revision) => revision,
        // From some commits ago, so that followers of a process that restarted find what they
        // missed. They may be compacted away.
        None => match read(client, mirror, limits::ETCD_LOOKBACK).await {
            Ok(revision) => revision,
            Err(_) => read(client, mirror, 0).await?,
        },
    };
    let mut watching = client.watch(Revision(revision.0.saturating_add(1))).await?;
    let mut asking = interval(limits::PROGRESS_EVERY);
    asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            told = watching.told.message() => match told {
                Ok(Some(told)) => {
                    heard = Instant::now();
                    backoff.reset();
                    if let Err(ended) = take(client, mirror, told) {
                        return Ok(ended);
                    }
                }
                Ok(None) => return Ok(Ended::Broken("it was closed".to_owned())),
                Err(status) => return Ok(Ended::Broken(status.message().to_owned())),
            },
            _ = asking.tick() => {
                if heard.elapsed() >= limits::FEED_SILENCE {
                    return Ok(Ended::Silent);
                }
                ask(&watching);
            }
        }
    }
}

/// Asks for a sign of life. One that waits already will do.
fn ask(watching: &Watching) {
    let progress = wire::WatchProgressRequest {};
    let request = wire::watch_request::RequestUnion::ProgressRequest(progress);
    let request = wire::WatchRequest {
        request_union: Some(request),
    };
    if watching.asks.try_send(request).is_err() {
        tracing::trace!("a question waits still");
    }
}

fn take(client: &Client, mirror: &Mirror, told: wire::WatchResponse) -> Result<(), Ended> {
    if told.compact_revision > 0 {
        return Err(Ended::Gone(told.cancel_reason));
    }
    if told.canceled {
        return Err(Ended::Broken(told.cancel_reason));
    }
    for batch in client.batches(told.events).map_err(Ended::Gone)? {
        mirror.push_newer(&Arc::new(batch));
    }
    mirror.heard();
    Ok(())
}

/// Reads everything as it was so many revisions ago.
async fn read(client: &Client, mirror: &Mirror, ago: i64) -> Result<Revision, StoreError> {
    let now = client.now().await?;
    let at = now.saturating_sub(ago).max(1);
    let contents = client.read(at).await?;
    let revision = contents.revision;
    tracing::info!(%revision, records = contents.entries.len(), "the store was read");
    mirror.replace(contents);
    Ok(revision)
}
