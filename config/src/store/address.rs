//! Which store a process keeps its records in, as it is typed: a file's path, `spanner://…` or
//! `etcd://…`. One way to prepare, check and open each of them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::{EmbeddedStore, SharedStore, StoreError};

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreAddress {
    /// A file of this machine, for one process at a time.
    Embedded(PathBuf),
    /// Cloud Spanner.
    #[cfg(feature = "spanner")]
    Spanner(super::Spanner),
    /// etcd.
    #[cfg(feature = "etcd")]
    Etcd(super::Etcd),
}

/// Why a store can't be named, prepared or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No store is called that.
    #[error("`{0}`: a store is a path, spanner://… or etcd://…")]
    Unknown(String),
    /// This build leaves that store out.
    #[error("this build has no {0}; build fprs with `--features {0}`")]
    LeftOut(&'static str),
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its address is wrong, or its database is not as this build needs it.
    #[cfg(feature = "spanner")]
    #[error(transparent)]
    Spanner(#[from] super::SpannerError),
    /// Its address is wrong, or none of its members answers.
    #[cfg(feature = "etcd")]
    #[error(transparent)]
    Etcd(#[from] super::EtcdError),
}

impl FromStr for StoreAddress {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        match text.split_once("://") {
            None if text.is_empty() => Err(OpenError::Unknown(text.to_owned())),
            None => Ok(Self::Embedded(text.into())),
            #[cfg(feature = "spanner")]
            Some(("spanner", _)) => Ok(Self::Spanner(text.parse()?)),
            #[cfg(not(feature = "spanner"))]
            Some(("spanner", _)) => Err(OpenError::LeftOut("spanner")),
            #[cfg(feature = "etcd")]
            Some(("etcd", _)) => Ok(Self::Etcd(text.parse()?)),
            #[cfg(not(feature = "etcd"))]
            Some(("etcd", _)) => Err(OpenError::LeftOut("etcd")),
            Some(_) => Err(OpenError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(path) => path.display().fmt(f),
            #[cfg(feature = "spanner")]
            Self::Spanner(spanner) => spanner.fmt(f),
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => etcd.fmt(f),
        }
    }
}

impl StoreAddress {
    /// Creates what is missing of the store and brings it to this build's schema. What is there
    /// stays.
    ///
    /// # Errors
    /// It can't be reached or written, or is a later build's.
    pub async fn init(&self) -> Result<(), OpenError> {
        match self {
            #[cfg(feature = "spanner")]
            Self::Spanner(spanner) => Ok(super::spanner::init(spanner).await?),
            // Opening creates, and needs no more than that.
            _ => self.open().await.map(|_| ()),
        }
    }

    /// Opens the store. An embedded one is created where it is missing; its directory must exist.
    ///
    /// # Errors
    /// It can't be reached, is somebody else's, or is not as this build needs it.
    pub async fn open(&self) -> Result<SharedStore, OpenError> {
        Ok(match self {
            Self::Embedded(path) => {
                let path = path.clone();
                let opening = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path));
                let opened = opening.await.map_err(|error| {
                    StoreError::Unavailable(format!("opening it did not finish: {error}"))
                })?;
                Arc::new(opened?)
            }
            #[cfg(feature = "spanner")]
            Self::Spanner(spanner) => Arc::new(super::spanner::open(spanner).await?),
            #[cfg(feature = "etcd")]
            Self::Etcd(etcd) => Arc::new(super::etcd::open(etcd).await?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_told_by_how_it_is_typed() {
        let parse = |text: &str| text.parse::<StoreAddress>();
        assert_eq!(
            parse("/data/store.redb").unwrap(),
            StoreAddress::Embedded("/data/store.redb".into())
        );
        for wrong in ["", "mysql://host/db"] {
            assert!(matches!(parse(wrong), Err(OpenError::Unknown(_))));
        }
        let spanner = parse("spanner://projects/p/instances/i/databases/d");
        assert_eq!(spanner.is_ok(), cfg!(feature = "spanner"));
        assert_eq!(parse("etcd://host:2379").is_ok(), cfg!(feature = "etcd"));
    }
}
