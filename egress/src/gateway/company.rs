//! Asks the other gateways whether a reconciler leads them. One whose process is gone says so by its
//! machine's kernel; one that does not answer is waited for no longer than [`limits::COMPANY_WAIT`].

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::fencing::Said;
use crate::limits;
use crate::word::{Kind, Seal, Word};

/// Asks each of them once.
pub(super) async fn ask(
    seal: &Seal,
    node: Ipv4Addr,
    term: u64,
    others: BTreeSet<Ipv4Addr>,
) -> Vec<(Ipv4Addr, Said)> {
    let asked = others.into_iter().map(|other| async move {
        let said = timeout(limits::COMPANY_WAIT, one(seal, node, term, other)).await;
        (other, said.unwrap_or(Said::Silent))
    });
    futures_util::future::join_all(asked).await
}

async fn one(seal: &Seal, node: Ipv4Addr, term: u64, other: Ipv4Addr) -> Said {
    let word = Word {
        kind: Kind::Led,
        answer: false,
        static_ip: Ipv4Addr::UNSPECIFIED,
        nonce: fastrand::u64(..),
        term,
        value: 0,
    };
    match answer(seal, node, other, word).await {
        Ok(true) => Said::Led,
        Ok(false) => Said::Unled,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Said::Gone,
        Err(_) => Said::Silent,
    }
}

/// Whether it is led, or that nobody listens there.
async fn answer(seal: &Seal, node: Ipv4Addr, other: Ipv4Addr, word: Word) -> std::io::Result<bool> {
    // Connected, so that a port that nobody listens on is told at once.
    let socket = UdpSocket::bind((node, 0)).await?;
    let to = SocketAddr::new(IpAddr::V4(other), limits::PROBE_PORT);
    socket.connect(to).await?;
    socket.send(&seal.encode(word)).await?;
    let mut buffer = [0; Word::BYTES + 1];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).and_then(|bytes| seal.decode(bytes));
        let fits = |answer: &Word| answer.answer && answer.nonce == word.nonce;
        if let Some(answer) = answer.filter(fits) {
            return Ok(answer.value == 1);
        }
    }
}
