//! Which of the cloud's network interfaces has which of this machine's addresses: asked again and again,
//! since interfaces are attached and addresses assigned while a gateway runs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cloud::Imds;

/// The interface of each address, by the cloud's name.
pub(super) type Interfaces = watch::Receiver<BTreeMap<Ipv4Addr, String>>;

/// How often the cloud is asked.
const AGAIN: Duration = Duration::from_secs(5);

/// Asks until the process ends; without a cloud there is nothing to know.
pub(super) fn start(cloud: Option<Imds>, parts: &mut JoinSet<()>) -> Interfaces {
    let (told, interfaces) = watch::channel(BTreeMap::new());
    if let Some(imds) = cloud {
        parts.spawn(follow(imds, told));
    }
    interfaces
}

async fn follow(imds: Imds, told: watch::Sender<BTreeMap<Ipv4Addr, String>>) {
    loop {
        match imds.interfaces().await {
            Ok(found) => {
                let all = found.into_iter().flat_map(|interface| {
                    let id = interface.id;
                    let local = interface.local.into_iter();
                    local.map(move |local| (local, id.clone()))
                });
                let all: BTreeMap<_, _> = all.collect();
                told.send_if_modified(|known| {
                    let new = *known != all;
                    if new {
                        tracing::info!(addresses = all.len(), "the cloud says what is attached");
                        *known = all;
                    }
                    new
                });
            }
            // What was known stays: an interface is not gone because nobody says that it is there.
            Err(error) => tracing::warn!(%error, "what is attached is not known"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
