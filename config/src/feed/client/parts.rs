//! A snapshot over the feed, chunk by chunk as it comes. Ends with an error unless it came whole and of
//! one revision.

use std::sync::Arc;

use fprs_proto::feed as wire;
use futures_util::{StreamExt, stream};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::link::Link;
use crate::key::Revision;
use crate::limits;
use crate::store::{Contents, Entry, Parts, StoreError};

/// All records, in parts.
pub(super) fn parts<'a>(link: Arc<Link>) -> Parts<'a> {
    let reading = Reading {
        link,
        chunks: None,
        revision: None,
    };
    stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match timeout(limits::ANSWER, reading.next()).await {
            Ok(Ok(Some(part))) => Some((Ok(part), Some(reading))),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some((Err(error), None)),
            Err(_) => {
                reading.link.broken().await;
                let error = reading.link.unavailable("no whole snapshot came in time");
                Some((Err(error), None))
            }
        }
    })
    .boxed()
}

struct Reading {
    link: Arc<Link>,
    chunks: Option<Streaming<wire::SnapshotChunk>>,
    /// Of the chunks so far.
    revision: Option<Revision>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Contents>, StoreError> {
        let mut chunks = match self.chunks.take() {
            Some(chunks) => chunks,
            None => {
                let mut client = self.link.client().await?;
                match client.snapshot(wire::SnapshotRequest {}).await {
                    Ok(reply) => reply.into_inner(),
                    Err(status) => return Err(self.link.failed(&status).await),
                }
            }
        };
        let part = match chunks.message().await {
            Ok(chunk) => self.part(chunk),
            Err(status) => Err(status),
        };
        self.chunks = Some(chunks);
        match part {
            Ok(part) => Ok(part),
            Err(status) => Err(self.link.failed(&status).await),
        }
    }

    fn part(&mut self, chunk: Option<wire::SnapshotChunk>) -> Result<Option<Contents>, Status> {
        let Some(wire::SnapshotChunk { revision, entries }) = chunk else {
            return match self.revision {
                Some(_) => Ok(None),
                None => Err(Status::data_loss("a snapshot without a chunk")),
            };
        };
        let revision = Revision(revision);
        if *self.revision.get_or_insert(revision) != revision {
            return Err(Status::data_loss("a snapshot of two revisions"));
        }
        let entries = entries.into_iter().map(Entry::try_from);
        let entries = entries.collect::<Result<_, _>>();
        let entries = entries.map_err(|error| Status::data_loss(error.to_string()))?;
        Ok(Some(Contents { revision, entries }))
    }
}
