//! Ports for programs that have to be told one: below those that the system hands out by itself, and
//! in a range of this process alone, so that no other test gets the same one before it is used. Some
//! programs share a port with whoever else wants it (SO_REUSEPORT), and nobody would notice.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Above those of well-known services.
const FIRST: u16 = 10_240;
/// The system's own begin here (`net.ipv4.ip_local_port_range`).
const END: u16 = 32_768;
/// For one process.
const EACH: u16 = 32;

/// A port of 127.0.0.1 that nobody listens at.
///
/// # Panics
/// When all of this process's are taken.
pub fn unused() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ranges = u32::from((END - FIRST) / EACH);
    let range = u16::try_from(std::process::id() % ranges).expect("fewer than ports");
    for _ in 0..EACH {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % EACH;
        let address = (Ipv4Addr::LOCALHOST, FIRST + range * EACH + number).into();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free among the {EACH} of this process");
}
