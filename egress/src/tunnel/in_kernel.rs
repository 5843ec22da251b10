//! WireGuard in the kernel, told by generic netlink (the family `wireguard`). A device ends with this process,
//! however that ends: [`guard`](super::guard) sees to it.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
    WireguardTimeSpec,
};
use rtnetlink::packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    ParseableParametrized,
};
use rtnetlink::proto::ConnectionHandle;
use rtnetlink::sys::SocketAddr as Port;
use rtnetlink::sys::protocols::NETLINK_GENERIC;

use super::guard::{self, Kept};
use super::{Backend, PeerSettings, PeerState, TunnelError, TunnelSettings, unix};
use crate::key::PublicKey;
use crate::limits;
use crate::network::Network;

/// Peers told in one message, whose attributes end at 64 KiB.
const PEERS_AT_ONCE: usize = 256;

/// A device of the kernel. It ends with this value.
pub(super) struct InKernel {
    _kept: Kept,
    device: String,
    family: Family<WireguardMessage>,
}

impl InKernel {
    /// Makes the device and tells it key and port. `None`: this kernel has no WireGuard.
    pub(super) async fn open(
        network: &Network,
        settings: &TunnelSettings,
    ) -> Result<Option<Self>, TunnelError> {
        let Some(index) = network.make_wireguard(&settings.device).await? else {
            return Ok(None);
        };
        let failed = |error| failed(&settings.device, error);
        let kernel = Self {
            _kept: guard::keep(index).map_err(failed)?,
            device: settings.device.clone(),
            family: Family::open().await.map_err(failed)?,
        };
        let mut told = vec![WireguardAttribute::PrivateKey(
            *settings.key.secret().as_bytes(),
        )];
        if settings.socket.port() != 0 {
            told.push(WireguardAttribute::ListenPort(settings.socket.port()));
        }
        kernel.set(told).await?;
        Ok(Some(kernel))
    }

    async fn set(&self, mut told: Vec<WireguardAttribute>) -> Result<(), TunnelError> {
        told.insert(0, WireguardAttribute::IfName(self.device.clone()));
        let message = WireguardMessage {
            cmd: WireguardCmd::SetDevice,
            attributes: told,
        };
        let done = self.family.ask(message, NLM_F_REQUEST | NLM_F_ACK).await;
        done.map_err(|error| failed(&self.device, error)).map(drop)
    }

    async fn set_all(&self, peers: Vec<WireguardPeer>) -> Result<(), TunnelError> {
        for some in peers.chunks(PEERS_AT_ONCE) {
            let told = vec![WireguardAttribute::Peers(some.to_vec())];
            self.set(told).await?;
        }
        Ok(())
    }

    async fn get(&self) -> io::Result<Vec<WireguardMessage>> {
        let message = WireguardMessage {
            cmd: WireguardCmd::GetDevice,
            attributes: vec![WireguardAttribute::IfName(self.device.clone())],
        };
        self.family.ask(message, NLM_F_REQUEST | NLM_F_DUMP).await
    }
}

impl Backend for InKernel {
    fn set_peers<'a>(
        &'a self,
        peers: &'a [PeerSettings],
    ) -> BoxFuture<'a, Result<(), TunnelError>> {
        Box::pin(self.set_all(peers.iter().map(peer).collect()))
    }

    fn remove_peers<'a>(&'a self, keys: &'a [PublicKey]) -> BoxFuture<'a, Result<(), TunnelError>> {
        let gone = |key: &PublicKey| {
            WireguardPeer(vec![
                WireguardPeerAttribute::PublicKey(key.0),
                WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
            ])
        };
        Box::pin(self.set_all(keys.iter().map(gone).collect()))
    }

    fn peers(&self) -> BoxFuture<'_, Vec<PeerState>> {
        Box::pin(async {
            match self.get().await {
                Ok(messages) => states(&messages, unix()),
                Err(error) => {
                    tracing::error!(%error, device = self.device, "the kernel does not say who is at a tunnel");
                    Vec::new()
                }
            }
        })
    }
}

fn failed(device: &str, error: io::Error) -> TunnelError {
    TunnelError::Kernel {
        device: device.to_owned(),
        error,
    }
}

/// A peer as it is set, whatever it was.
fn peer(settings: &PeerSettings) -> WireguardPeer {
    let net = settings.addresses;
    let allowed = WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(WireguardAddressFamily::Ipv4),
        WireguardAllowedIpAttr::IpAddr(IpAddr::V4(net.network())),
        WireguardAllowedIpAttr::Cidr(net.prefix_len()),
    ]);
    let mut told = vec![
        WireguardPeerAttribute::PublicKey(settings.key.0),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
        WireguardPeerAttribute::PersistentKeepalive(settings.keepalive.unwrap_or(0)),
        WireguardPeerAttribute::AllowedIps(vec![allowed]),
    ];
    let endpoint = settings.endpoint.map(WireguardPeerAttribute::Endpoint);
    told.extend(endpoint);
    WireguardPeer(told)
}

/// The peers that an answer tells of. `now`: time since the Unix epoch.
fn states(messages: &[WireguardMessage], now: Duration) -> Vec<PeerState> {
    let attributes = messages.iter().flat_map(|message| &message.attributes);
    let peers = attributes.filter_map(|attribute| match attribute {
        WireguardAttribute::Peers(peers) => Some(peers),
        _ => None,
    });
    peers
        .flatten()
        .filter_map(|peer| state(peer, now))
        .collect()
}

fn state(peer: &WireguardPeer, now: Duration) -> Option<PeerState> {
    let mut key = None;
    let (mut endpoint, mut last_handshake) = (None, None);
    let (mut received, mut sent) = (0, 0);
    for attribute in &peer.0 {
        match attribute {
            WireguardPeerAttribute::PublicKey(bytes) => key = Some(PublicKey(*bytes)),
            WireguardPeerAttribute::Endpoint(address) => endpoint = Some(*address),
            WireguardPeerAttribute::LastHandshake(at) => {
                last_handshake = since_epoch(*at).map(|at| now.saturating_sub(at));
            }
            WireguardPeerAttribute::RxBytes(bytes) => received = *bytes,
            WireguardPeerAttribute::TxBytes(bytes) => sent = *bytes,
            _ => {}
        }
    }
    Some(PeerState {
        key: key?,
        endpoint,
        last_handshake,
        received,
        sent,
    })
}

/// `None`: never.
fn since_epoch(at: WireguardTimeSpec) -> Option<Duration> {
    let seconds = u64::try_from(at.seconds).ok()?;
    let nanos = u32::try_from(at.nano_seconds).ok()?;
    (seconds > 0).then(|| Duration::new(seconds, nanos))
}

/// A family of generic netlink: its own connection, and the number that this kernel gave it.
struct Family<F: std::fmt::Debug> {
    connection: ConnectionHandle<GenlMessage<F>>,
    number: u16,
}

impl Family<WireguardMessage> {
    /// Asks for the number, by which the kernel loads the module if it has to.
    async fn open() -> io::Result<Self> {
        let controller = Family::<GenlCtrl> {
            connection: connect()?,
            number: 0,
        };
        let name = WireguardMessage::family_name().to_owned();
        let asked = GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(name)],
        };
        let answers = controller.ask(asked, NLM_F_REQUEST | NLM_F_ACK).await?;
        let mut told = answers.into_iter().flat_map(|answer| answer.nlas);
        let number = told.find_map(|attribute| match attribute {
            GenlCtrlAttrs::FamilyId(number) => Some(number),
            _ => None,
        });
        Ok(Self {
            connection: connect()?,
            number: number.ok_or_else(|| io::Error::other("it has no number"))?,
        })
    }
}

/// What a message of a family can do.
trait Spoken:
    GenlFamily
    + Emitable
    + ParseableParametrized<[u8], GenlHeader>
    + Clone
    + std::fmt::Debug
    + Unpin
    + Send
    + 'static
{
}

impl Spoken for GenlCtrl {}
impl Spoken for WireguardMessage {}

fn connect<F: Spoken>() -> io::Result<ConnectionHandle<GenlMessage<F>>> {
    let (connection, handle, _) = rtnetlink::proto::new_connection(NETLINK_GENERIC)?;
    // Ends with its last handle.
    tokio::spawn(connection);
    Ok(handle)
}

impl<F: Spoken> Family<F> {
    /// Asks, and collects what is answered before the end or the acknowledgement.
    async fn ask(&self, message: F, flags: u16) -> io::Result<Vec<F>> {
        let mut message = GenlMessage::from_payload(message);
        message.set_resolved_family_id(self.number);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let answers = async {
            let asked = self.connection.request(request, Port::new(0, 0));
            let mut answers = asked.map_err(io::Error::other)?;
            let mut told = Vec::new();
            while let Some(answer) = answers.next().await {
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => told.push(message.payload),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    _ => {}
                }
            }
            Ok(told)
        };
        let answers = tokio::time::timeout(limits::COMMAND, answers).await;
        answers.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_100);

    /// What the kernel would make of it, and back.
    fn carried(message: &WireguardMessage) -> WireguardMessage {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        let header = GenlHeader {
            cmd: message.command(),
            version: message.version(),
        };
        WireguardMessage::parse_with_param(&bytes, header).unwrap()
    }

    #[test]
    fn a_peer_is_set_as_a_whole() {
        let told = peer(&PeerSettings {
            key: PublicKey([7; 32]),
            endpoint: Some("203.0.113.9:1234".parse().unwrap()),
            addresses: "100.64.1.8/32".parse().unwrap(),
            keepalive: None,
        });
        let message = WireguardMessage {
            cmd: WireguardCmd::SetDevice,
            attributes: vec![WireguardAttribute::Peers(vec![told.clone()])],
        };
        assert_eq!(carried(&message), message);
        assert!(
            told.0
                .contains(&WireguardPeerAttribute::PersistentKeepalive(0))
        );
        let replaced = WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps);
        assert!(told.0.contains(&replaced));
    }

    #[test]
    fn what_the_kernel_says_of_its_peers_is_understood() {
        let known = |key: u8, seconds| {
            WireguardPeer(vec![
                WireguardPeerAttribute::PublicKey([key; 32]),
                WireguardPeerAttribute::LastHandshake(WireguardTimeSpec {
                    seconds,
                    nano_seconds: 0,
                }),
                WireguardPeerAttribute::RxBytes(7),
                WireguardPeerAttribute::TxBytes(9),
            ])
        };
        // Many peers come in several messages.
        let messages = [known(7, 1_800_000_000), known(8, 0)].map(|peer| WireguardMessage {
            cmd: WireguardCmd::GetDevice,
            attributes: vec![
                WireguardAttribute::IfName("wg0".to_owned()),
                WireguardAttribute::Peers(vec![peer]),
            ],
        });
        let [first, second] = states(&messages, NOW).try_into().unwrap();
        assert_eq!(first.key, PublicKey([7; 32]));
        assert_eq!(first.last_handshake, Some(Duration::from_secs(100)));
        assert_eq!((first.received, first.sent), (7, 9));
        assert_eq!((second.last_handshake, second.endpoint), (None, None));
    }
}
