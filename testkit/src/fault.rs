//! A TCP proxy that spoils the path between two parties: delays, throttles, black-holes or cuts it,
//! changed at any time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to the bytes on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes; connections stay open and new ones are accepted.
    BlackHole,
    /// Every connection is reset and new ones are too.
    Cut,
    /// Each piece waits this long before it passes.
    Delay(Duration),
    /// What the target says arrives as something else; what it is told arrives.
    Garbage,
    /// Nothing bad.
    None,
    /// About this many bytes a second pass, each way and connection.
    Throttle(u64),
}

/// A running fault proxy. Dropping it ends its connections and closes its port.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a port of its own and passes everything on to `target`.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (fault, changes) = watch::channel(Fault::None);
        Self {
            address,
            fault,
            accepting: tokio::spawn(accept(listener, target, changes)),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this to every connection from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, fault: watch::Receiver<Fault>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, target, fault.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut near: TcpStream, target: SocketAddr, mut fault: watch::Receiver<Fault>) {
    let clean = async {
        if *fault.borrow() == Fault::Cut {
            return false;
        }
        let Ok(mut far) = TcpStream::connect(target).await else {
            return false;
        };
        near.set_nodelay(true).expect("a socket option");
        far.set_nodelay(true).expect("a socket option");
        let clean = {
            let (near_read, near_write) = near.split();
            let (far_read, far_write) = far.split();
            let there = pass(near_read, far_write, fault.clone(), false);
            let back = pass(far_read, near_write, fault.clone(), true);
            tokio::select! {
                passed = async { tokio::try_join!(there, back) } => passed.is_ok(),
                _ = fault.wait_for(|fault| *fault == Fault::Cut) => false,
            }
        };
        if !clean {
            far.set_zero_linger().expect("a socket option");
        }
        clean
    };
    if !clean.await {
        near.set_zero_linger().expect("a socket option");
    }
}

/// Passes bytes on to the clean end.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut fault: watch::Receiver<Fault>,
    answers: bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        let passes = fault.wait_for(|fault| *fault != Fault::BlackHole).await;
        // A proxy that is gone changes no more; what was set last stays.
        let now = passes.map_or(Fault::None, |fault| *fault);
        match now {
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::Throttle(bytes_per_second) => {
                let micros = length as u64 * 1_000_000 / bytes_per_second.max(1);
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            Fault::Garbage if answers => {
                buffer[..length].iter_mut().for_each(|byte| *byte ^= 0x5a);
            }
            Fault::BlackHole | Fault::Cut | Fault::Garbage | Fault::None => {}
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

/// Small, so that throttles and cuts bite in the middle of things.
const BUFFER: usize = 16 * 1024;
