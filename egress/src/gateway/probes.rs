//! Answers probes, on the node's address and on every tunnel's: this process is there, and says which
//! static IPs it owns. An answer is as long as its question, so it serves nobody's flood.

use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::owner::Epochs;
use super::settings::GatewaySettings;
use super::{GatewayError, PROBE_BUFFER};
use crate::limits;
use crate::wire::Probe;

/// Starts to answer.
///
/// # Errors
/// A port is taken.
pub(super) async fn serve(
    settings: &GatewaySettings,
    epochs: &Epochs,
    parts: &mut JoinSet<()>,
) -> Result<(), GatewayError> {
    let tunnels = settings.addresses.iter().map(|address| address.gateway);
    // One socket each: an answer leaves by the address that was asked.
    for address in tunnels.chain([settings.node]) {
        let address = SocketAddr::new(IpAddr::V4(address), limits::PROBE_PORT);
        let socket = UdpSocket::bind(address).await;
        let socket = socket.map_err(|error| GatewayError::Listen { address, error })?;
        parts.spawn(answer(socket, epochs.clone()));
    }
    Ok(())
}

async fn answer(socket: UdpSocket, epochs: Epochs) {
    let mut buffer = [0; PROBE_BUFFER];
    loop {
        // Errors are about datagrams before: an answer that nobody took.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let asked = buffer.get(..length).and_then(Probe::decode);
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
