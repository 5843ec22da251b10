//! The store on etcd: a commit is one etcd transaction and its revision is etcd's own. Followers are
//! served from a copy that a single watch keeps up to date.

mod address;
mod client;
mod reader;

use std::sync::Arc;

use super::history::HistoryLimits;
use super::mirror::Mirror;
use super::mirrored::{Engine, Mirrored};
use super::{Change, CommitError, Expectation, Store, StoreError};
use crate::key::Revision;

pub use address::Etcd;
use client::Client;

/// Why a store on etcd can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// The address is not one.
    #[error("`{0}` is not etcd://host:port[,host:port…][/prefix]")]
    Address(String),
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the store and begins to follow it. Wants a runtime. There is nothing to prepare.
///
/// # Errors
/// None of its members can be reached.
pub(super) async fn open(address: &Etcd) -> Result<impl Store + use<>, EtcdError> {
    open_within(address, HistoryLimits::default()).await
}

async fn open_within(
    address: &Etcd,
    history: HistoryLimits,
) -> Result<Mirrored<Client>, EtcdError> {
    let client = Client::new(address)?;
    client.newest().await?;
    Ok(Mirrored::open(client, history).await?)
}

impl Engine for Client {
    async fn newest(&self) -> Result<Revision, StoreError> {
        self.newest().await
    }

    async fn commit(
        &self,
        writes: Arc<[Change]>,
        expectations: Vec<Expectation>,
    ) -> Result<Revision, CommitError> {
        self.commit(&writes, &expectations).await
    }

    async fn follow(self, mirror: Arc<Mirror>) {
        reader::run(self, mirror).await;
    }
}

#[cfg(test)]
mod tests;
