//! What runs on this worker, as the data path sees it. Program supervision writes, the data path
//! reads: readers never wait, and a replica's count and state are one atomic word, so that no
//! exchange can begin after the wait for the last one has ended.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use fprs_forward::Owner;
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Every replica on this worker, by id.
pub type Replicas = HashMap<Arc<str>, Arc<Running>>;

/// The replicas of this worker, shared between supervision (the writer) and the data path.
///
/// An edit copies the map: a worker runs hundreds of replicas at most and edits are rare beside
/// reads.
#[derive(Debug)]
pub struct ReplicaTable {
    current: ArcSwap<Replicas>,
    edits: watch::Sender<u64>,
}

/// One replica that has been started and is not gone yet.
#[derive(Debug)]
pub struct Running {
    id: Arc<str>,
    server: Arc<str>,
    owner: Owner,
    h2: bool,
    program: OnceLock<SocketAddr>,
    /// Exchanges in flight, under the flags `READY` and `CLOSED`.
    word: AtomicU64,
    begun: AtomicU64,
    idle: Notify,
    /// Cancelled when its WebSockets are to be closed.
    tunnels: CancellationToken,
}

/// Where a replica stands, for the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its port doesn't accept yet.
    Starting,
    /// It takes exchanges.
    Ready,
    /// It ends those it has and takes no more, or has ended.
    Stopping,
}

/// Why an exchange can't begin. No byte of it has reached the program: it may go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServing {
    /// Its port doesn't accept yet.
    #[error("the replica is starting: its port does not accept yet")]
    Starting,
    /// It has been told to stop, or its program has died.
    #[error("the replica is stopping: send the request to another one")]
    Stopping,
}

/// One exchange, counted from its making to its drop.
#[derive(Debug)]
#[must_use = "the exchange is counted until this is dropped"]
pub struct InFlight {
    replica: Arc<Running>,
    program: SocketAddr,
}

/// Set once the program's port accepts.
const READY: u64 = 1 << 62;
/// Set once it takes no more exchanges.
const CLOSED: u64 = 1 << 63;
const COUNT: u64 = READY - 1;

impl ReplicaTable {
    /// A table of no replicas.
    pub fn new() -> Self {
        Self {
            current: ArcSwap::default(),
            edits: watch::Sender::new(0),
        }
    }

    /// All replicas at this moment. Not to be held across an await: [`Self::find`] is for that.
    pub fn load(&self) -> Guard<Arc<Replicas>> {
        self.current.load()
    }

    /// The replica with that id, if it runs here.
    pub fn find(&self, id: &str) -> Option<Arc<Running>> {
        self.current.load().get(id).map(Arc::clone)
    }

    /// Tells of every edit, after it can be seen: a replica came or went. The value counts edits.
    /// A change of a replica's phase alone is not an edit.
    pub fn edits(&self) -> watch::Receiver<u64> {
        self.edits.subscribe()
    }

    /// Adds a replica, in the place of one with the same id.
    pub fn insert(&self, replica: &Arc<Running>) {
        self.edit(|replicas| {
            replicas.insert(Arc::clone(&replica.id), Arc::clone(replica));
        });
    }

    /// Takes a replica out; the data path is to close its connections. Nothing happens if it isn't
    /// there.
    pub fn remove(&self, id: &str) {
        self.edit(|replicas| {
            replicas.remove(id);
        });
    }

    fn edit(&self, edit: impl Fn(&mut Replicas)) {
        self.current.rcu(|replicas| {
            let mut next = Replicas::clone(replicas);
            edit(&mut next);
            next
        });
        self.edits.send_modify(|count| *count += 1);
    }
}

impl Default for ReplicaTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Running {
    /// A replica whose program is being started. `h2`: it speaks h2c, otherwise HTTP/1.1.
    pub fn starting(id: Arc<str>, server: Arc<str>, h2: bool) -> Arc<Self> {
        Arc::new(Self {
            id,
            owner: Owner::server(&server),
            server,
            h2,
            program: OnceLock::new(),
            word: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            idle: Notify::new(),
            tunnels: CancellationToken::new(),
        })
    }

    /// Unique in the plane.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The server it is a copy of.
    pub fn server(&self) -> &Arc<str> {
        &self.server
    }

    /// On whom the bytes of its exchanges are counted.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The program speaks h2c; otherwise HTTP/1.1.
    pub fn h2(&self) -> bool {
        self.h2
    }

    /// Where the program listens; `None` until it is ready.
    pub fn program(&self) -> Option<SocketAddr> {
        self.program.get().copied()
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        let word = self.word.load(Ordering::Acquire);
        match (word & CLOSED != 0, word & READY != 0) {
            (true, _) => Phase::Stopping,
            (false, true) => Phase::Ready,
            (false, false) => Phase::Starting,
        }
    }

    /// It takes exchanges.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Ready
    }

    /// Exchanges begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.word.load(Ordering::Acquire) & COUNT
    }

    /// Exchanges begun since it started.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Counts an exchange until the guard is dropped.
    ///
    /// # Errors
    /// It isn't ready, or takes no more.
    pub fn begin(self: &Arc<Self>) -> Result<InFlight, NotServing> {
        let before = self.word.fetch_add(1, Ordering::AcqRel);
        let refusal = if before & CLOSED != 0 {
            NotServing::Stopping
        } else if before & READY == 0 {
            NotServing::Starting
        } else if let Some(program) = self.program() {
            self.begun.fetch_add(1, Ordering::Relaxed);
            return Ok(InFlight {
                replica: Arc::clone(self),
                program,
            });
        } else {
            NotServing::Starting
        };
        self.end();
        Err(refusal)
    }

    /// The program's port accepts, at this address: exchanges may begin. Only the first call counts.
    pub fn ready(&self, program: SocketAddr) {
        self.program.get_or_init(|| program);
        self.word.fetch_or(READY, Ordering::AcqRel);
    }

    /// No more exchanges may begin; those in flight go on. Can't be undone.
    pub fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Its program is about to be stopped: WebSockets are closed, each between two frames.
    pub fn end_tunnels(&self) {
        self.tunnels.cancel();
    }

    /// Ready when WebSockets are to be closed.
    pub fn tunnels_end(&self) -> WaitForCancellationFutureOwned {
        self.tunnels.clone().cancelled_owned()
    }

    /// Waits until nothing is in flight. Only lasting once [`Self::close`] was called.
    pub async fn idle(&self) {
        loop {
            // Made before the count is read, so that an end in between wakes it.
            let ended = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            ended.await;
        }
    }

    fn end(&self) {
        let before = self.word.fetch_sub(1, Ordering::AcqRel);
        if before & CLOSED != 0 && before & COUNT == 1 {
            self.idle.notify_waiters();
        }
    }
}

impl InFlight {
    /// Where the program listens.
    pub fn program(&self) -> SocketAddr {
        self.program
    }

    /// The replica it is counted on.
    pub fn replica(&self) -> &Arc<Running> {
        &self.replica
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.replica.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn program() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 41234))
    }

    fn replica() -> Arc<Running> {
        Running::starting("r1".into(), "hello".into(), false)
    }

    #[test]
    fn exchanges_begin_only_between_ready_and_close() {
        let replica = replica();
        assert_eq!(replica.begin().unwrap_err(), NotServing::Starting);
        replica.ready(program());
        let exchange = replica.begin().unwrap();
        assert_eq!(exchange.program(), program());
        assert_eq!((replica.in_flight(), replica.begun()), (1, 1));
        replica.close();
        assert_eq!(replica.begin().unwrap_err(), NotServing::Stopping);
        assert_eq!((replica.in_flight(), replica.begun()), (1, 1));
        drop(exchange);
        assert_eq!((replica.in_flight(), replica.begun()), (0, 1));
    }

    #[tokio::test]
    async fn idle_waits_for_the_last_exchange() {
        let replica = replica();
        replica.ready(program());
        let (first, last) = (replica.begin().unwrap(), replica.begin().unwrap());
        replica.close();
        let mut idle = tokio::spawn({
            let replica = Arc::clone(&replica);
            async move { replica.idle().await }
        });
        drop(first);
        let early = tokio::time::timeout(Duration::from_millis(20), &mut idle).await;
        assert!(early.is_err(), "one is still in flight");
        drop(last);
        tokio::time::timeout(Duration::from_secs(5), idle)
            .await
            .expect("woken by the last one's end")
            .unwrap();
    }

    #[test]
    fn no_exchange_is_lost_from_the_count_however_many_threads_count() {
        let replica = replica();
        replica.ready(program());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        drop(replica.begin());
                    }
                });
            }
        });
        assert_eq!((replica.in_flight(), replica.begun()), (0, 4_000));
    }

    #[tokio::test]
    async fn an_edit_is_told_after_it_can_be_seen() {
        let table = ReplicaTable::new();
        let mut edits = table.edits();
        table.insert(&replica());
        edits.changed().await.unwrap();
        assert!(table.find("r1").is_some());
        table.remove("r1");
        edits.changed().await.unwrap();
        assert!(table.find("r1").is_none());
        assert_eq!(*edits.borrow(), 2);
    }
}
