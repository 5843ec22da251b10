//! The store on Cloud Spanner: commits are transactions that number themselves by one head row, and
//! followers are served from a copy that a single reader keeps up to date by the change stream. The
//! numbers have no gaps, so that revisions mean the same in every process and what is missing shows.

mod address;
mod client;
mod decode;
mod partitions;
mod reader;
mod schema;
mod transactions;

use std::sync::Arc;

use super::history::HistoryLimits;
use super::mirror::Mirror;
use super::mirrored::{Engine, Mirrored};
use super::{Change, CommitError, Expectation, Store, StoreError};
use crate::key::Revision;

pub use address::Spanner;
use client::Client;

/// Why a store on Spanner can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpannerError {
    /// The address is not one.
    #[error("`{0}` is not spanner://projects/P/instances/I/databases/D")]
    Address(String),
    /// The database is not as this build needs it.
    #[error("{0}")]
    Schema(String),
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates the database if there is none, and its tables and change stream: what is there stays.
///
/// # Errors
/// Spanner refuses, or the database is a later build's.
pub(super) async fn init(address: &Spanner) -> Result<(), SpannerError> {
    schema::init(address).await
}

/// Opens the store and begins to follow it. Wants a runtime.
///
/// # Errors
/// It can't be reached, or is not prepared for this build; each says what to do.
pub(super) async fn open(address: &Spanner) -> Result<impl Store + use<>, SpannerError> {
    open_within(address, HistoryLimits::default()).await
}

async fn open_within(
    address: &Spanner,
    history: HistoryLimits,
) -> Result<Mirrored<Client>, SpannerError> {
    let client = Client::connect(address).await?;
    schema::check(&client, address).await?;
    Ok(Mirrored::open(client, history).await?)
}

impl Engine for Client {
    async fn newest(&self) -> Result<Revision, StoreError> {
        self.head(None).await
    }

    async fn commit(
        &self,
        writes: Arc<[Change]>,
        expectations: Vec<Expectation>,
    ) -> Result<Revision, CommitError> {
        self.commit(writes, expectations).await
    }

    async fn follow(self, mirror: Arc<Mirror>) {
        reader::run(self, mirror).await;
    }
}

#[cfg(test)]
mod tests;
