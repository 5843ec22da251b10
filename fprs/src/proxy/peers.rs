//! One core's connections to relays, one set a replica: what one replica does to a connection is
//! felt by no other. Warmed when a replica appears, closed when it goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use fprs_forward::upstream::h2::Peer;

use crate::proxy::table::{Edit, Replica};

/// One core's connections.
#[derive(Debug, Default)]
pub struct Peers {
    of: RefCell<HashMap<Arc<str>, Rc<Peer>, foldhash::fast::RandomState>>,
}

impl Peers {
    /// The connections to a replica's relay.
    pub fn get(&self, replica: &Replica) -> Rc<Peer> {
        if let Some(peer) = self.of.borrow().get(&replica.id) {
            return Rc::clone(peer);
        }
        let peer = Peer::new(replica.address);
        if replica.is_gone() {
            // Nobody would tell us again to let it go.
            return peer;
        }
        self.of
            .borrow_mut()
            .insert(Arc::clone(&replica.id), Rc::clone(&peer));
        peer
    }

    /// Follows an edit of the table.
    pub fn edit(&self, edit: &Edit) {
        for replica in &edit.added {
            self.get(replica).warm();
        }
        let mut peers = self.of.borrow_mut();
        for id in &edit.removed {
            if let Some(peer) = peers.remove(id) {
                peer.close();
            }
        }
    }
}
