//! Load of every kind that goes on while proxies come and go. Clients honour what a client is told
//! (`connection: close`, GOAWAY, close code 1001) and repeat nothing that was sent: whatever else keeps
//! an exchange from its whole, right answer is a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use fprs_testkit::client::{ClientError, H1, H2, H2Stream};
use http::Request;
use tokio::task::JoinHandle;

use crate::edge::Edge;
use crate::{calls, events, requests, sockets};

/// Running clients.
#[derive(Debug)]
pub(crate) struct Load {
    state: Arc<State>,
    clients: Vec<JoinHandle<()>>,
}

/// What one client knows of the world.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) edge: Arc<Edge>,
    state: Arc<State>,
    kind: Kind,
}

/// What a client does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    CallsOverH2,
    EventsOverH1,
    EventsOverH2,
    RequestsOverH1,
    RequestsOverH2,
    SocketsOverH1,
    SocketsOverH2,
}

#[derive(Debug)]
struct State {
    stop: AtomicBool,
    begun: AtomicU64,
    whole: [AtomicU64; KINDS.len()],
    failures: std::sync::Mutex<Vec<String>>,
    started: Instant,
}

/// What all clients saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Exchanges that were begun.
    pub(crate) begun: u64,
}

const KINDS: [Kind; 7] = [
    Kind::CallsOverH2,
    Kind::EventsOverH1,
    Kind::EventsOverH2,
    Kind::RequestsOverH1,
    Kind::RequestsOverH2,
    Kind::SocketsOverH1,
    Kind::SocketsOverH2,
];

/// Clients of each kind.
pub(crate) const CLIENTS: usize = 2;

impl Load {
    pub(crate) fn start(edge: &Arc<Edge>) -> Self {
        let state = Arc::new(State {
            stop: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            whole: Default::default(),
            failures: std::sync::Mutex::default(),
            started: Instant::now(),
        });
        let client = |kind| Client {
            edge: Arc::clone(edge),
            state: Arc::clone(&state),
            kind,
        };
        let clients = KINDS
            .iter()
            .flat_map(|kind| std::iter::repeat_n(*kind, CLIENTS))
            .map(|kind| tokio::spawn(run(client(kind))));
        Self {
            clients: clients.collect(),
            state,
        }
    }

    /// The exchanges of the kind that has had the fewest whole so far.
    pub(crate) fn least(&self) -> u64 {
        let counts = self.state.whole.iter();
        counts
            .map(|count| count.load(Ordering::Relaxed))
            .min()
            .unwrap()
    }

    /// Ends the load, each client after its exchange, and fails if one of them noticed anything.
    pub(crate) async fn end(self) -> Seen {
        let (seen, failures) = self.stop().await;
        assert!(
            failures.is_empty(),
            "{} failed: {failures:#?}",
            failures.len()
        );
        seen
    }

    /// Ends the load, each client after its exchange; with what they noticed: a time, a kind of load and
    /// what happened, each.
    pub(crate) async fn stop(self) -> (Seen, Vec<String>) {
        self.state.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        let count = |kind: Kind| self.state.whole[kind as usize].load(Ordering::Relaxed);
        let whole = KINDS.map(|kind| (kind, count(kind)));
        println!("whole: {whole:?}");
        let seen = Seen {
            begun: self.state.begun.load(Ordering::Relaxed),
        };
        (seen, self.state.failures.lock().unwrap().clone())
    }
}

async fn run(client: Client) {
    while client.goes_on() {
        let done = match client.kind {
            Kind::CallsOverH2 => calls::over_h2(&client).await,
            Kind::EventsOverH1 => events::over_h1(&client).await,
            Kind::EventsOverH2 => events::over_h2(&client).await,
            Kind::RequestsOverH1 => requests::over_h1(&client).await,
            Kind::RequestsOverH2 => requests::over_h2(&client).await,
            Kind::SocketsOverH1 => sockets::over_h1(&client).await,
            Kind::SocketsOverH2 => sockets::over_h2(&client).await,
        };
        if let Err(failure) = done {
            client.failed(failure);
            // One that fails at once, again and again, must not spin.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Client {
    /// Until the load is ended.
    pub(crate) fn goes_on(&self) -> bool {
        !self.state.stop.load(Ordering::Relaxed)
    }

    /// An exchange is sent.
    pub(crate) fn begins(&self) {
        self.state.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// What a broken exchange over HTTP/2 is: nothing bad if the connection was already going away when
    /// it was about to be sent. That it wasn't taken is then the server's word, and holds only if
    /// proxies and programs have not counted it either.
    pub(crate) fn broken(&self, error: &ClientError) -> Result<(), String> {
        if *error == ClientError::GoAway(::h2::Reason::NO_ERROR) {
            self.state.begun.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
        Err(format!("{error:?}"))
    }

    /// An exchange came back whole.
    pub(crate) fn whole(&self) {
        self.state.whole[self.kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, failure: String) {
        let at = self.state.started.elapsed();
        let failure = format!("{at:?} {:?}: {failure}", self.kind);
        self.state.failures.lock().unwrap().push(failure);
    }

    /// A connection for HTTP/1.1 and where it leads.
    pub(crate) async fn h1(&self) -> Result<(H1, std::net::SocketAddr), String> {
        let address = self.edge.pick().await;
        let connected = H1::connect(address).await;
        let connection = connected.map_err(|error| format!("no connection: {error:?}"))?;
        Ok((connection, address))
    }

    /// A connection for HTTP/2 and where it leads.
    pub(crate) async fn h2(&self) -> Result<(H2, std::net::SocketAddr), String> {
        let address = self.edge.pick().await;
        let connected = H2::connect(address).await;
        let connection = connected.map_err(|error| format!("no connection: {error:?}"))?;
        Ok((connection, address))
    }

    /// Opens a stream; `None`: the connection is going away, and nothing was sent.
    pub(crate) async fn open(
        &self,
        connection: &H2,
        request: Request<()>,
        end: bool,
    ) -> Result<Option<H2Stream>, String> {
        match connection.open(request, end).await {
            Ok(stream) => {
                self.begins();
                Ok(Some(stream))
            }
            Err(ClientError::GoAway(::h2::Reason::NO_ERROR)) => Ok(None),
            Err(error) => Err(format!("no stream: {error:?}")),
        }
    }
}
