//! One core's connections to relays, one set a replica: what one replica does to a connection is
//! felt by no other. Warmed when a replica appears, closed when it goes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fprs_forward::upstream::h2::Peer;

use crate::proxy::table::{Edit, Replica};

/// Connections that are warmed or closed at a time: a crowd of replicas that appears or vanishes at
/// once is no more work between two requests than these.
const WORKERS: usize = 2;

/// Replicas that a core has connections to before it warms no more: in a larger plane each proxy is asked
/// for few of them, and a connection that nobody uses costs both its ends memory.
const WARMED: usize = 1_000;

/// What is longer in coming goes on by itself: a few relays that don't answer hold up nobody else's.
const PATIENCE: Duration = Duration::from_millis(100);

/// One core's connections.
#[derive(Debug, Default)]
pub struct Peers {
    of: RefCell<HashMap<Arc<str>, Rc<Peer>, foldhash::fast::RandomState>>,
    /// Of edits that were not followed to their end; a replica is in it at most twice.
    steps: RefCell<VecDeque<Step>>,
    workers: Cell<usize>,
}

#[derive(Debug)]
enum Step {
    Warm(Arc<Replica>),
    Close(Rc<Peer>),
}

impl Peers {
    /// The connections to a replica's relay.
    pub fn get(&self, replica: &Replica) -> Rc<Peer> {
        let source = replica.egress.as_ref();
        if let Some(peer) = self.of.borrow().get(replica.id())
            && peer.goes(replica.address(), source)
        {
            return Rc::clone(peer);
        }
        let peer = Peer::among(replica.address(), &replica.dials, source);
        if replica.is_gone() {
            // Nobody would tell us again to let it go.
            return peer;
        }
        let id = Arc::clone(replica.id());
        let old = self.of.borrow_mut().insert(id, Rc::clone(&peer));
        // What goes elsewhere, or leaves by another pool, is another one's: never reused.
        if let Some(old) = old {
            old.close();
        }
        peer
    }

    /// Follows an edit of the table, a little at a time. Runs on the core's thread.
    pub fn edit(self: &Rc<Self>, edit: &Edit) {
        let mut peers = self.of.borrow_mut();
        let removed = edit.removed.iter().filter_map(|id| peers.remove(id));
        let mut steps = self.steps.borrow_mut();
        steps.extend(removed.map(Step::Close));
        let room = WARMED.saturating_sub(peers.len());
        let added = edit.added.iter().take(room);
        steps.extend(added.map(Arc::clone).map(Step::Warm));
        for _ in self.workers.get()..WORKERS.min(steps.len()) {
            self.workers.set(self.workers.get() + 1);
            tokio::task::spawn_local(Rc::clone(self).work());
        }
    }

    /// Takes one step after the other, and lets others go first in between.
    async fn work(self: Rc<Self>) {
        loop {
            let step = self.steps.borrow_mut().pop_front();
            match step {
                // Gone already, and its close may be behind us.
                Some(Step::Warm(replica)) if replica.is_gone() => {}
                Some(Step::Warm(replica)) => {
                    let peer = self.get(&replica);
                    tokio::time::timeout(PATIENCE, peer.warm()).await.ok();
                }
                Some(Step::Close(peer)) => peer.close(),
                None => break,
            }
            tokio::task::yield_now().await;
        }
        self.workers.set(self.workers.get() - 1);
    }
}
