//! Probes through the tunnels of one pool. One socket, bound to the tunnel address: each gateway has
//! its own, and the routes to them are each tunnel's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use crate::limits;
use crate::wire::Probe;

/// The probes of one pool.
#[derive(Debug)]
pub(super) struct Probes {
    socket: UdpSocket,
    static_ip: Ipv4Addr,
}

impl Probes {
    /// Probes from that tunnel address, which an interface has.
    pub(super) async fn open(from: Ipv4Addr, static_ip: Ipv4Addr) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((from, 0)).await?;
        Ok(Self { socket, static_ip })
    }

    /// Asks the gateway of that tunnel address; what can't be sent is lost, as on the way.
    pub(super) fn ask(&self, gateway: Ipv4Addr, nonce: u64) {
        let probe = Probe {
            nonce,
            static_ip: self.static_ip,
            epoch: 0,
            answer: false,
        };
        let to = SocketAddr::new(IpAddr::V4(gateway), limits::PROBE_PORT);
        self.socket.try_send_to(&probe.encode(), to).ok();
    }

    /// The next answer, and the tunnel address that it is from. Cancel-safe.
    pub(super) async fn answer(&self) -> (Ipv4Addr, Probe) {
        let mut buffer = [0; Probe::BYTES + 1];
        loop {
            // Errors are about datagrams before, that nobody took.
            let Ok((length, SocketAddr::V4(from))) = self.socket.recv_from(&mut buffer).await
            else {
                tokio::task::yield_now().await;
                continue;
            };
            let probe = buffer.get(..length).and_then(Probe::decode);
            let asked = |probe: &Probe| probe.answer && probe.static_ip == self.static_ip;
            if let Some(probe) = probe.filter(asked) {
                return (*from.ip(), probe);
            }
        }
    }
}
