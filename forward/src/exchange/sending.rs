//! PURE. The request's direction of an exchange: what was read from the client and has not gone on.
//! While no more than the first piece was read it can be sent again from its start, to another
//! upstream; the client's credit is returned once however often that happens.

use bytes::Bytes;

/// What an exchange holds of its request's body. Kept by whoever may offer the request elsewhere.
#[derive(Debug, Default)]
pub struct Sending {
    held: Bytes,
    /// The first piece as it came, kept until nobody can want it again.
    first: Bytes,
    /// More than the first piece was read, an upstream has begun to answer, or there is nobody else
    /// to send it to.
    spent: bool,
    /// Of the first piece: bytes that have gone on in this attempt.
    passed: usize,
    /// Of the first piece: bytes the client has its credit back for.
    credited: usize,
    done: bool,
}

impl Sending {
    /// For a request that is offered to one upstream only: nothing is kept.
    pub fn once() -> Self {
        Self {
            spent: true,
            ..Self::default()
        }
    }

    /// Back to the request's start; `false`: it is no longer there to be sent.
    pub fn rewind(&mut self) -> bool {
        if !self.can_rewind() {
            return false;
        }
        self.held = self.first.clone();
        self.passed = 0;
        self.done = false;
        true
    }

    /// The request can still be sent from its start.
    pub const fn can_rewind(&self) -> bool {
        !self.spent
    }

    /// Bytes kept that have gone on.
    pub(super) const fn kept(&self) -> usize {
        self.first.len().saturating_sub(self.held.len())
    }

    /// Bytes read and not yet passed on.
    pub(super) const fn held(&self) -> usize {
        self.held.len()
    }

    /// There is nothing more to send.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// A piece came.
    pub(super) fn read(&mut self, data: Bytes) {
        // An empty piece is how many clients end a body.
        if self.can_rewind() && !data.is_empty() {
            if self.first.is_empty() {
                self.first = data.clone();
            } else {
                self.spend();
            }
        }
        self.held = data;
    }

    /// Takes what goes on now, of what is held.
    pub(super) fn take(&mut self, room: usize) -> Bytes {
        self.held.split_to(room.min(self.held.len()))
    }

    /// So many bytes went on; returns how many of them the client is to have credit for.
    pub(super) fn passed(&mut self, bytes: usize) -> usize {
        if !self.can_rewind() && self.passed >= self.credited {
            return bytes;
        }
        self.passed += bytes;
        let credit = self.passed.saturating_sub(self.credited).min(bytes);
        self.credited += credit;
        credit
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) {
        self.done = true;
    }

    /// Trailers went on: they are not kept.
    pub(super) fn end_with_trailers(&mut self) {
        self.spend();
        self.done = true;
    }

    /// The upstream takes no more of it.
    pub(super) fn stop(&mut self) {
        self.held = Bytes::new();
        self.done = true;
    }

    /// The request won't be sent again: keeps nothing for it.
    pub fn spend(&mut self) {
        self.spent = true;
        self.first = Bytes::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(sending: &mut Sending, room: usize) -> (Bytes, usize) {
        let piece = sending.take(room);
        let credit = sending.passed(piece.len());
        (piece, credit)
    }

    #[test]
    fn the_first_piece_is_sent_again_and_credited_once() {
        let mut sending = Sending::default();
        sending.read(Bytes::from_static(b"hello"));
        assert_eq!(pass(&mut sending, 3), (Bytes::from_static(b"hel"), 3));
        assert!(sending.rewind());
        assert_eq!(pass(&mut sending, 2), (Bytes::from_static(b"he"), 0));
        assert_eq!(pass(&mut sending, 9), (Bytes::from_static(b"llo"), 2));
        sending.end();
        assert!(sending.rewind() && !sending.is_done());
        assert_eq!(pass(&mut sending, 9), (Bytes::from_static(b"hello"), 0));
    }

    #[test]
    fn credit_is_right_after_a_second_piece_that_follows_a_rewind() {
        let mut sending = Sending::default();
        sending.read(Bytes::from_static(b"hello"));
        assert_eq!(pass(&mut sending, 5).1, 5);
        assert!(sending.rewind());
        assert_eq!(pass(&mut sending, 4).1, 0);
        // An answer begins in the middle of the piece.
        sending.spend();
        assert_eq!(pass(&mut sending, 4).1, 0);
        sending.read(Bytes::from_static(b"world"));
        assert_eq!(pass(&mut sending, 5).1, 5);
    }

    #[test]
    fn what_is_not_kept_is_not_sent_again() {
        let mut once = Sending::once();
        once.read(Bytes::from_static(b"hello"));
        assert!(!once.rewind());
        let mut ended = Sending::default();
        ended.read(Bytes::from_static(b"hello"));
        assert_eq!(pass(&mut ended, 5).1, 5);
        ended.read(Bytes::new());
        assert!(ended.rewind(), "an empty piece is no second one");
        let mut second = Sending::default();
        second.read(Bytes::from_static(b"hello"));
        assert_eq!(pass(&mut second, 5).1, 5);
        second.read(Bytes::from_static(b"world"));
        assert!(!second.rewind());
        assert_eq!(second.kept(), 0, "the first piece is given back");
        let mut trailers = Sending::default();
        trailers.end_with_trailers();
        assert!(!trailers.rewind());
    }
}
