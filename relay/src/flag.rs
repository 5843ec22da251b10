//! A word given once and for all, from one task to others: stop, finish.

use tokio::sync::watch;

/// Waits for the word; also returns when nobody is left who could give it.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    drop(flag.wait_for(|raised| *raised).await);
}
