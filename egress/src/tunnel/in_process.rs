//! WireGuard inside this process, by gotatun: a TUN interface on one side, a UDP socket on the other.

use std::io;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use gotatun::device::{Device, DeviceBuilder, Peer};
use gotatun::tun::tun_async_device::TunDevice;
use gotatun::udp::socket::{SockOpt, UdpSocket};
use gotatun::udp::{UdpTransportFactory, UdpTransportFactoryParams};
use gotatun::x25519;
use ipnetwork::{IpNetwork, Ipv4Network};

use super::{Backend, PeerSettings, PeerState, TunnelError, TunnelSettings};
use crate::key::PublicKey;

/// What the kernel holds for a device whose process is busy, bytes: 30 ms at 1 Gbit/s.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// Makes the interface, which ends with the value.
pub(super) fn interface(name: &str) -> Result<TunDevice, TunnelError> {
    TunDevice::from_name(name).map_err(|error| TunnelError::Interface {
        device: name.to_owned(),
        error,
    })
}

/// A device of this process.
pub(super) struct InProcess(Device<(BoundUdp, TunDevice, TunDevice)>);

impl InProcess {
    /// Listens and encrypts.
    pub(super) async fn open(
        interface: TunDevice,
        settings: &TunnelSettings,
    ) -> Result<Self, TunnelError> {
        let device = DeviceBuilder::new()
            .with_udp(BoundUdp(settings.socket))
            .with_ip(interface)
            .with_private_key(settings.key.secret())
            .build()
            .await?;
        // Without a peer the socket is not opened before something is changed.
        device.clear_peers().await?;
        Ok(Self(device))
    }
}

impl Backend for InProcess {
    fn set_peers<'a>(
        &'a self,
        peers: &'a [PeerSettings],
    ) -> BoxFuture<'a, Result<(), TunnelError>> {
        Box::pin(async move {
            let peers: Vec<Peer> = peers.iter().map(peer).collect();
            let set = async |device: &mut gotatun::device::configure::DeviceWrite<'_, _>| {
                device.add_or_update_peers(peers).await;
            };
            Ok(self.0.write(set).await?)
        })
    }

    fn remove_peers<'a>(&'a self, keys: &'a [PublicKey]) -> BoxFuture<'a, Result<(), TunnelError>> {
        Box::pin(async move {
            for key in keys {
                self.0.remove_peer(&x25519::PublicKey::from(key.0)).await?;
            }
            Ok(())
        })
    }

    fn peers(&self) -> BoxFuture<'_, Vec<PeerState>> {
        Box::pin(async move {
            let peers = self.0.peers().await;
            let peers = peers.iter().map(|known| PeerState {
                key: PublicKey(known.peer.public_key.to_bytes()),
                endpoint: known.peer.endpoint,
                last_handshake: known.stats.last_handshake,
                received: known.stats.rx_bytes as u64,
                sent: known.stats.tx_bytes as u64,
            });
            peers.collect()
        })
    }
}

fn peer(settings: &PeerSettings) -> Peer {
    let net = settings.addresses;
    let mut peer = Peer::new(x25519::PublicKey::from(settings.key.0));
    if let Ok(net) = Ipv4Network::new(net.network(), net.prefix_len()) {
        peer = peer.with_allowed_ip(IpNetwork::V4(net));
    }
    peer.endpoint = settings.endpoint;
    peer.keepalive = settings.keepalive;
    peer
}

/// Listens at one address, so that answers leave by the address that was asked.
#[derive(Debug)]
struct BoundUdp(SocketAddr);

impl UdpTransportFactory for BoundUdp {
    type Send = UdpSocket;
    type Recv = UdpSocket;

    async fn bind(
        &mut self,
        params: &UdpTransportFactoryParams,
    ) -> io::Result<(UdpSocket, UdpSocket)> {
        let options = SockOpt {
            fwmark: params.fwmark,
            recv_buffer_size: Some(SOCKET_BUFFER),
            send_buffer_size: Some(SOCKET_BUFFER),
            only_v6: None,
        };
        let socket = UdpSocket::bind(self.0, options)?;
        Ok((socket.clone(), socket))
    }
}
