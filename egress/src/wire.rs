//! PURE. What agents, gateways and the reconciler say to each other: JSON over HTTPS for what changes
//! something, and one small datagram for "are you there, and whose is it".

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::key::PublicKey;
use crate::plan::Ports;
use crate::usage::UsageRecord;

/// An agent asks for its place at a static IP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// Which.
    pub static_ip: Ipv4Addr,
    /// The agent's key.
    pub public_key: PublicKey,
    /// The tunnel address that it has at another gateway, or had here.
    #[serde(default)]
    pub want: Option<Ipv4Addr>,
}

/// The place it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// The agent's tunnel address.
    pub address: Ipv4Addr,
    /// Its ports on the static IP.
    pub ports: Ports,
    /// The gateway's key for this static IP.
    pub public_key: PublicKey,
    /// Where the gateway listens for its tunnel.
    pub endpoint: SocketAddr,
    /// The gateway's own tunnel address, where it answers probes.
    pub gateway: Ipv4Addr,
}

/// An agent gives its place back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disconnect {
    /// Of which static IP.
    pub static_ip: Ipv4Addr,
}

/// A reconciler says who owns which static IPs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ownerships {
    /// Its term: an older one's word counts for nothing. 0 for one that holds no lease.
    pub term: u64,
    /// The static IPs.
    pub static_ips: Vec<Ownership>,
}

/// Who owns one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ownership {
    /// Which.
    pub static_ip: Ipv4Addr,
    /// The epoch in which the asked gateway owns it; none: it does not.
    pub epoch: Option<u64>,
    /// The other gateways that can hold it: they have let go of it before this one takes it.
    #[serde(default)]
    pub others: Vec<Ipv4Addr>,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For people.
    pub error: String,
    /// An address that is free at this gateway, where the wanted one was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Ipv4Addr>,
}

/// A gateway, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Its name.
    pub gateway: String,
    /// The newest reconciler's term that it has heard of.
    #[serde(default)]
    pub term: u64,
    /// A reconciler looked at it within the last second.
    #[serde(default)]
    pub led: bool,
    /// Its static IPs.
    pub static_ips: Vec<AddressStatus>,
}

/// One static IP at one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressStatus {
    /// Which.
    pub static_ip: Ipv4Addr,
    /// The epoch in which this gateway owns it, 0 if it does not.
    pub epoch: u64,
    /// The address that stands for it here.
    pub local: Ipv4Addr,
    /// The cloud's name of the interface that has that address, where there is one.
    #[serde(default)]
    pub interface: Option<String>,
    /// Its clients.
    pub peers: Vec<PeerStatus>,
    /// What each tenant has used of it, since the gateway was set up.
    #[serde(default)]
    pub usage: Vec<UsageRecord>,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Whose credential it came with.
    pub identity: String,
    /// Its tunnel address.
    pub address: Ipv4Addr,
    /// Its ports.
    pub ports: Ports,
    /// From where it sends.
    pub endpoint: Option<SocketAddr>,
    /// Seconds since its last handshake.
    pub handshake_seconds: Option<u64>,
    /// Bytes from it.
    pub received: u64,
    /// Bytes to it.
    pub sent: u64,
}

/// A datagram that asks whether a gateway is there, or the answer. They are of one size: nobody gets
/// more than was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Tells answers of different probes apart.
    pub nonce: u64,
    /// The static IP in question.
    pub static_ip: Ipv4Addr,
    /// In an answer: the epoch in which the gateway owns it, 0 if it does not.
    pub epoch: u64,
    /// It is an answer.
    pub answer: bool,
}

impl Probe {
    /// Bytes of a probe.
    pub const BYTES: usize = 24;
    const ASKS: [u8; 4] = *b"fpe?";
    const ANSWERS: [u8; 4] = *b"fpe!";

    /// As it is sent.
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let kind = if self.answer {
            Self::ANSWERS
        } else {
            Self::ASKS
        };
        let parts = kind
            .into_iter()
            .chain(self.static_ip.octets())
            .chain(self.nonce.to_be_bytes())
            .chain(self.epoch.to_be_bytes());
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        bytes
    }

    /// As it came; nothing if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::BYTES {
            return None;
        }
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (ip, rest) = rest.split_first_chunk::<4>()?;
        let (nonce, rest) = rest.split_first_chunk::<8>()?;
        let (epoch, _) = rest.split_first_chunk::<8>()?;
        let answer = *kind == Self::ANSWERS;
        (answer || *kind == Self::ASKS).then(|| Self {
            nonce: u64::from_be_bytes(*nonce),
            static_ip: Ipv4Addr::from(*ip),
            epoch: u64::from_be_bytes(*epoch),
            answer,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_probe_comes_as_it_was_sent(nonce: u64, ip: u32, epoch: u64, answer: bool) {
            let static_ip = Ipv4Addr::from_bits(ip);
            let probe = Probe { nonce, static_ip, epoch, answer };
            prop_assert_eq!(Probe::decode(&probe.encode()), Some(probe));
        }

        #[test]
        fn other_datagrams_are_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let known = bytes.starts_with(b"fpe?") || bytes.starts_with(b"fpe!");
            prop_assert_eq!(Probe::decode(&bytes).is_some(), known && bytes.len() == Probe::BYTES);
        }
    }

    #[test]
    fn a_connect_with_more_in_it_is_refused() {
        let key = PublicKey([1; 32]);
        let good = format!(r#"{{"static_ip":"203.0.113.1","public_key":"{key}"}}"#);
        assert!(serde_json::from_str::<Connect>(&good).is_ok());
        let more = good.replace('}', r#","identity":"other"}"#);
        assert!(serde_json::from_str::<Connect>(&more).is_err());
    }
}
