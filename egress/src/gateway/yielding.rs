//! Asks the other gateways to let go of static IPs before this one takes them. One that can be reached
//! has let go when it answers; one whose process is gone says so by its kernel; one that can't be reached
//! is waited for no longer than [`limits::YIELD`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::limits;
use crate::word::{Kind, Seal, Word};

/// A static IP that is to be taken, and its new epoch.
pub(super) type Taken = (Ipv4Addr, u64);

/// Asks each of those gateways about what it can hold. What came back with a newer epoch is another
/// one's: not to be taken.
pub(super) async fn ask(
    seal: &Seal,
    node: Ipv4Addr,
    term: u64,
    others: BTreeMap<Ipv4Addr, Vec<Taken>>,
) -> Vec<Taken> {
    let asked = others
        .into_iter()
        .map(|(other, taken)| one(seal, node, term, other, taken));
    let newer = futures_util::future::join_all(asked).await;
    newer.into_iter().flatten().collect()
}

async fn one(
    seal: &Seal,
    node: Ipv4Addr,
    term: u64,
    other: Ipv4Addr,
    taken: Vec<Taken>,
) -> Vec<Taken> {
    let began = Instant::now();
    let mut open: BTreeMap<u64, Taken> = taken
        .into_iter()
        .map(|taken| (of(node) | u64::from(fastrand::u32(..)), taken))
        .collect();
    let mut newer = Vec::new();
    // Connected, so that a port that nobody listens on is told at once.
    let Ok(socket) = UdpSocket::bind((node, 0)).await else {
        return newer;
    };
    let to = SocketAddr::new(IpAddr::V4(other), limits::PROBE_PORT);
    if socket.connect(to).await.is_err() {
        return newer;
    }
    let mut wait = FIRST_WAIT;
    while !open.is_empty() && began.elapsed() < limits::YIELD {
        for (nonce, (static_ip, epoch)) in &open {
            let word = Word {
                kind: Kind::Yield,
                answer: false,
                static_ip: *static_ip,
                nonce: *nonce,
                term,
                value: *epoch,
            };
            if gone(socket.send(&seal.encode(word)).await) {
                return newer;
            }
        }
        let next = Instant::now() + wait;
        wait = limits::YIELD_EVERY;
        let mut buffer = [0; Word::BYTES + 1];
        while !open.is_empty()
            && let Ok(received) = timeout_at(next, socket.recv(&mut buffer)).await
        {
            let Ok(length) = received else {
                if gone(received) {
                    return newer;
                }
                break;
            };
            let word = buffer.get(..length).and_then(|bytes| seal.decode(bytes));
            let Some(word) = word.filter(|word| word.answer && word.kind == Kind::Yield) else {
                continue;
            };
            if let Some((static_ip, epoch)) = open.remove(&word.nonce)
                && word.value > epoch
            {
                newer.push((static_ip, word.value));
            }
        }
    }
    newer
}

/// Whose word it is: in the upper half of its nonce, so that a word which comes back to who said it is
/// known.
pub(super) fn of(node: Ipv4Addr) -> u64 {
    u64::from(node.to_bits()) << 32
}

/// Nobody listens there.
fn gone(done: std::io::Result<usize>) -> bool {
    done.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Letting go takes one message to the kernel.
const FIRST_WAIT: std::time::Duration = std::time::Duration::from_millis(5);
