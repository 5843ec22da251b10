//! Tells everybody on a link that an address is here now: a gratuitous ARP request, which replaces what
//! they had in their caches.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike as _, sendto, socket,
};

/// One interface's link.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    link: LinkAddr,
    hardware: [u8; 6],
}

/// A link that nothing can be told on.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// It has no hardware address.
    #[error("`{0}` is no Ethernet interface: static IPs are moved on such by ARP")]
    NotEthernet(String),
    /// The kernel refuses.
    #[error("can't send frames on `{uplink}`: {error}; is this root?")]
    Refused {
        /// The interface.
        uplink: String,
        /// Why.
        error: io::Error,
    },
}

impl Announcer {
    /// Announces on that interface.
    ///
    /// # Errors
    /// It is not Ethernet, or this is not root.
    pub fn open(uplink: &str) -> Result<Self, AnnounceError> {
        let refused = |error: nix::Error| AnnounceError::Refused {
            uplink: uplink.to_owned(),
            error: error.into(),
        };
        let mut all = getifaddrs().map_err(refused)?;
        let link = all.find_map(|found| {
            let address = found.address?;
            let own =
                found.interface_name == uplink && address.family() == Some(AddressFamily::Packet);
            own.then(|| address.as_link_addr().copied())?
        });
        let link = link.and_then(|link| Some((link, link.addr()?)));
        let (link, hardware) = link.ok_or_else(|| AnnounceError::NotEthernet(uplink.to_owned()))?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Without a protocol it receives nothing.
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None).map_err(refused)?;
        Ok(Self {
            socket,
            link,
            hardware,
        })
    }

    /// Says that the address is here.
    ///
    /// # Errors
    /// The link is down, or its queue full.
    pub fn announce(&self, address: Ipv4Addr) -> io::Result<()> {
        let frame = frame(self.hardware, address);
        sendto(
            self.socket.as_raw_fd(),
            &frame,
            &self.link,
            MsgFlags::empty(),
        )?;
        Ok(())
    }
}

/// The frame (RFC 5227 §3): who asks for its own address.
fn frame(hardware: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    const EVERYBODY: [u8; 6] = [0xff; 6];
    const ARP: [u8; 2] = [0x08, 0x06];
    const ETHERNET_IPV4_REQUEST: [u8; 8] = [0, 1, 0x08, 0, 6, 4, 0, 1];
    const NOBODY: [u8; 6] = [0; 6];
    let address = address.octets();
    [
        EVERYBODY.as_slice(),
        &hardware,
        &ARP,
        &ETHERNET_IPV4_REQUEST,
        &hardware,
        &address,
        &NOBODY,
        &address,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_asks_everybody_for_the_senders_own_address() {
        let frame = frame([2, 0, 0, 0, 0, 1], Ipv4Addr::new(203, 0, 113, 101));
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2,
            0, 0, 0, 0, 1, 203, 0, 113, 101, 0, 0, 0, 0, 0, 0, 203, 0, 113, 101,
        ];
        assert_eq!(frame, expected);
    }
}
