//! One connection to control: says hello with all that is known, then every word as it comes, and
//! does what it is told.

use std::sync::Arc;
use std::time::Duration;

use fprs_config::{Version, Worker};
use fprs_proto::worker::workers_client::WorkersClient;
use fprs_proto::worker::{FromWorker, Hello, Start, ToWorker, from_worker, to_worker};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::counts::{COUNTS_EVERY, Counts, Whole};
use super::tails::Tails;
use super::{ChannelError, deepest};
use crate::flag::raised;
use crate::supervisor::Supervisor;
use crate::told::Cursor;

/// An accepted connection.
pub(super) struct Session {
    up: mpsc::Sender<FromWorker>,
    down: Streaming<ToWorker>,
    cursor: Cursor,
    counts: Counts,
    tails: Tails,
    supervisor: Arc<Supervisor>,
}

/// How a connection ended that was well.
pub(super) enum Parting {
    /// Everything was told and the relay ends.
    Finished,
    /// Control ended it.
    ByControl,
}

/// Messages on their way up; log lines wait for room, so they can't push others out.
const UP_QUEUE: usize = 64;
/// A queue that stays full so long is that of a dead connection.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// For control to read our last words.
const PART_WITHIN: Duration = Duration::from_secs(1);

impl Session {
    /// Says hello and waits to be welcome.
    pub(super) async fn open(
        mut client: WorkersClient<Channel>,
        authorization: MetadataValue<Ascii>,
        worker: &Worker,
        supervisor: Arc<Supervisor>,
    ) -> Result<Self, ChannelError> {
        let (up, messages) = mpsc::channel(UP_QUEUE);
        let (replicas, cursor) = supervisor.since(0);
        let hello = Hello {
            worker: Some(worker.to_wire()),
            replicas,
        };
        send(&up, from_worker::Message::Hello(hello)).await?;
        let mut request = tonic::Request::new(ReceiverStream::new(messages));
        request
            .metadata_mut()
            .insert("authorization", authorization);
        let attached = client
            .attach(request)
            .await
            .map_err(|status| refused(&status))?;
        let mut down = attached.into_inner();
        let first = down.message().await.map_err(|status| refused(&status))?;
        let Some(to_worker::Message::Welcome(welcome)) = first.and_then(|first| first.message)
        else {
            return Err(ChannelError::NoWelcome);
        };
        tracing::info!(
            worker = worker.id,
            lease_ms = welcome.lease_ms,
            "attached to control"
        );
        Ok(Self {
            tails: Tails::new(Arc::clone(&supervisor), up.clone()),
            up,
            down,
            cursor,
            counts: Counts::default(),
            supervisor,
        })
    }

    /// Serves it until it ends or is to finish.
    pub(super) async fn run(
        mut self,
        mut finish: watch::Receiver<bool>,
    ) -> Result<Parting, ChannelError> {
        let mut news = self.supervisor.news();
        // What came between the hello and the subscription.
        news.mark_changed();
        let mut beat = interval(COUNTS_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let supervisor = Arc::clone(&self.supervisor);
        loop {
            tokio::select! {
                message = self.down.message() => match message {
                    Ok(Some(message)) => self.obey(message),
                    Ok(None) => return Ok(Parting::ByControl),
                    Err(status) => return Err(lost(&status)),
                },
                _ = news.changed() => self.tell_news().await?,
                () = supervisor.drained() => self.heartbeat(Whole::Yes).await?,
                _ = beat.tick() => self.heartbeat(Whole::WhenDue).await?,
                () = raised(&mut finish) => break,
            }
        }
        self.tell_news().await?;
        self.part().await;
        Ok(Parting::Finished)
    }

    fn obey(&mut self, message: ToWorker) {
        match message.message {
            Some(to_worker::Message::Start(start)) => self.start(start),
            Some(to_worker::Message::Stop(stop)) => self.supervisor.stop(&stop.replica),
            Some(to_worker::Message::TailLogs(tail)) => self.tails.begin(tail),
            Some(to_worker::Message::CancelLogs(cancel)) => self.tails.cancel(cancel.request),
            Some(to_worker::Message::Welcome(_)) => {}
            // A newer control says what this build doesn't know.
            None => tracing::warn!("control sent a message this build does not know"),
        }
    }

    fn start(&self, start: Start) {
        let version = start
            .version
            .ok_or_else(|| "`version` is missing".to_owned());
        match version.and_then(Version::try_from_wire) {
            Ok(version) => self
                .supervisor
                .start(&start.replica, &start.server, version),
            Err(error) => {
                let reason = format!("the worker does not understand the version: {error}");
                self.supervisor.refuse(&start.replica, reason);
            }
        }
    }

    async fn tell_news(&mut self) -> Result<(), ChannelError> {
        let (updates, cursor) = self.supervisor.since(self.cursor);
        for update in updates {
            send(&self.up, from_worker::Message::Replica(update)).await?;
        }
        self.cursor = cursor;
        Ok(())
    }

    async fn heartbeat(&mut self, whole: Whole) -> Result<(), ChannelError> {
        let now = self.supervisor.heartbeat();
        match self.counts.next(now, whole, Instant::now()) {
            Some(beat) => send(&self.up, from_worker::Message::Heartbeat(beat)).await,
            None => Ok(()),
        }
    }

    /// Closes our side and reads until control closes its own.
    async fn part(self) {
        let Self {
            up,
            mut down,
            tails,
            ..
        } = self;
        drop((up, tails));
        let closed = timeout(PART_WITHIN, async {
            while let Ok(Some(_)) = down.message().await {}
        });
        if closed.await.is_err() {
            tracing::debug!("control keeps the channel open after we closed it");
        }
    }
}

async fn send(
    up: &mpsc::Sender<FromWorker>,
    message: from_worker::Message,
) -> Result<(), ChannelError> {
    let message = FromWorker {
        message: Some(message),
    };
    match timeout(SEND_WITHIN, up.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(ChannelError::Lost("control no longer reads".to_owned())),
        Err(_) => Err(ChannelError::Stuck),
    }
}

fn refused(status: &tonic::Status) -> ChannelError {
    match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
            ChannelError::Refused(format!("{}; check the admin token", status.message()))
        }
        _ => ChannelError::Refused(deepest(status)),
    }
}

fn lost(status: &tonic::Status) -> ChannelError {
    ChannelError::Lost(deepest(status))
}
