//! When a program listens. Looked for often at first and ever less, in proportion to how long it
//! has taken: readiness is seen within a fiftieth of the start-up time, from 1 ms to 25 ms.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);
/// Loopback answers at once unless the program's queue of new connections is full.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);

/// Waits until that port of this machine accepts connections. Programs bind 127.0.0.1, ::1 or all
/// addresses; the one that accepts is returned.
pub(super) async fn accepting(port: u16) -> SocketAddr {
    let started = Instant::now();
    let candidates = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ];
    loop {
        for candidate in candidates {
            if accepts(candidate).await {
                return candidate;
            }
        }
        sleep(pause(started.elapsed())).await;
    }
}

/// Waits until that very address accepts connections.
pub(super) async fn accepting_at(program: SocketAddr) {
    let started = Instant::now();
    while look(program).await != Look::Accepts {
        sleep(pause(started.elapsed())).await;
    }
}

/// PURE. How long until the next look.
fn pause(waited: Duration) -> Duration {
    (waited / 50).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

async fn accepts(address: SocketAddr) -> bool {
    look(address).await == Look::Accepts
}

/// What a look at an address showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Somebody listens.
    Accepts,
    /// Nobody does.
    Refused,
    /// Nothing came back in time.
    Silent,
}

pub(super) async fn look(address: SocketAddr) -> Look {
    match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
        // With nobody listening, the system may pick the very port as ours and connect us to
        // ourselves.
        Ok(Ok(connection)) if connection.local_addr().is_ok_and(|own| own != address) => {
            Look::Accepts
        }
        Ok(Ok(_) | Err(_)) => Look::Refused,
        Err(_) => Look::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn looks_are_frequent_at_first_and_never_rarer_than_every_25_ms() {
        assert_eq!(pause(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(pause(Duration::from_millis(250)), Duration::from_millis(5));
        assert_eq!(pause(Duration::from_secs(600)), Duration::from_millis(25));
    }

    #[tokio::test]
    async fn a_program_on_the_ipv6_loopback_alone_is_found_there() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
            println!("SKIPPED: this machine has no IPv6 loopback");
            return;
        };
        let bound = listener.local_addr().unwrap();
        assert_eq!(accepting(bound.port()).await, bound);
    }
}
