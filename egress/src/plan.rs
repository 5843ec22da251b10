//! PURE. Which tunnel address and which ports a client of a static IP has. Both are functions of its
//! place in the tunnel block, so two gateways agree without talking, and either can rebuild both
//! directions of a connection that it never saw begin.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::limits;

/// A client's place in the block of a static IP, below [`limits::CLIENTS_PER_IP`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(u16);

/// The ports of one client, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// The tunnel addresses of one static IP: gateways' first, then clients'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(Ipv4Net);

/// The block can't hold gateways and clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tunnel block {0} is too small: it needs at least a /25")]
pub struct TooSmall(Ipv4Net);

impl Place {
    /// Every place, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..limits::CLIENTS_PER_IP).map(Self)
    }

    /// How many places after the one of that number this one comes, round and round.
    pub const fn after(self, number: u16) -> u16 {
        let number = number % limits::CLIENTS_PER_IP;
        (self.0 + limits::CLIENTS_PER_IP - number) % limits::CLIENTS_PER_IP
    }

    /// The ports of whoever has this place.
    pub const fn ports(self) -> Ports {
        let first = limits::FIRST_PORT + self.0 * limits::PORTS_PER_CLIENT;
        Ports {
            first,
            last: first + (limits::PORTS_PER_CLIENT - 1),
        }
    }
}

impl Block {
    /// Prefix length of the smallest block.
    pub const SMALLEST: u8 = 25;
    /// Addresses of the smallest block.
    pub const ADDRESSES: u32 = 1 << (32 - Self::SMALLEST);

    /// A block for gateways and clients.
    ///
    /// # Errors
    /// It is too small for both.
    pub fn new(net: Ipv4Net) -> Result<Self, TooSmall> {
        if net.prefix_len() > Self::SMALLEST {
            return Err(TooSmall(net));
        }
        Ok(Self(net.trunc()))
    }

    /// The whole block.
    pub const fn net(self) -> Ipv4Net {
        self.0
    }

    /// The tunnel address of the gateway of that number, from 1 to [`limits::GATEWAYS_PER_IP`].
    pub fn gateway(self, number: u8) -> Option<Ipv4Addr> {
        (1..=limits::GATEWAYS_PER_IP)
            .contains(&number)
            .then(|| self.at(u32::from(number)))
    }

    /// The tunnel address of whoever has that place.
    pub fn client(self, place: Place) -> Ipv4Addr {
        self.at(u32::from(limits::GATEWAYS_PER_IP) + 1 + u32::from(place.0))
    }

    /// The place of that tunnel address, if it is a client's.
    pub fn place(self, address: Ipv4Addr) -> Option<Place> {
        let index = address.to_bits().checked_sub(self.0.network().to_bits())?;
        let index = index.checked_sub(u32::from(limits::GATEWAYS_PER_IP) + 1)?;
        let place = Place(u16::try_from(index).ok()?);
        (place.0 < limits::CLIENTS_PER_IP).then_some(place)
    }

    fn at(self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0.network().to_bits() | index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(net: &str) -> Block {
        Block::new(net.parse().unwrap()).unwrap()
    }

    #[test]
    fn no_two_places_share_a_port_or_an_address() {
        let block = block("100.64.3.0/25");
        let mut last = limits::FIRST_PORT - 1;
        for place in Place::all() {
            let ports = place.ports();
            assert_eq!(ports.first, last + 1, "{place:?}");
            assert_eq!(block.place(block.client(place)), Some(place));
            last = ports.last;
        }
        assert_eq!(last, 65_535);
    }

    #[test]
    fn addresses_of_gateways_and_strangers_are_no_places() {
        let block = block("100.64.3.0/25");
        for wrong in ["100.64.3.0", "100.64.3.1", "100.64.3.7", "100.64.3.70"] {
            assert_eq!(block.place(wrong.parse().unwrap()), None, "{wrong}");
        }
        for wrong in ["100.64.2.255", "100.64.4.8", "0.0.0.0", "255.255.255.255"] {
            assert_eq!(block.place(wrong.parse().unwrap()), None, "{wrong}");
        }
        assert_eq!(block.gateway(0), None);
        assert_eq!(block.gateway(1), Some(Ipv4Addr::new(100, 64, 3, 1)));
        assert_eq!(block.gateway(8), None);
    }

    #[test]
    fn a_block_without_room_is_refused() {
        assert!(Block::new("100.64.0.0/26".parse().unwrap()).is_err());
        assert_eq!(block("100.64.0.9/24").net().to_string(), "100.64.0.0/24");
    }
}
