//! The new process's side: asks the running proxy for what it holds, says when it serves, and hears
//! whether it may go on.

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::channel::Channel;
use super::holding::{Holding, short};
use super::word::{FromNew, FromOld, Hello, PROTOCOL};
use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::settings::Settings;

/// A running proxy answers within this.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A process that is about to relieve another one.
#[derive(Debug)]
pub struct Newcomer {
    channel: Channel,
}

/// What came of asking.
#[derive(Debug)]
pub enum Answered {
    /// The running proxy offers what it holds, and serves until told.
    Offered(Holding, Newcomer),
    /// No proxy runs in the data dir.
    Nobody,
}

impl Newcomer {
    /// Asks whoever runs in the data dir.
    ///
    /// # Errors
    /// It refuses, says nothing, or has other addresses; it serves on.
    pub async fn ask(dir: &DataDir, settings: &Settings) -> Result<Answered, Failure> {
        let (path, _dir) = short(&dir.proxy_socket()).map_err(|error| unable(&error))?;
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(Answered::Nobody);
            }
            Err(error) => return Err(unable(&error)),
        };
        let mut channel = Channel::new(stream).map_err(|error| unable(&error))?;
        let hello = Hello {
            protocol: PROTOCOL,
            pid: std::process::id(),
        };
        let answer = async {
            // One that refuses at once doesn't listen; its answer tells why.
            channel.say(&hello).await.ok();
            channel.hear().await
        };
        match timeout(ANSWER_TIME, answer).await {
            Ok(Ok(Some(FromOld::Offer))) => {}
            Ok(Ok(Some(FromOld::Refused(why)))) => return Err(refused(&why)),
            Ok(Ok(Some(FromOld::Yours))) => return Err(unable(&"it answers what was not asked")),
            Ok(Ok(None)) => return Err(unable(&"it hung up")),
            Ok(Err(error)) => return Err(unable(&error)),
            Err(_) => return Err(unable(&format!("it said nothing for {ANSWER_TIME:?}"))),
        }
        let holding = Holding::from_descriptors(channel.take_descriptors())
            .ok_or_else(|| unable(&"it offered something else than its listeners"))?;
        holding.check(settings)?;
        Ok(Answered::Offered(holding, Self { channel }))
    }

    /// Waits until the running proxy takes its offer back.
    ///
    /// If it dies instead this waits for ever: what it held is ours then.
    pub async fn dismissed(&mut self) -> Failure {
        match self.channel.hear().await {
            Ok(Some(FromOld::Refused(why))) => refused(&why),
            Ok(Some(FromOld::Offer | FromOld::Yours)) | Ok(None) | Err(_) => {
                std::future::pending().await
            }
        }
    }

    /// Tells that this process accepts and is ready, and waits until the other one has stopped
    /// accepting, or is gone.
    ///
    /// # Errors
    /// It serves on.
    pub async fn serves(mut self) -> Result<(), Failure> {
        let answer = async {
            // If it is gone, nothing is heard either.
            self.channel.say(&FromNew::Serving).await.ok();
            self.channel.hear().await
        };
        match timeout(ANSWER_TIME, answer).await {
            Ok(Ok(Some(FromOld::Refused(why)))) => Err(refused(&why)),
            Ok(Ok(Some(FromOld::Yours))) => {
                tracing::info!("took over from the running proxy");
                Ok(())
            }
            Ok(Ok(Some(FromOld::Offer) | None) | Err(_)) | Err(_) => {
                tracing::warn!("the proxy that was to be relieved is gone; serving in its place");
                Ok(())
            }
        }
    }
}

fn refused(why: &str) -> Failure {
    Failure::new(format!("the running proxy is not taken over: {why}"))
}

fn unable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!(
        "can't take over from the running proxy: {error}; stop it and start anew"
    ))
}
