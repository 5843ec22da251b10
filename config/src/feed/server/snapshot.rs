//! A snapshot, read once for all who ask at the same time, in chunks. It is made and dropped by a task with a deadline, so that a follower that
//! stops reading can't keep it in memory; a snapshot that was not sent whole ends with an error,
//! never as if it were complete.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use fprs_proto::feed as wire;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::limits;
use crate::store::{Contents, Entry, Store, StoreError};

type Chunk = Result<wire::SnapshotChunk, Status>;

/// The snapshot that is being served. Whoever asks while it is read shares the next one: it holds
/// everything that was there when they asked, and a fleet that starts at once costs two reads.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// When its reading began. Kept only by those it is sent to.
    newest: Mutex<Option<(Instant, Weak<Contents>)>>,
}

impl Shared {
    pub(super) async fn read(&self, store: &dyn Store) -> Result<Arc<Contents>, StoreError> {
        let asked = Instant::now();
        let mut newest = self.newest.lock().await;
        if let Some((begun, contents)) = &*newest
            && *begun >= asked
            && let Some(contents) = contents.upgrade()
        {
            return Ok(contents);
        }
        let begun = Instant::now();
        let contents = Arc::new(store.snapshot().await?);
        *newest = Some((begun, Arc::downgrade(&contents)));
        Ok(contents)
    }
}

/// The chunks of that snapshot; the permit is kept until all are taken or the deadline.
pub(super) fn chunks(
    contents: Arc<Contents>,
    permit: OwnedSemaphorePermit,
) -> BoxStream<'static, Chunk> {
    let (sender, receiver) = mpsc::channel(limits::FEED_CHUNKS_AHEAD);
    let whole = Arc::new(AtomicBool::new(false));
    let sent = Arc::clone(&whole);
    tokio::spawn(async move {
        match timeout(limits::ANSWER, send(&contents, sender)).await {
            Ok(all) => sent.store(all, Ordering::Release),
            Err(_) => tracing::debug!("a follower did not read its snapshot in time"),
        }
        drop(permit);
    });
    let end = stream::once(async move {
        (!whole.load(Ordering::Acquire)).then(|| {
            Err(Status::deadline_exceeded(
                "the snapshot was read too slowly",
            ))
        })
    });
    ReceiverStream::new(receiver)
        .map(Ok)
        .chain(end.filter_map(std::future::ready))
        .boxed()
}

/// Whether all of it was sent.
async fn send(contents: &Contents, to: mpsc::Sender<wire::SnapshotChunk>) -> bool {
    let revision = contents.revision.0;
    let mut chunk = Vec::new();
    let mut bytes = 0_usize;
    for entry in &contents.entries {
        let size = size(entry);
        if !chunk.is_empty() && bytes.saturating_add(size) > limits::FEED_CHUNK_BYTES {
            let entries = std::mem::take(&mut chunk);
            if to
                .send(wire::SnapshotChunk { revision, entries })
                .await
                .is_err()
            {
                return false;
            }
            bytes = 0;
        }
        bytes = bytes.saturating_add(size);
        chunk.push(entry.clone().into());
    }
    // An empty store has one empty chunk: it carries the revision.
    let last = wire::SnapshotChunk {
        revision,
        entries: chunk,
    };
    to.send(last).await.is_ok()
}

fn size(entry: &Entry) -> usize {
    let key = entry.key.kind.len().saturating_add(entry.key.name.len());
    key.saturating_add(entry.value.len())
}
