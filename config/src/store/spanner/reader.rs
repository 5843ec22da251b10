//! Keeps the copy up to date: a read of everything at one time, then the change stream from exactly
//! that time. Partitions that break or fall silent are read again from where they were; when that is
//! not possible any more, everything is read again. What was read stays served meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::client::{Client, StreamError};
use super::decode::Record;
use super::partitions::{End, Partitions, Start, Token};
use super::transactions::{Broken, Transactions};
use crate::backoff::Backoff;
use crate::key::Revision;
use crate::limits;
use crate::store::StoreError;
use crate::store::mirror::Mirror;

/// Where to begin.
#[derive(Clone, Copy, Debug)]
enum Begin {
    /// Some time ago, so that followers of a process that restarted find what they missed.
    Past,
    /// At that time, up to which everything was told.
    At(SystemTime),
    /// Now, whatever was told before.
    Now,
}

/// Follows until dropped.
pub(super) async fn run(client: Client, mirror: Arc<Mirror>) {
    let mut backoff = Backoff::default();
    let mut from = Begin::Past;
    loop {
        match begin(&client, &mirror, from).await {
            Ok((at, revision)) => {
                let mut session = Session::new(&client, &mirror, at, revision);
                let reason = session.follow().await;
                tracing::warn!(%reason, "the change stream is begun again");
                mirror.troubled(reason.to_string());
                from = match reason {
                    Failed::Gone(_) if session.heard => Begin::At(session.partitions.watermark()),
                    Failed::Gone(_) | Failed::Broken(_) | Failed::Partitions => Begin::Now,
                };
                if session.heard {
                    backoff.reset();
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

/// From when to follow, and what is known by then.
async fn begin(
    client: &Client,
    mirror: &Mirror,
    from: Begin,
) -> Result<(SystemTime, Revision), StoreError> {
    if let (Begin::At(at), Some(revision)) = (from, mirror.revision()) {
        return Ok((at, revision));
    }
    let mut at = client.now().await?;
    if let Begin::Past = from {
        let past = at.checked_sub(limits::MIRROR_LOOKBACK).unwrap_or(at);
        at = past.max(client.since().await?);
    }
    let contents = client.read(at).await?;
    let revision = contents.revision;
    tracing::info!(%revision, records = contents.entries.len(), "the store was read");
    mirror.replace(contents);
    Ok((at, revision))
}

/// Why the stream is begun again.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("its history is gone: {0}")]
    Gone(String),
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("it has more than {} partitions", limits::SPANNER_PARTITIONS)]
    Partitions,
}

/// What a partition's reading came to.
enum Told {
    Records(Vec<Record>),
    Ended,
    Failed(StreamError),
}

struct Session<'a> {
    client: &'a Client,
    mirror: &'a Mirror,
    partitions: Partitions,
    transactions: Transactions,
    readings: JoinSet<()>,
    handles: BTreeMap<Token, (AbortHandle, Backoff)>,
    sender: mpsc::Sender<(Token, Told)>,
    told: mpsc::Receiver<(Token, Told)>,
    heard: bool,
}

impl<'a> Session<'a> {
    fn new(client: &'a Client, mirror: &'a Mirror, from: SystemTime, revision: Revision) -> Self {
        let (sender, told) = mpsc::channel(limits::SPANNER_QUEUE);
        Self {
            client,
            mirror,
            partitions: Partitions::new(from),
            transactions: Transactions::after(revision),
            readings: JoinSet::new(),
            handles: BTreeMap::new(),
            sender,
            told,
            heard: false,
        }
    }

    /// Follows until the stream can't be gone on with.
    async fn follow(&mut self) -> Failed {
        loop {
            for start in self.partitions.start() {
                self.read(start, Backoff::default(), false);
            }
            if self.partitions.len() > limits::SPANNER_PARTITIONS {
                return Failed::Partitions;
            }
            tokio::select! {
                Some((token, told)) = self.told.recv() => {
                    if let Err(failed) = self.take(&token, told) {
                        return failed;
                    }
                }
                // Finished readings are only forgotten here.
                Some(_) = self.readings.join_next() => {}
            }
        }
    }

    fn take(&mut self, token: &Token, told: Told) -> Result<(), Failed> {
        let before = self.partitions.watermark();
        match told {
            Told::Records(records) => {
                self.heard = true;
                if let Some((_, backoff)) = self.handles.get_mut(token) {
                    backoff.reset();
                }
                for record in records {
                    self.record(token, record)?;
                }
            }
            Told::Ended => match self.partitions.ended(token) {
                End::Finished => {
                    self.handles.remove(token);
                }
                End::Paused => self.again(token),
            },
            Told::Failed(StreamError::Gone(reason)) => return Err(Failed::Gone(reason)),
            Told::Failed(StreamError::Broken(reason)) => {
                tracing::debug!(token = %token.0, reason, "a partition is read again");
                self.mirror.troubled(reason);
                self.again(token);
            }
        }
        let watermark = self.partitions.watermark();
        self.transactions.settled(watermark)?;
        if watermark > before {
            self.mirror.heard();
        }
        Ok(())
    }

    fn record(&mut self, token: &Token, record: Record) -> Result<(), Failed> {
        match record {
            Record::Data(change) => {
                let commit = change.commit;
                for (_, batch) in self.transactions.take(change)? {
                    self.mirror.push(&Arc::new(batch));
                }
                self.partitions.heard(token, commit);
            }
            Record::Heartbeat(at) => self.partitions.heard(token, at),
            Record::Children(from, children) => self.partitions.children(token, from, children),
        }
        Ok(())
    }

    /// Reads a partition again from where it was.
    fn again(&mut self, token: &Token) {
        let backoff = match self.handles.remove(token) {
            Some((reading, backoff)) => {
                reading.abort();
                backoff
            }
            None => Backoff::default(),
        };
        if let Some(start) = self.partitions.again(token) {
            self.read(start, backoff, true);
        }
    }

    fn read(&mut self, start: Start, mut backoff: Backoff, again: bool) {
        let wait = again.then(|| backoff.next(fastrand::f64()));
        let client = self.client.clone();
        let to = self.sender.clone();
        let token = start.token.clone();
        let reading = self.readings.spawn(async move {
            if let Some(wait) = wait {
                sleep(wait).await;
            }
            let end = match read(&client, &start, &to).await {
                Ok(()) => Told::Ended,
                Err(error) => Told::Failed(error),
            };
            // The session is gone if nobody takes it.
            to.send((start.token, end)).await.ok();
        });
        self.handles.insert(token, (reading, backoff));
    }
}

/// Reads a partition to its end, passing on what it tells. The client has neither deadline nor
/// keepalive for streams: silence is noticed here.
async fn read(
    client: &Client,
    start: &Start,
    to: &mpsc::Sender<(Token, Told)>,
) -> Result<(), StreamError> {
    let silent = |_| StreamError::Broken("it fell silent".to_owned());
    let mut reading = timeout(limits::SPANNER_SILENCE, client.stream(start))
        .await
        .map_err(silent)??;
    while let Some(records) = timeout(limits::SPANNER_SILENCE, reading.next())
        .await
        .map_err(silent)??
    {
        if to
            .send((start.token.clone(), Told::Records(records)))
            .await
            .is_err()
        {
            break;
        }
    }
    Ok(())
}
