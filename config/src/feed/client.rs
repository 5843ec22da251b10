//! A store that is somewhere else: the same contract through a feed server. Tries its addresses in
//! turn; a watch whose connection breaks goes on where it was, and is lost only if that takes long
//! or the server says so.

mod link;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use fprs_proto::feed as wire;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::key::Revision;
use crate::limits;
use crate::store::{
    BoxFuture, Change, CommitError, Contents, Entry, Expectation, Store, StoreError, Watch,
};

use link::Link;

/// A store behind a feed server.
#[derive(Clone, Debug)]
pub struct FeedClient {
    link: Arc<Link>,
}

/// Why a client can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedClientError {
    /// There is no address to connect to.
    #[error("no feed address is given; name at least one control process as host:port")]
    NoAddress,
    /// An address is not one.
    #[error("feed address `{0}` is not host:port")]
    Address(String),
    /// The token can't be sent.
    #[error("the feed token has characters that a header can't carry")]
    Token,
}

impl FeedClient {
    /// Follows one of `addresses` (`host:port`), whichever answers, as `follower` (a name for logs),
    /// with that bearer token. Connects when first used.
    ///
    /// # Errors
    /// An address or the token is malformed.
    pub fn new(addresses: &[String], token: &str, follower: &str) -> Result<Self, FeedClientError> {
        Ok(Self {
            link: Arc::new(Link::new(addresses, token, follower)?),
        })
    }

    /// Tells whom it follows where this process answers for itself. Before it is used.
    #[must_use]
    pub fn answering_at(mut self, admin: SocketAddr) -> Self {
        if let Some(link) = Arc::get_mut(&mut self.link) {
            link.answers_at(admin);
        }
        self
    }
}

impl Store for FeedClient {
    fn snapshot(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        Box::pin(async move {
            match timeout(limits::ANSWER, self.read_snapshot()).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    self.link.broken().await;
                    Err(self.link.unavailable("no whole snapshot came in time"))
                }
            }
        })
    }

    fn watch(&self, from: Revision) -> Watch {
        watch::watch(Arc::clone(&self.link), from)
    }

    fn commit(
        &self,
        writes: Vec<Change>,
        expectations: Vec<Expectation>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            // Checked here too: what is too large for a message never comes to an answer.
            crate::store::admit(&writes, &expectations)?;
            let request = wire::CommitRequest {
                writes: writes.into_iter().map(Into::into).collect(),
                expectations: expectations.into_iter().map(Into::into).collect(),
            };
            let mut client = self.link.client().await?;
            match timeout(limits::ANSWER, client.commit(request)).await {
                Ok(Ok(reply)) => {
                    let wire::CommitReply {
                        revision,
                        conflicts,
                    } = reply.into_inner();
                    if conflicts.is_empty() {
                        Ok(Revision(revision))
                    } else {
                        let keys = conflicts.into_iter().map(Into::into).collect();
                        Err(CommitError::Conflict(keys))
                    }
                }
                Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                    Err(CommitError::Refused(status.message().to_owned()))
                }
                Ok(Err(status)) => Err(self.link.failed(&status).await.into()),
                Err(_) => {
                    self.link.broken().await;
                    let reason = "no answer to a commit; read again to see whether it happened";
                    Err(self.link.unavailable(reason).into())
                }
            }
        })
    }
}

impl FeedClient {
    async fn read_snapshot(&self) -> Result<Contents, StoreError> {
        let mut client = self.link.client().await?;
        match collect(&mut client).await {
            Ok(contents) => Ok(contents),
            Err(status) => Err(self.link.failed(&status).await),
        }
    }
}

async fn collect(client: &mut link::Client) -> Result<Contents, Status> {
    let mut chunks = client
        .snapshot(wire::SnapshotRequest {})
        .await?
        .into_inner();
    let mut contents: Option<Contents> = None;
    while let Some(wire::SnapshotChunk { revision, entries }) = chunks.message().await? {
        let revision = Revision(revision);
        let contents = contents.get_or_insert_with(|| Contents {
            revision,
            entries: Vec::new(),
        });
        if contents.revision != revision {
            return Err(Status::data_loss("a snapshot of two revisions"));
        }
        for entry in entries {
            let entry =
                Entry::try_from(entry).map_err(|error| Status::data_loss(error.to_string()))?;
            contents.entries.push(entry);
        }
    }
    contents.ok_or_else(|| Status::data_loss("a snapshot without a chunk"))
}
