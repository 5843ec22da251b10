//! Captures on their way to an object store: a thread uploads closed files, the oldest first, and deletes
//! each once the store has it whole. Until then it is in its directory, within that one's limits, through
//! restarts too: neither requests nor the thread that writes captures ever wait for the store.

#[cfg(feature = "s3")]
mod s3;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Spool;

/// Where captures go, as it is typed: `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    /// Before each file's own name; empty, or without a `/` at either end.
    prefix: String,
}

impl FromStr for Bucket {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = text.strip_prefix("s3://");
        let place = place.ok_or("captures are uploaded to s3://BUCKET/PREFIX")?;
        if cfg!(not(feature = "s3")) {
            return Err("this build has no S3; build fprs with `--features s3`");
        }
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        if name.is_empty() {
            return Err("has no bucket: write s3://BUCKET/PREFIX");
        }
        Ok(Self {
            name: name.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.name, self.prefix)
    }
}

/// The thread that uploads; it ends with this value.
#[derive(Debug)]
pub struct Uploader {
    /// Takes who wants to be told once there was a try at everything.
    ending: mpsc::Sender<oneshot::Sender<()>>,
}

/// How long the end of a process waits for captures to be uploaded.
const ENDING: Duration = Duration::from_secs(10);

impl Uploader {
    /// Begins to upload what is in the directory and what comes there.
    ///
    /// # Errors
    /// Says what is wrong with the bucket's settings, or that the system gives no thread.
    pub fn start(bucket: Bucket, dir: PathBuf, spool: Arc<Spool>) -> Result<Self, String> {
        let (ending, ends) = mpsc::channel(1);
        #[cfg(feature = "s3")]
        s3::start(bucket, dir, spool, ends)?;
        #[cfg(not(feature = "s3"))]
        drop((bucket, dir, spool, ends));
        Ok(Self { ending })
    }

    /// Waits until there was a try to upload all there is, but not for long: what is left is uploaded by
    /// the next process with the same directory.
    pub async fn finish(&self) {
        let (tell, told) = oneshot::channel();
        let finished = async {
            if self.ending.send(tell).await.is_ok() {
                told.await.ok();
            }
        };
        if tokio::time::timeout(ENDING, finished).await.is_err() {
            tracing::warn!(
                "captures wait in their directory: their store did not take them in time"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "s3")]
    fn a_bucket_is_read_as_it_is_typed() {
        let told = |text: &str| text.parse::<Bucket>().map(|bucket| bucket.to_string());
        assert_eq!(told("s3://b"), Ok("s3://b/".to_owned()));
        assert_eq!(told("s3://b/a/c/"), Ok("s3://b/a/c".to_owned()));
        assert!(told("s3://").is_err() && told("gs://b").is_err() && told("b").is_err());
    }

    #[test]
    #[cfg(not(feature = "s3"))]
    fn a_build_without_s3_says_so() {
        let refused = "s3://b".parse::<Bucket>().unwrap_err();
        assert!(refused.contains("--features s3"), "{refused}");
    }
}
