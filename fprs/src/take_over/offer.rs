//! The running proxy's side: offers what it holds to one newcomer at a time, and lets go of it only
//! once that one serves.

use std::io;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::channel::Channel;
use super::holding::Holding;
use super::word::{FromNew, FromOld, Hello};
use crate::failure::Failure;

/// A newcomer says who it is within this; it keeps others waiting.
const HELLO_TIME: Duration = Duration::from_secs(5);

/// From the offer to a newcomer that serves: a table of a hundred thousand servers loads in seconds.
const SERVING_TIME: Duration = Duration::from_secs(60);

/// What a running proxy offers.
#[derive(Debug)]
pub struct Offer {
    door: UnixListener,
    holding: Holding,
}

/// A newcomer that serves and waits for us to stop accepting.
#[derive(Debug)]
pub struct Relief {
    channel: Channel,
    pid: u32,
}

impl Offer {
    /// Offers that holding. Until somebody takes it, or this is dropped, all of it stays open.
    ///
    /// # Errors
    /// There are no descriptors to be had.
    pub fn new(holding: Holding) -> Result<Self, Failure> {
        let open = || UnixListener::from_std(holding.door.try_clone()?);
        let door =
            open().map_err(|error| Failure::new(format!("can't offer to be relieved: {error}")))?;
        Ok(Self { door, holding })
    }

    /// Waits for a newcomer that serves; those that come to nothing change nothing.
    pub async fn taken(&self) -> Relief {
        loop {
            let stream = self.next().await;
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
            let taking = self.offer(stream);
            let mut taking = std::pin::pin!(taking);
            let taken = loop {
                tokio::select! {
                    taken = &mut taking => break taken,
                    other = self.next() => refuse(other, pid).await,
                }
            };
            match taken {
                Ok(relief) => return relief,
                Err(why) => tracing::warn!(pid, %why, "a take-over came to nothing; serving on"),
            }
        }
    }

    async fn next(&self) -> UnixStream {
        loop {
            match self.door.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::warn!(%error, "can't hear who wants to take over");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn offer(&self, stream: UnixStream) -> io::Result<Relief> {
        let mut channel = Channel::new(stream)?;
        let hello: Hello = heard(HELLO_TIME, &mut channel).await?;
        if let Some(why) = hello.refusal() {
            channel.say(&FromOld::Refused(why.clone())).await?;
            return Err(io::Error::other(why));
        }
        tracing::info!(pid = hello.pid, "another process prepares to take over");
        channel
            .offer(&FromOld::Offer, &self.holding.descriptors())
            .await?;
        match heard(SERVING_TIME, &mut channel).await {
            Ok(FromNew::Serving) => Ok(Relief {
                channel,
                pid: hello.pid,
            }),
            Err(error) => {
                let why = format!("the running proxy serves on: {error}");
                // It may be gone, and then it needs no word.
                channel.say(&FromOld::Refused(why)).await.ok();
                Err(error)
            }
        }
    }
}

impl Relief {
    /// Tells the newcomer that it is alone now.
    pub async fn stopped_accepting(mut self) {
        tracing::info!(pid = self.pid, "relieved by another process: draining");
        if let Err(error) = self.channel.say(&FromOld::Yours).await {
            tracing::warn!(%error, "the process that took over left at once");
        }
    }
}

async fn heard<T: serde::de::DeserializeOwned>(
    within: Duration,
    channel: &mut Channel,
) -> io::Result<T> {
    match timeout(within, channel.hear()).await {
        Ok(word) => word?.ok_or_else(|| io::Error::other("it left before it served")),
        Err(_) => Err(io::Error::other(format!("it took longer than {within:?}"))),
    }
}

/// One at a time: two would both serve.
async fn refuse(stream: UnixStream, busy_with: Option<i32>) {
    let pid = busy_with.map(|pid| format!(" by process {pid}"));
    let why = format!(
        "another take-over{} is under way; wait for its end",
        pid.unwrap_or_default()
    );
    let refusal = async {
        let mut channel = Channel::new(stream)?;
        channel.say(&FromOld::Refused(why)).await
    };
    if let Err(error) = refusal.await {
        tracing::debug!(%error, "a second take-over left before it was refused");
    }
}

#[cfg(test)]
mod tests;
