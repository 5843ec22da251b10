//! A store that is somewhere else: the same contract through a feed server. Tries its addresses in
//! turn; a watch whose connection breaks goes on where it was, and is lost only if that takes long
//! or the server says so.

mod link;
mod parts;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use fprs_proto::feed as wire;
use futures_util::StreamExt;
use tokio::time::timeout;
use tonic::Code;

use crate::key::Revision;
use crate::limits;
use crate::store::{
    BoxFuture, Change, CommitError, Contents, Expectation, Parts, Store, StoreError, Watch,
};

use link::Link;

/// A store behind a feed server.
#[derive(Clone, Debug)]
pub struct FeedClient {
    link: Arc<Link>,
    cell: Arc<str>,
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
            cell: "".into(),
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

    /// Tells where the follower is.
    #[must_use]
    pub fn in_cell(mut self, cell: Option<&str>) -> Self {
        self.cell = cell.unwrap_or_default().into();
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

    fn parts(&self) -> Parts<'_> {
        parts::parts(Arc::clone(&self.link))
    }

    fn watch(&self, from: Revision) -> Watch {
        watch::watch(Arc::clone(&self.link), Arc::clone(&self.cell), from)
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
        let mut parts = self.parts();
        let mut whole = Contents::default();
        while let Some(part) = parts.next().await {
            let Contents { revision, entries } = part?;
            whole.revision = revision;
            whole.entries.extend(entries);
        }
        Ok(whole)
    }
}
