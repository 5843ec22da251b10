//! PURE. Which peers a gateway removes: those that never finished a handshake, and those whose last
//! one is too old. Failover never looks at handshakes: they are minutes apart.

use std::time::Duration;

use crate::limits;

/// What is known of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How long it has been a peer of this process.
    pub known: Duration,
    /// Time since its last handshake.
    pub last_handshake: Option<Duration>,
}

/// Whether a peer has to go.
pub fn idle(seen: Seen) -> bool {
    match seen.last_handshake {
        Some(age) => age > limits::PEER_IDLE,
        None => seen.known > limits::FIRST_HANDSHAKE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    fn seen(known: Duration, last_handshake: Option<Duration>) -> Seen {
        Seen {
            known,
            last_handshake,
        }
    }

    #[test]
    fn a_peer_has_its_first_seconds_for_a_handshake() {
        assert!(!idle(seen(limits::FIRST_HANDSHAKE, None)));
        assert!(idle(seen(limits::FIRST_HANDSHAKE + MOMENT, None)));
    }

    #[test]
    fn a_peer_goes_when_its_handshakes_have_stopped() {
        let day = Duration::from_secs(86_400);
        assert!(!idle(seen(day, Some(limits::PEER_IDLE))));
        assert!(idle(seen(day, Some(limits::PEER_IDLE + MOMENT))));
    }
}
