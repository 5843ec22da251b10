//! A WireGuard device, whatever encrypts in it: an interface on one side, a UDP socket on the other. The
//! backends differ in who does the work; what they are asked is the same.

mod guard;
mod in_kernel;
mod in_process;
mod uapi;

pub use self::guard::guard;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use ipnet::Ipv4Net;

use crate::key::{PrivateKey, PublicKey};
use crate::network::{Network, NetworkError};
use crate::{kernel, limits};

/// Who encrypts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The kernel, or this process where the kernel has no WireGuard.
    #[default]
    Best,
    /// The kernel. As in this process, the interface ends with it: see [`guard`].
    Kernel,
    /// This process: the interface ends with it, so a restart finds nothing left over.
    InProcess,
    /// A program that is started for each device as `<program> -f <device>` and told by its socket
    /// `/var/run/wireguard/<device>.sock`: wireguard-go and what is made like it. One that runs already is
    /// taken over.
    Daemon(PathBuf),
}

/// How a tunnel is made.
#[derive(Clone, Debug)]
pub struct TunnelSettings {
    /// The interface's name.
    pub device: String,
    /// Its key.
    pub key: PrivateKey,
    /// Its address.
    pub address: Ipv4Addr,
    /// Where it sends from and listens. In this process always that address, whatever the routes say; the
    /// kernel and daemons are told the port only.
    pub socket: SocketAddr,
    /// Who encrypts.
    pub engine: Engine,
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
    /// WireGuard of the kernel.
    #[error("the kernel refuses the tunnel `{device}`: {error}")]
    Kernel {
        /// The device.
        device: String,
        /// Why.
        error: std::io::Error,
    },
    /// There is none.
    #[error(
        "this kernel has no WireGuard for `{device}`: load its module, or leave `engine` out to encrypt in \
         this process"
    )]
    NoKernel {
        /// The device.
        device: String,
    },
    /// The program that encrypts.
    #[error("the program `{program}` makes no tunnel `{device}`: {why}", program = program.display())]
    Daemon {
        /// Which program.
        program: PathBuf,
        /// The device.
        device: String,
        /// Why.
        why: String,
    },
    /// Its address or MTU.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Its switches.
    #[error(transparent)]
    Switch(#[from] kernel::SwitchError),
}

/// What encrypts in one device. Peers are changed in batches; handshakes are told by their age, since
/// clocks of programs differ.
trait Backend: Send + Sync {
    /// Adds or changes peers, all of them at once.
    fn set_peers<'a>(&'a self, peers: &'a [PeerSettings])
    -> BoxFuture<'a, Result<(), TunnelError>>;

    /// Removes peers; they need not be there.
    fn remove_peers<'a>(&'a self, keys: &'a [PublicKey]) -> BoxFuture<'a, Result<(), TunnelError>>;

    /// Every peer.
    fn peers(&self) -> BoxFuture<'_, Vec<PeerState>>;
}

/// A WireGuard device.
pub struct Tunnel {
    backend: Box<dyn Backend>,
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
        let backend: Box<dyn Backend> = match &settings.engine {
            Engine::Best | Engine::Kernel => {
                match in_kernel::InKernel::open(network, &settings).await? {
                    Some(kernel) => Box::new(kernel),
                    None if settings.engine == Engine::Best => {
                        return Self::in_process(network, &settings).await;
                    }
                    None => {
                        let device = settings.device;
                        return Err(TunnelError::NoKernel { device });
                    }
                }
            }
            Engine::InProcess => return Self::in_process(network, &settings).await,
            Engine::Daemon(program) => Box::new(uapi::Daemon::open(program, &settings).await?),
        };
        let index = prepare(network, &settings).await?;
        Ok(Self { backend, index })
    }

    async fn in_process(network: &Network, settings: &TunnelSettings) -> Result<Self, TunnelError> {
        let interface = in_process::interface(&settings.device)?;
        let index = prepare(network, settings).await?;
        let device = in_process::InProcess::open(interface, settings).await?;
        Ok(Self {
            backend: Box::new(device),
            index,
        })
    }

    /// The interface's number.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Adds or changes peers, all of them at once.
    ///
    /// # Errors
    /// The device failed.
    pub async fn set_peers(&self, peers: &[PeerSettings]) -> Result<(), TunnelError> {
        self.backend.set_peers(peers).await
    }

    /// Removes peers; they need not be there.
    ///
    /// # Errors
    /// The device failed.
    pub async fn remove_peers(&self, keys: &[PublicKey]) -> Result<(), TunnelError> {
        self.backend.remove_peers(keys).await
    }

    /// Every peer.
    pub async fn peers(&self) -> Vec<PeerState> {
        self.backend.peers().await
    }
}

/// What an interface needs before anything comes out of it.
async fn prepare(network: &Network, settings: &TunnelSettings) -> Result<u32, TunnelError> {
    let name = &settings.device;
    let index = network.index(name).await?;
    kernel::loose_reverse_path(name)?;
    kernel::forwarding(name)?;
    network.add_address(index, settings.address, None).await?;
    network.up(index, limits::TUNNEL_MTU).await?;
    Ok(index)
}

/// Time since the Unix epoch, by which backends tell when handshakes were.
fn unix() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}
