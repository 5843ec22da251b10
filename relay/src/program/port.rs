//! Ports for programs: free on 127.0.0.1 when handed out, and never one that another program of
//! this relay was given and may still bind, or had until a moment ago.

use std::collections::{HashMap, hash_map::Entry};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The ports this relay has handed out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports {
    taken: Arc<Mutex<HashMap<u16, Use>>>,
}

/// A port that is handed out until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldPort {
    number: u16,
    ports: Ports,
}

#[derive(Debug)]
enum Use {
    Held,
    ReleasedAt(Instant),
}

/// A proxy's last requests for the old program must not reach a new one.
const REST: Duration = Duration::from_secs(60);
/// The system offers random ports: among thousands, one of them hasn't been given out.
const ATTEMPTS: usize = 64;

impl Ports {
    /// Picks a free port.
    ///
    /// # Errors
    /// The system has none to offer.
    pub(crate) fn pick(&self) -> io::Result<HeldPort> {
        for _ in 0..ATTEMPTS {
            let offered = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let number = offered.local_addr()?.port();
            if self.hold(number, Instant::now()) {
                return Ok(HeldPort {
                    number,
                    ports: self.clone(),
                });
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "every port the system offers was given to a program within the last minute",
        ))
    }

    fn hold(&self, number: u16, now: Instant) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, port| match port {
            Use::Held => true,
            Use::ReleasedAt(at) => now.saturating_duration_since(*at) < REST,
        });
        match taken.entry(number) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(Use::Held);
                true
            }
        }
    }

    fn release(&self, number: u16, now: Instant) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(number, Use::ReleasedAt(now));
    }
}

impl HeldPort {
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for HeldPort {
    fn drop(&mut self) {
        self.ports.release(self.number, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_not_given_twice_while_held_nor_within_a_minute_after() {
        let ports = Ports::default();
        let start = Instant::now();
        assert!(ports.hold(4000, start));
        assert!(!ports.hold(4000, start + 10 * REST), "held however long");
        ports.release(4000, start);
        assert!(!ports.hold(4000, start + REST / 2));
        assert!(ports.hold(4000, start + REST));
    }

    #[test]
    fn picked_ports_are_free_and_all_different() {
        let ports = Ports::default();
        let held: Vec<HeldPort> = (0..200).map(|_| ports.pick().unwrap()).collect();
        let numbers: std::collections::HashSet<u16> = held.iter().map(HeldPort::number).collect();
        assert_eq!(numbers.len(), held.len());
        TcpListener::bind((Ipv4Addr::LOCALHOST, held[0].number())).unwrap();
    }
}
