//! A watch over the feed: hears, and goes on at the next address from where it was when the
//! connection breaks or falls silent. Never passes a gap on: what doesn't continue is `Lost`.

use std::sync::Arc;

use fprs_proto::feed as wire;
use fprs_proto::feed::watch_event::Event;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;

use super::link::Link;
use crate::backoff::Backoff;
use crate::key::Revision;
use crate::limits;
use crate::store::{Batch, Watch, WatchEvent};

/// Every commit after `from`.
pub(super) fn watch(link: Arc<Link>, cell: Arc<str>, from: Revision) -> Watch {
    let follower = Follower {
        link,
        cell,
        position: from,
        events: None,
        backoff: Backoff::default(),
        broken: None,
    };
    stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            WatchEvent::Lost => Some((WatchEvent::Lost, None)),
            event => Some((event, Some(follower))),
        }
    })
    .boxed()
}

struct Follower {
    link: Arc<Link>,
    cell: Arc<str>,
    /// Everything up to here was told.
    position: Revision,
    events: Option<Streaming<wire::WatchEvent>>,
    backoff: Backoff,
    /// Nothing was heard since the connection broke then.
    broken: Option<Instant>,
}

impl Follower {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(events) = &mut self.events {
                match timeout(limits::FEED_SILENCE, events.message()).await {
                    Ok(Ok(Some(event))) => {
                        self.broken = None;
                        self.backoff.reset();
                        return self.told(event);
                    }
                    Ok(Ok(None)) => tracing::debug!("the feed ended"),
                    Ok(Err(status)) => tracing::debug!(%status, "the feed broke"),
                    Err(_) => tracing::debug!("the feed fell silent"),
                }
                self.events = None;
                self.link.broken().await;
            }
            let broken = *self.broken.get_or_insert_with(Instant::now);
            if broken.elapsed() >= limits::FEED_RESUME {
                return WatchEvent::Lost;
            }
            sleep(self.backoff.next(fastrand::f64())).await;
            self.events = self.open().await;
        }
    }

    async fn open(&self) -> Option<Streaming<wire::WatchEvent>> {
        let mut client = self.link.client().await.ok()?;
        let request = wire::WatchRequest {
            from: self.position.0,
            follower: self.link.follower().to_owned(),
            admin: self.link.admin(),
            cell: self.cell.to_string(),
        };
        match timeout(limits::FEED_SILENCE, client.watch(request)).await {
            Ok(Ok(reply)) => Some(reply.into_inner()),
            Ok(Err(status)) => {
                tracing::debug!(%status, "the feed can't be watched");
                self.link.broken().await;
                None
            }
            Err(_) => {
                self.link.broken().await;
                None
            }
        }
    }

    fn told(&mut self, event: wire::WatchEvent) -> WatchEvent {
        match event.event {
            Some(Event::Batch(batch)) => match Batch::try_from(batch) {
                Ok(batch) if batch.revision > self.position => {
                    self.position = batch.revision;
                    WatchEvent::Batch(batch)
                }
                _ => WatchEvent::Lost,
            },
            Some(Event::Progress(revision)) if revision >= self.position.0 => {
                self.position = Revision(revision);
                WatchEvent::Progress(self.position)
            }
            _ => WatchEvent::Lost,
        }
    }
}
