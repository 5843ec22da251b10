//! Answers probes, on the node's address and on every tunnel's: this process is there, and says which
//! static IPs it owns. An answer is as long as its question, so it serves nobody's flood.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::epochs::Epochs;
use super::settings::GatewaySettings;
use super::yielding;
use super::{GatewayError, PROBE_BUFFER};
use crate::limits;
use crate::wire::Probe;
use crate::word::{Kind, Seal, Word};

/// Answers at a tunnel's address, until it is dropped.
///
/// # Errors
/// The port is taken.
pub(super) async fn tunnel(
    gateway: Ipv4Addr,
    epochs: Epochs,
) -> Result<impl Future<Output = ()>, GatewayError> {
    let socket = listen(gateway).await?;
    Ok(answer(socket, epochs, None))
}

/// Starts to answer at the node's address.
///
/// # Errors
/// The port is taken.
pub(super) async fn serve(
    settings: &GatewaySettings,
    epochs: &Epochs,
    seal: &Seal,
    parts: &mut JoinSet<()>,
) -> Result<(), GatewayError> {
    let socket = listen(settings.node).await?;
    let words = Some((seal.clone(), settings.node));
    parts.spawn(answer(socket, epochs.clone(), words));
    Ok(())
}

async fn listen(address: Ipv4Addr) -> Result<UdpSocket, GatewayError> {
    let address = SocketAddr::new(IpAddr::V4(address), limits::PROBE_PORT);
    let socket = UdpSocket::bind(address).await;
    socket.map_err(|error| GatewayError::Listen { address, error })
}

/// `words`: they are taken too. They are the node's alone, since clients reach tunnels' addresses.
async fn answer(socket: UdpSocket, epochs: Epochs, words: Option<(Seal, Ipv4Addr)>) {
    let mut buffer = [0; PROBE_BUFFER];
    loop {
        // Errors are about datagrams before: an answer that nobody took.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        if let Some((seal, node)) = &words
            && let Some(word) = seal.decode(datagram)
        {
            if let Some(answer) = hear(&epochs, *node, word) {
                socket.try_send_to(&seal.encode(answer), from).ok();
            }
            continue;
        }
        let asked = Probe::decode(datagram);
        let Some(asked) = asked.filter(|probe| !probe.answer) else {
            continue;
        };
        let answer = Probe {
            answer: true,
            epoch: epochs.of(asked.static_ip),
            ..asked
        };
        // A full socket loses it, as the network may.
        socket.try_send_to(&answer.encode(), from).ok();
    }
}

/// The answer to a word, if there is one.
fn hear(epochs: &Epochs, node: Ipv4Addr, word: Word) -> Option<Word> {
    // Somebody sends this gateway its own word, which it once said to another.
    if word.kind == Kind::Yield && word.nonce >> 32 == yielding::of(node) >> 32 {
        return None;
    }
    let (term, led) = epochs.leader();
    let value = match (word.kind, word.answer) {
        (Kind::Renew, false) => {
            epochs.looked(word.term, word.nonce, word.value);
            // One that is relieved hears so by the term.
            0
        }
        (Kind::Watch, false) => epochs.watched(word.nonce),
        (Kind::Led, false) => u64::from(led),
        (Kind::Yield, false) => epochs.yields(word.term, word.static_ip, word.value)?,
        (_, true) => return None,
    };
    Some(Word {
        answer: true,
        term: term.max(word.term),
        value,
        ..word
    })
}
