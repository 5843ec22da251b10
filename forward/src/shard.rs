//! One thread and one single-threaded runtime per core. A connection is handed to the least busy
//! core when it is accepted and never leaves it, nor do its exchanges or its upstream connections;
//! so nothing on a core needs a lock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::deadlines::Deadlines;
use crate::downstream::{self, Client, Downstream, Inbound};
use crate::stall::Stalls;
use crate::{limits, socket, turn};

/// What is done with a request; one value per core.
pub trait Service: 'static {
    /// What the rest of the process tells every core.
    type Message: Clone + Send + 'static;

    /// Serves one exchange to its end. Returning without having sent a head resets it.
    fn serve<D: Downstream>(
        &self,
        inbound: &mut Inbound,
        downstream: &mut D,
    ) -> impl Future<Output = ()>;

    /// Takes word from the rest of the process; runs on the core's thread and must not block.
    fn receive(&self, message: Self::Message);
}

/// The cores of one listener group.
#[derive(Debug)]
pub struct Shards<S: Service> {
    shards: Arc<[Handle<S::Message>]>,
    /// What becomes of the listeners; received by each until it is closed.
    listening: watch::Sender<Listening>,
}

/// What becomes of the listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Listening {
    /// Connections are accepted.
    #[default]
    Here,
    /// Nobody else will accept what waits: it is, then they close.
    Closing,
    /// Another process has the same listeners and accepts what waits.
    Elsewhere,
}

#[derive(Debug)]
struct Handle<M> {
    orders: mpsc::Sender<Order<M>>,
    load: Arc<Load>,
}

#[derive(Debug, Default)]
struct Load {
    connections: AtomicUsize,
    exchanges: AtomicUsize,
}

#[derive(Debug)]
enum Order<M> {
    Connection(std::net::TcpStream, SocketAddr),
    Message(M),
    Drain(Phase),
}

impl<S: Service> Clone for Shards<S> {
    fn clone(&self) -> Self {
        Self {
            shards: Arc::clone(&self.shards),
            listening: self.listening.clone(),
        }
    }
}

impl<S: Service> Shards<S> {
    /// Starts `count` threads named `name-0` …; `make` is called on each with its number.
    ///
    /// # Errors
    /// A thread or its runtime could not be made.
    pub fn start<F>(name: &str, count: usize, make: F) -> io::Result<Self>
    where
        F: Fn(usize) -> S + Clone + Send + 'static,
    {
        Self::start_with(name, count, Deadlines::default(), make)
    }

    /// [`Shards::start`], holding clients to other deadlines.
    ///
    /// # Errors
    /// Like [`Shards::start`].
    pub fn start_with<F>(
        name: &str,
        count: usize,
        deadlines: Deadlines,
        make: F,
    ) -> io::Result<Self>
    where
        F: Fn(usize) -> S + Clone + Send + 'static,
    {
        let mut shards = Vec::with_capacity(count);
        for index in 0..count.max(1) {
            let (orders, received) = mpsc::channel(limits::ACCEPT_QUEUE);
            let load = Arc::new(Load::default());
            let (make, counted) = (make.clone(), Arc::clone(&load));
            let runtime = move || {
                Builder::new_current_thread()
                    .enable_all()
                    .on_thread_unpark(turn::wake)
                    .build_local(LocalOptions::default())
            };
            std::thread::Builder::new()
                .name(format!("{name}-{index}"))
                .spawn(move || match runtime() {
                    Ok(runtime) => {
                        turn::arm();
                        let stalls = Rc::new(Stalls::new(deadlines));
                        runtime.block_on(run(Rc::new(make(index)), received, counted, stalls));
                    }
                    Err(error) => tracing::error!(%error, "no runtime for a core"),
                })?;
            shards.push(Handle { orders, load });
        }
        Ok(Self {
            shards: shards.into(),
            listening: watch::Sender::new(Listening::Here),
        })
    }

    /// Accepts connections of a listener, on a thread of its own, until the cores drain.
    ///
    /// # Errors
    /// The listener can't be used, or there is no thread to be had.
    pub fn listen(&self, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let (shards, listening) = (self.clone(), self.listening.subscribe());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || runtime.block_on(accept(listener, shards, listening)))?;
        Ok(())
    }

    /// Tells every core, waiting where one has too much to do.
    pub async fn send(&self, message: &S::Message) {
        for shard in &*self.shards {
            // A core that is gone needs no word.
            if shard
                .orders
                .send(Order::Message(message.clone()))
                .await
                .is_err()
            {}
        }
    }

    /// Accepts no more, and leaves what waits to be accepted to the process that has the same
    /// listeners: not one connection is refused.
    pub async fn stop_accepting(&self) {
        self.listening.send_replace(Listening::Elsewhere);
        self.listening.closed().await;
    }

    /// Prepares the end: from now on every HTTP/1.1 answer is its connection's last. All else goes on.
    pub async fn leave(&self) {
        self.enter(Phase::Leaving).await;
    }

    /// Closes the listeners, lets idle connections go and ends the others with their exchanges in
    /// flight. At the deadline WebSockets are closed as going away; `false` when others were still in
    /// flight then.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.listening.send_if_modified(|listening| {
            let here = *listening == Listening::Here;
            if here {
                *listening = Listening::Closing;
            }
            here
        });
        self.listening.closed().await;
        self.enter(Phase::Draining).await;
        if self.emptied(deadline).await {
            return true;
        }
        self.enter(Phase::Ending).await;
        self.emptied(limits::ENDING).await
    }

    async fn enter(&self, phase: Phase) {
        for shard in &*self.shards {
            // A core that is gone has drained.
            shard.orders.send(Order::Drain(phase)).await.ok();
        }
    }

    async fn emptied(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.connections() > 0 {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Open connections on all cores.
    pub fn connections(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.load.connections.load(Ordering::Relaxed))
            .sum()
    }

    /// Exchanges in flight on all cores.
    pub fn exchanges(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.load.exchanges.load(Ordering::Relaxed))
            .sum()
    }

    /// `false` when every core is gone.
    async fn pass(&self, stream: TcpStream, client: SocketAddr) -> io::Result<bool> {
        let stream = stream.into_std()?;
        let least_busy = self.shards.iter().min_by_key(|shard| {
            shard.load.connections.load(Ordering::Relaxed)
                + shard.load.exchanges.load(Ordering::Relaxed)
        });
        let Some(shard) = least_busy else {
            return Ok(false);
        };
        // Counted here, so that a burst of accepts is spread before the cores have seen any of it.
        shard.load.connections.fetch_add(1, Ordering::Relaxed);
        Ok(shard
            .orders
            .send(Order::Connection(stream, client))
            .await
            .is_ok())
    }
}

async fn accept<S: Service>(
    listener: TcpListener,
    shards: Shards<S>,
    mut listening: watch::Receiver<Listening>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the listener can't be used");
            return;
        }
    };
    let mut left = limits::ACCEPT_QUEUE;
    loop {
        let now = *listening.borrow_and_update();
        let accepted = match now {
            Listening::Here => tokio::select! {
                accepted = listener.accept() => accepted,
                // A group of cores that is gone accepts nothing either.
                _ = listening.changed() => continue,
            },
            Listening::Closing => {
                // Those that the system has accepted for us are served; closing would reset them.
                left -= 1;
                match listener.accept().now_or_never() {
                    Some(Ok(accepted)) if left > 0 => Ok(accepted),
                    Some(_) | None => return,
                }
            }
            Listening::Elsewhere => return,
        };
        let passed = match accepted {
            Ok((stream, client)) => shards.pass(stream, client).await,
            Err(error) => Err(error),
        };
        match passed {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // Out of descriptors, usually: accepting at once again would only spin.
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn run<S: Service>(
    service: Rc<S>,
    mut orders: mpsc::Receiver<Order<S::Message>>,
    load: Arc<Load>,
    stalls: Rc<Stalls>,
) {
    let draining = Rc::new(Draining::default());
    tokio::task::spawn_local(Rc::clone(&stalls).watch());
    while let Some(order) = orders.recv().await {
        match order {
            Order::Connection(stream, client) => {
                let connected = Connected {
                    service: Rc::clone(&service),
                    draining: Rc::clone(&draining),
                    stalls: Rc::clone(&stalls),
                    load: Arc::clone(&load),
                };
                tokio::task::spawn_local(serve(stream, client, connected));
            }
            Order::Message(message) => service.receive(message),
            Order::Drain(phase) => draining.enter(phase),
        }
    }
}

async fn serve<S: Service>(
    stream: std::net::TcpStream,
    client: SocketAddr,
    connected: Connected<S>,
) {
    let opened = TcpStream::from_std(stream).and_then(|stream| {
        socket::set_up(&stream)?;
        Ok(stream)
    });
    let Ok(stream) = opened else { return };
    let silent_at = Instant::now() + limits::PARTING;
    let mut drain = connected.drain();
    let drained = async {
        poll_fn(|cx| {
            if drain.poll(Phase::Draining, cx) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        tokio::time::sleep_until(silent_at).await;
    };
    let spoken = tokio::select! {
        // In this order: what has come before the drain is served.
        biased;
        spoken = speaks_h2(&stream, connected.stalls.deadlines()) => spoken,
        () = drained => None,
    };
    let from = Rc::new(Client::new(client));
    match spoken {
        Some(true) => downstream::h2::serve(stream, from, connected).await,
        Some(false) => downstream::h1::serve(stream, from, connected).await,
        None => tracing::debug!(%client, "closed before its first byte"),
    }
}

/// The first bytes are HTTP/2's preface (RFC 9113 §3.4); `None`: nothing came.
async fn speaks_h2(stream: &TcpStream, deadlines: Deadlines) -> Option<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let first = async {
        loop {
            let mut seen = [0; PREFACE.len()];
            let length = stream.peek(&mut seen).await.ok()?;
            let seen = seen.get(..length).filter(|seen| !seen.is_empty())?;
            if !PREFACE.starts_with(seen) {
                return Some(false);
            }
            if length == PREFACE.len() {
                return Some(true);
            }
            // What was peeked at stays readable: only saying that it isn't makes the next byte an
            // event to wait for.
            let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            stream.try_io(Interest::READABLE, nothing).err()?;
            stream.readable().await.ok()?;
        }
    };
    tokio::time::timeout(deadlines.first_byte, first)
        .await
        .ok()
        .flatten()
}

/// What a connection's task has of its core; counts the connection until it is dropped.
#[derive(Debug)]
pub struct Connected<S> {
    service: Rc<S>,
    draining: Rc<Draining>,
    stalls: Rc<Stalls>,
    load: Arc<Load>,
}

impl<S> Connected<S> {
    /// The exchanges of this core.
    pub fn stalls(&self) -> Rc<Stalls> {
        Rc::clone(&self.stalls)
    }

    /// The core's service.
    pub fn service(&self) -> Rc<S> {
        Rc::clone(&self.service)
    }

    /// Word of the drain, for one task.
    pub fn drain(&self) -> Drain {
        Drain {
            draining: Rc::clone(&self.draining),
            waits: None,
        }
    }

    /// Counts one exchange until dropped.
    pub fn begin(&self) -> Counted {
        self.load.exchanges.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.load))
    }
}

impl<S> Drop for Connected<S> {
    fn drop(&mut self) {
        self.load.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One exchange, counted.
#[derive(Debug)]
pub struct Counted(Arc<Load>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far the end of a core has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serves.
    #[default]
    Serving,
    /// Is about to end: serves all, and asks clients of HTTP/1.1 to connect elsewhere next time.
    Leaving,
    /// Ends connections with their exchanges; begins none.
    Draining,
    /// The drain's deadline is here: what can be ended in good form ends now.
    Ending,
}

#[derive(Debug, Default)]
struct Draining {
    phase: Cell<Phase>,
    next: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

impl Draining {
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        for waker in std::mem::take(&mut *self.waiting.borrow_mut()).into_values() {
            waker.wake();
        }
    }
}

/// Word of the drain, for one task: registers its waker once a phase, so that asking costs a load.
#[derive(Debug)]
pub struct Drain {
    draining: Rc<Draining>,
    /// Under which key and in which phase the task's waker was registered.
    waits: Option<(u64, Phase)>,
}

impl Drain {
    /// No connection is to outlast its exchange.
    pub fn leaves(&self) -> bool {
        self.draining.phase.get() >= Phase::Leaving
    }

    /// That phase has come; the task is woken when it does.
    pub fn poll(&mut self, phase: Phase, cx: &Context<'_>) -> bool {
        let current = self.draining.phase.get();
        if current >= phase {
            return true;
        }
        if self
            .waits
            .is_none_or(|(_, registered)| registered != current)
        {
            let key = self.draining.next.get();
            self.draining.next.set(key + 1);
            self.draining
                .waiting
                .borrow_mut()
                .insert(key, cx.waker().clone());
            self.waits = Some((key, current));
        }
        false
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let Some((key, _)) = self.waits {
            self.draining.waiting.borrow_mut().remove(&key);
        }
    }
}
