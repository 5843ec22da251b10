//! The plane's store, as gateways and reconcilers follow it: by a token of an admin, from whichever control
//! process answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fprs_config::feed::FeedClient;
use fprs_config::last_good::LastGood;
use fprs_config::{Follower, SharedStore, View};

/// Why the store can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The token.
    #[error("can't read the token in `{path}`: {error}", path = path.display())]
    Token {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The store's address, or the token in it.
    #[error("can't follow the store: {0}")]
    Feed(String),
}

/// Follows the store until the process ends. With a file, a restart knows what was there last.
///
/// # Errors
/// The token can't be read, or an address is none.
pub(crate) fn follow(
    control: &[String],
    token_file: &Path,
    name: &str,
    last_good: Option<PathBuf>,
) -> Result<(SharedStore, View), StoreError> {
    let token = std::fs::read_to_string(token_file).map_err(|error| StoreError::Token {
        path: token_file.to_owned(),
        error,
    })?;
    let feed = FeedClient::new(control, token.trim(), name);
    let store: SharedStore = Arc::new(feed.map_err(|error| StoreError::Feed(error.to_string()))?);
    let (publisher, view) = View::new();
    let mut follower = Follower::new(Arc::clone(&store), publisher);
    if let Some(path) = last_good {
        follower = follower.last_good(LastGood::new(path));
    }
    tokio::spawn(follower.run());
    Ok((store, view))
}
