//! A WireGuard device inside this process: a TUN interface on one side, a UDP socket on the other. It
//! ends with the process, and the interface with it, so a restart finds nothing left over.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gotatun::device::{Device, DeviceBuilder, Peer};
use gotatun::tun::tun_async_device::TunDevice;
use gotatun::udp::socket::{SockOpt, UdpSocket};
use gotatun::udp::{UdpTransportFactory, UdpTransportFactoryParams};
use gotatun::x25519;
use ipnet::Ipv4Net;
use ipnetwork::{IpNetwork, Ipv4Network};

use crate::key::{PrivateKey, PublicKey};
use crate::network::{Network, NetworkError};
use crate::{kernel, limits};

/// What the kernel holds for a device whose process is busy, bytes: 30 ms at 1 Gbit/s.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// How a tunnel is made.
#[derive(Clone, Debug)]
pub struct TunnelSettings {
    /// The interface's name.
    pub device: String,
    /// Its key.
    pub key: PrivateKey,
    /// Its address.
    pub address: Ipv4Addr,
    /// Where it sends from and listens: always that address, whatever the routes say.
    pub socket: SocketAddr,
}

/// What a tunnel is told of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Who it is.
    pub key: PublicKey,
    /// Where it is; a gateway learns it from the peer.
    pub endpoint: Option<SocketAddr>,
    /// Its addresses.
    pub addresses: Ipv4Net,
    /// Seconds between keepalives to it.
    pub keepalive: Option<u16>,
}

/// What a tunnel knows of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// Who it is.
    pub key: PublicKey,
    /// Where it is, if that is known.
    pub endpoint: Option<SocketAddr>,
    /// Time since its last handshake.
    pub last_handshake: Option<Duration>,
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes that went to it.
    pub sent: u64,
}

/// A tunnel that can't be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The TUN interface.
    #[error(
        "can't make the interface `{device}`: {error}; is this root, and is /dev/net/tun there?"
    )]
    Interface {
        /// Its name.
        device: String,
        /// Why.
        error: gotatun::tun::tun_async_device::Error,
    },
    /// The device.
    #[error("the tunnel failed: {0}")]
    Device(#[from] gotatun::device::Error),
    /// Its address or MTU.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Its switches.
    #[error(transparent)]
    Switch(#[from] kernel::SwitchError),
}

/// A WireGuard device.
pub struct Tunnel {
    device: Device<(BoundUdp, TunDevice, TunDevice)>,
    index: u32,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tunnel({})", self.index)
    }
}

impl Tunnel {
    /// Makes the interface and listens.
    ///
    /// # Errors
    /// This is not root, the name or the port is taken.
    pub async fn open(network: &Network, settings: TunnelSettings) -> Result<Self, TunnelError> {
        let name = settings.device;
        let tun = TunDevice::from_name(&name).map_err(|error| TunnelError::Interface {
            device: name.clone(),
            error,
        })?;
        let index = network.index(&name).await?;
        kernel::loose_reverse_path(&name)?;
        kernel::forwarding(&name)?;
        network.add_address(index, settings.address, None).await?;
        network.up(index, limits::TUNNEL_MTU).await?;
        let device = DeviceBuilder::new()
            .with_udp(BoundUdp(settings.socket))
            .with_ip(tun)
            .with_private_key(settings.key.secret())
            .build()
            .await?;
        // Without a peer the socket is not opened before something is changed.
        device.clear_peers().await?;
        Ok(Self { device, index })
    }

    /// The interface's number.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Adds or changes peers, all under one lock of the device.
    ///
    /// # Errors
    /// The device failed.
    pub async fn set_peers(&self, peers: &[PeerSettings]) -> Result<(), TunnelError> {
        let peers: Vec<Peer> = peers.iter().map(peer).collect();
        let set = async |device: &mut gotatun::device::configure::DeviceWrite<'_, _>| {
            device.add_or_update_peers(peers).await;
        };
        Ok(self.device.write(set).await?)
    }

    /// Removes peers; they need not be there.
    ///
    /// # Errors
    /// The device failed.
    pub async fn remove_peers(&self, keys: &[PublicKey]) -> Result<(), TunnelError> {
        for key in keys {
            self.device
                .remove_peer(&x25519::PublicKey::from(key.0))
                .await?;
        }
        Ok(())
    }

    /// Every peer.
    pub async fn peers(&self) -> Vec<PeerState> {
        let peers = self.device.peers().await;
        let peers = peers.iter().map(|known| PeerState {
            key: PublicKey(known.peer.public_key.to_bytes()),
            endpoint: known.peer.endpoint,
            last_handshake: known.stats.last_handshake,
            received: known.stats.rx_bytes as u64,
            sent: known.stats.tx_bytes as u64,
        });
        peers.collect()
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
