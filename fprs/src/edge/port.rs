//! A port that is kept for Envoy from before its start to after its end: its number is known first, and
//! stays the same when Envoy has to be started again.

use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::failure::Failure;

/// A socket that is bound and never used: Envoy binds the same port beside it, as one of its workers would
/// beside another.
#[derive(Debug)]
pub(super) struct Port {
    address: SocketAddr,
    _kept: Socket,
}

impl Port {
    /// Keeps the address; with `udp`, QUIC's must be free too.
    ///
    /// # Errors
    /// Somebody has it, or it is none of this machine.
    pub(super) fn keep(address: SocketAddr, udp: bool) -> Result<Self, Failure> {
        let keep = || {
            // Several sockets of one user can have a port that all of them share: first as one that
            // doesn't, or two edges would take turns at one address.
            drop(TcpListener::bind(address)?);
            let kept = bound(address)?;
            let address = kept
                .local_addr()?
                .as_socket()
                .ok_or_else(|| Error::from(ErrorKind::AddrNotAvailable))?;
            if udp {
                // Not kept: the system would give it a share of the datagrams.
                drop(UdpSocket::bind(address)?);
            }
            Ok(Self {
                address,
                _kept: kept,
            })
        };
        keep().map_err(|error: Error| {
            Failure::new(format!(
                "the edge can't listen on {address}: {error}; choose another with --edge-listen"
            ))
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bound(address: SocketAddr) -> Result<Socket, Error> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_port_is_nobody_elses_but_can_be_bound_beside() {
        let port = Port::keep("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let refused = Port::keep(port.address(), false).unwrap_err();
        assert!(refused.to_string().contains("--edge-listen"), "{refused}");
        let beside = bound(port.address()).unwrap();
        beside.listen(1).unwrap();
        // The one that is only kept takes none of its connections.
        for _ in 0..8 {
            std::net::TcpStream::connect(port.address()).unwrap();
            beside.accept().unwrap();
        }
    }
}
