//! Seven hundred agents that connect at once, as a gateway sees them: each with a key, a TLS connection
//! and a tunnel of its own to both gateways, all in this process. What an agent does on its own machine,
//! a device and rules, is left out; `storm` has the real ones, as many as one machine can be.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use fprs_egress::client::GatewayClient;
use fprs_egress::key::PrivateKey;
use fprs_egress::wire::{Connect, Connected, Probe};
use fprs_egress::{limits, tls};
use gotatun::noise::index_table::IndexTable;
use gotatun::noise::rate_limiter::RateLimiter;
use gotatun::noise::{Tunn, TunnResult};
use gotatun::packet::{Packet, WgKind};
use gotatun::x25519;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::ClientConfig;

use crate::storm;
use crate::world::{CONTROL, GATEWAYS, world};

/// Agents.
fn agents() -> usize {
    if std::env::var_os("FPRS_SOAK").is_some() {
        700
    } else {
        70
    }
}

/// Static IPs: one has places for [`limits::CLIENTS_PER_IP`].
const ADDRESSES: usize = 14;

/// Longest until all carry traffic. TLS takes several times as long where it isn't optimised, at both ends.
const LONGEST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });

/// How long an agent waits for an answer on its way through a tunnel before it asks again.
const LOST: Duration = Duration::from_millis(250);

#[test]
fn a_crowd_of_agents_at_once_all_carry_traffic_within_two_seconds() {
    let Some(mut world) = world() else { return };
    storm::gateways(&world, agents(), ADDRESSES);
    world.add_namespace("crowd", Ipv4Addr::new(203, 0, 113, 40));
    for gateway in ["g1", "g2"] {
        world.start(gateway, "gateway");
        world.hurry(gateway);
    }
    let tls = tls::client(&world.path("ca.pem")).unwrap();
    let (first, both) = world.inside("crowd", move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(crowd(&tls))
    });
    let half = first[first.len() / 2];
    let (all, both) = (first.last().unwrap(), both.last().unwrap());
    eprintln!(
        "{} agents: half carry traffic after {half:?}, all after {all:?}, by both gateways after {both:?}",
        agents()
    );
    assert!(*all < LONGEST, "{all:?}");
}

/// When each agent carried traffic by one gateway, and by both; both in order.
async fn crowd(tls: &Arc<ClientConfig>) -> (Vec<Duration>, Vec<Duration>) {
    for gateway in GATEWAYS {
        while tokio::net::TcpStream::connect((gateway, CONTROL))
            .await
            .is_err()
        {
            sleep(Duration::from_millis(20)).await;
        }
    }
    let began = Instant::now();
    let times = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let tasks: Vec<_> = (0..agents())
        .map(|n| {
            let (tls, times) = (Arc::clone(tls), Arc::clone(&times));
            tokio::spawn(async move {
                let agent = Agent::new(n, tls);
                let connected = agent.connect(GATEWAYS[0], None).await;
                let other = async {
                    let connected = agent.connect(GATEWAYS[1], Some(connected.address)).await;
                    agent.carries(&connected).await;
                    began.elapsed()
                };
                let one = async {
                    agent.carries(&connected).await;
                    began.elapsed()
                };
                let (one, other) = tokio::join!(one, other);
                let mut times = times.lock().unwrap();
                times.0.push(one.min(other));
                times.1.push(one.max(other));
            })
        })
        .collect();
    for task in tasks {
        timeout(Duration::from_secs(60), task)
            .await
            .unwrap()
            .unwrap();
    }
    let mut times = times.lock().unwrap();
    times.0.sort_unstable();
    times.1.sort_unstable();
    std::mem::take(&mut *times)
}

struct Agent {
    identity: String,
    static_ip: Ipv4Addr,
    key: PrivateKey,
    tls: Arc<ClientConfig>,
}

impl Agent {
    fn new(n: usize, tls: Arc<ClientConfig>) -> Self {
        Self {
            identity: storm::agent(n),
            static_ip: storm::address(n % ADDRESSES),
            key: PrivateKey::random().unwrap(),
            tls,
        }
    }

    /// Asks for a place until it gets one.
    async fn connect(&self, gateway: Ipv4Addr, want: Option<Ipv4Addr>) -> Connected {
        let address = SocketAddr::from((gateway, CONTROL));
        let credential = format!("{}.agent-secret", self.identity);
        let client = GatewayClient::new(address, Arc::clone(&self.tls), &credential);
        let asked = Connect {
            static_ip: self.static_ip,
            public_key: self.key.public(),
            want,
        };
        loop {
            match client.post("/v1/connect", &asked).await {
                Ok(connected) => return connected,
                Err(error) => {
                    eprintln!("{}: {error}", self.identity);
                    sleep(limits::CONNECT_RETRY).await;
                }
            }
        }
    }

    /// Sends a probe through the tunnel until its answer comes back.
    async fn carries(&self, connected: &Connected) {
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket.connect(connected.endpoint).await.unwrap();
        let secret = self.key.secret();
        let limiter = RateLimiter::new(&x25519::PublicKey::from(&secret), 1_000);
        let mut tunnel = Tunn::new(
            secret,
            x25519::PublicKey::from(connected.public_key.0),
            None,
            None,
            IndexTable::from_os_rng(),
            Arc::new(limiter),
        );
        let nonce = fastrand::u64(..);
        let probe = Probe {
            nonce,
            static_ip: self.static_ip,
            epoch: 0,
            answer: false,
        };
        let packet = datagram(connected, &probe.encode());
        let mut out = tunnel.handle_outgoing_packet(Packet::copy_from(&*packet), None);
        let mut buffer = [0; 2048];
        loop {
            if let Some(wire) = out.take() {
                send(&socket, wire).await;
            }
            let Ok(length) = timeout(LOST, socket.recv(&mut buffer)).await else {
                let again = tunnel.encapsulate_with_session(Packet::copy_from(&*packet));
                out = match again {
                    Ok(data) => Some(data.into()),
                    Err(_) => tunnel.format_handshake_initiation(true).map(Into::into),
                };
                continue;
            };
            let Ok(length) = length else { continue };
            let came = Packet::from_bytes(BytesMut::from(&buffer[..length]));
            match tunnel.handle_incoming_packet(came.try_into_wg().unwrap()) {
                TunnResult::WriteToNetwork(wire) => {
                    // The session is there: the keepalive that says so, and the probe.
                    send(&socket, wire).await;
                    let data = tunnel.encapsulate_with_session(Packet::copy_from(&*packet));
                    out = data.ok().map(Into::into);
                }
                TunnResult::WriteToTunnel(inner) => {
                    // Behind it is padding.
                    let probe = inner.get(28..28 + Probe::BYTES).and_then(Probe::decode);
                    if probe.is_some_and(|probe| probe.answer && probe.nonce == nonce) {
                        return;
                    }
                }
                TunnResult::Done | TunnResult::Err(_) => {}
            }
        }
    }
}

async fn send(socket: &UdpSocket, wire: WgKind) {
    let packet = Packet::from(wire);
    // Lost, as on the way.
    socket.send(&packet).await.ok();
}

/// A datagram from a place to its gateway's probes, without a UDP checksum, as IPv4 allows.
fn datagram(connected: &Connected, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(28 + payload.len()).unwrap();
    let mut packet = Vec::new();
    packet.put_slice(&[0x45, 0]);
    packet.put_u16(length);
    packet.put_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
    packet.put_slice(&connected.address.octets());
    packet.put_slice(&connected.gateway.octets());
    let words = packet
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).unwrap();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.put_u16(connected.ports.first);
    packet.put_u16(limits::PROBE_PORT);
    packet.put_u16(length - 20);
    packet.put_u16(0);
    packet.put_slice(payload);
    packet
}
