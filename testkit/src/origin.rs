//! The program behind fprs: an in-process server for HTTP/1.1 and h2c on one port that does as its
//! [`Script`] says and records what it saw. It has a thread of its own, so a busy test doesn't slow
//! it.

mod h1;
mod h2;
mod play;
mod record;
mod script;

pub use record::{Exchange, Outcome, Record, now_us};
pub use script::{Answer, Body, End, Fate, Intake, Script};

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// What a script is chosen by: the request's head.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its head as text: for HTTP/1.1 exactly as it came, for h2 one `name: value` a line.
    pub head: String,
}

/// A running origin. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    record: Arc<Record>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What all its connections share.
pub(crate) struct Shared {
    script: Box<dyn Fn(&Request) -> Script + Send + Sync>,
    record: Arc<Record>,
}

impl Origin {
    /// Answers each request as its path says; [`Script::by_path`] lists them.
    pub fn by_path() -> Self {
        Self::with(|request| Script::by_path(&request.target))
    }

    /// Answers every request alike.
    pub fn start(script: Script) -> Self {
        Self::with(move |_| script.clone())
    }

    /// Answers each request as `script` says.
    ///
    /// # Panics
    /// When there is no port or thread to be had.
    pub fn with(script: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let record = Arc::new(Record::new(None));
        let shared = Shared {
            script: Box::new(script),
            record: Arc::clone(&record),
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || run(listener, shared, stopped))
            .expect("a thread");
        Self {
            address,
            record,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it saw.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Shared {
    /// For [`crate::program`]: scripts by path, events to a file.
    pub(crate) fn by_path(record: Record) -> Self {
        Self {
            script: Box::new(|request| Script::by_path(&request.target)),
            record: Arc::new(record),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Serves until `stopped` fires or its sender is dropped.
pub(crate) fn run(listener: TcpListener, shared: Shared, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a socket option");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let shared = Arc::new(shared);
        let accept = async {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(connection(stream, Arc::clone(&shared)));
                }
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).expect("a socket option");
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await {
            Ok(0) | Err(_) => return,
            Ok(length) if b"PRI"[..length] != first[..length] => {
                return h1::serve(stream, &shared).await;
            }
            Ok(3) => return h2::serve(stream, shared).await,
            // The beginning of a preface: look again when there can be more.
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
        }
    }
}
