//! HTTP/2 connections to one peer, of one core: multiplexed, dialled once however many wait, never
//! filled beyond what the peer allows right now.

mod driver;
mod stream;

pub use stream::{Slot, Stream};

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::sync::Notify;

use self::driver::Driver;
use crate::budget::Credit;
use crate::h2::Core;
use crate::limits;
use crate::upstream::Failure;
use crate::upstream::dials::Dials;
use crate::upstream::source::Source;

/// The connections of one core to one peer.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    /// With whose others its dials are limited.
    dials: Option<Arc<Dials>>,
    /// From where it is dialled; `None`: as the system says.
    source: Option<Arc<Source>>,
    connections: RefCell<Vec<Rc<Connection>>>,
    dialling: Cell<bool>,
    closed: Cell<bool>,
    /// Counts failed dials, so that who waited learns of the failure it waited for.
    failures: Cell<u64>,
    /// How many wait for room.
    waiting: Cell<usize>,
    /// How much the peer may send ahead.
    credit: Rc<Credit>,
    changed: Notify,
    /// A dial has ended, well or not.
    dialled: Notify,
}

/// One of them. It ends with its last user.
#[derive(Debug)]
struct Connection {
    core: Rc<RefCell<Core>>,
    /// Exchanges on it, those included that are about to begin.
    open: Cell<usize>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.core.borrow_mut().leave();
    }
}

impl Peer {
    /// A peer with no connection yet.
    pub fn new(address: SocketAddr) -> Rc<Self> {
        Self::made(address, None, None)
    }

    /// A peer with no connection yet, that is dialled in its turn among others of the same tenant, and
    /// from that address alone, if there is one.
    pub fn among(
        address: SocketAddr,
        dials: &Arc<Dials>,
        source: Option<&Arc<Source>>,
    ) -> Rc<Self> {
        Self::made(address, Some(Arc::clone(dials)), source.map(Arc::clone))
    }

    /// Whether its connections go there, and from there.
    pub fn goes(&self, address: SocketAddr, source: Option<&Arc<Source>>) -> bool {
        let same = match (&self.source, source) {
            (None, None) => true,
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, Some(_)) | (Some(_), None) => false,
        };
        same && self.address == address
    }

    fn made(
        address: SocketAddr,
        dials: Option<Arc<Dials>>,
        source: Option<Arc<Source>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            address,
            dials,
            source,
            connections: RefCell::default(),
            dialling: Cell::new(false),
            closed: Cell::new(false),
            failures: Cell::new(0),
            waiting: Cell::new(0),
            credit: Rc::default(),
            changed: Notify::new(),
            dialled: Notify::new(),
        })
    }

    /// Dials unless there is a connection, so that the first exchange finds one; returns once there
    /// is one or there can be none.
    pub async fn warm(self: &Rc<Self>) {
        if self.closed.get() || !self.connections.borrow().is_empty() {
            return;
        }
        let dialled = self.dialled.notified();
        self.dial();
        dialled.await;
    }

    /// Takes no new exchanges; connections close when their last exchange ends.
    pub fn close(&self) {
        self.closed.set(true);
        self.connections.borrow_mut().clear();
        self.changed.notify_waiters();
    }

    /// Reserves room for one exchange, dialling where there is none.
    ///
    /// # Errors
    /// [`Failure::Connect`] when the dial it waited for failed, [`Failure::Full`] when there is no
    /// room for too long or too many wait for it; nothing was sent.
    pub async fn reserve(self: &Rc<Self>) -> Result<Slot, Failure> {
        if let Some(slot) = self.room() {
            return Ok(slot);
        }
        if self.waiting.get() >= limits::WAITING_PER_PEER {
            return Err(Failure::Full);
        }
        let _waiting = Waiting::new(self);
        tokio::time::timeout(limits::ROOM_PATIENCE, self.wait())
            .await
            .unwrap_or(Err(Failure::Full))
    }

    async fn wait(self: &Rc<Self>) -> Result<Slot, Failure> {
        loop {
            let failures = self.failures.get();
            // Made before the look for room, so that room in between wakes it.
            let changed = self.changed.notified();
            if let Some(slot) = self.room() {
                return Ok(slot);
            }
            if self.closed.get() {
                return Err(Failure::Connect);
            }
            if self.connections.borrow().len() < limits::CONNECTIONS_PER_PEER {
                self.dial();
            }
            changed.await;
            if self.failures.get() != failures {
                return Err(Failure::Connect);
            }
        }
    }

    /// Room on a connection that is there, if any.
    pub fn room(self: &Rc<Self>) -> Option<Slot> {
        let mut connections = self.connections.borrow_mut();
        let mut at = 0;
        while let Some(connection) = connections.get(at) {
            // Nothing is awaited between this look and the request, so it can't go stale.
            let allowed = connection.core.borrow().allowed();
            match allowed {
                None => {
                    connections.swap_remove(at);
                }
                Some(allowed) if connection.open.get() < most(allowed) => {
                    return Some(Slot::new(connection, self));
                }
                Some(_) => at += 1,
            }
        }
        None
    }

    fn dial(self: &Rc<Self>) {
        if self.dialling.replace(true) {
            return;
        }
        let peer = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let Some((driver, peer)) = peer.finish_dial().await else {
                return;
            };
            driver.run(&peer).await;
            // Wakes those who wait for room on a connection that is no more.
            if let Some(peer) = peer.upgrade() {
                peer.changed.notify_waiters();
            }
        });
    }

    /// Dials, and tells those who wait. What is returned keeps neither peer nor connection.
    async fn finish_dial(self: Rc<Self>) -> Option<(Driver, Weak<Self>)> {
        let dialled = self.dialled_in_turn().await;
        self.dialling.set(false);
        let dialled = match dialled {
            Ok(driver) => {
                let connection = Rc::new(Connection {
                    core: driver.core(),
                    open: Cell::new(0),
                });
                if !self.closed.get() {
                    self.connections.borrow_mut().push(connection);
                }
                Some((driver, Rc::downgrade(&self)))
            }
            Err(error) => {
                tracing::debug!(address = %self.address, %error, "can't connect upstream");
                self.failures.set(self.failures.get() + 1);
                None
            }
        };
        self.changed.notify_waiters();
        self.dialled.notify_waiters();
        dialled
    }

    async fn dialled_in_turn(&self) -> io::Result<Driver> {
        let _turn = match &self.dials {
            Some(dials) => Some(dials.begin().await),
            None => None,
        };
        if self.closed.get() {
            return Err(io::Error::other("nobody needs the connection any more"));
        }
        Driver::dial(self.address, self.source.as_deref(), &self.credit).await
    }

    /// An exchange has left a connection.
    fn left(&self) {
        if self.waiting.get() > 0 {
            // One for one: a crowd that wakes for each room would take turns at finding none.
            self.changed.notify_one();
        }
    }

    /// A connection allows more than before.
    fn widened(&self) {
        if self.waiting.get() > 0 {
            self.changed.notify_waiters();
        }
    }
}

/// Of the streams that a peer allows on a connection, how many we open.
fn most(allowed: usize) -> usize {
    allowed.min(limits::STREAMS_PER_CONNECTION as usize)
}

/// Counts one waiter, also when its future is dropped.
struct Waiting<'a>(&'a Peer);

impl<'a> Waiting<'a> {
    fn new(peer: &'a Peer) -> Self {
        peer.waiting.set(peer.waiting.get() + 1);
        Self(peer)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
