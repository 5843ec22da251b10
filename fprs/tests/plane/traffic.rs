//! Load that goes on while something happens to the plane: every request that is not answered 200
//! and whole is remembered as failed, and what answered is counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fprs_testkit::client::{ClientError, H1, H2, Response};
use tokio::task::JoinHandle;

/// Clients that ask one thing, again and again.
#[derive(Debug)]
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Seen>>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests that were answered 200, whole.
    pub(crate) answered: u64,
    /// What became of the others.
    pub(crate) failures: Vec<String>,
    /// Answers by their text.
    pub(crate) texts: BTreeMap<String, u64>,
}

/// One client's place in the load.
#[derive(Clone, Debug)]
struct Asked {
    address: SocketAddr,
    host: String,
    path: String,
    h2: bool,
}

/// Between two requests of one client: load, not a flood that starves what is tested.
const PACE: Duration = Duration::from_millis(4);

impl Traffic {
    /// So many clients, every other one over h2, spread over the addresses.
    pub(crate) fn start(addresses: &[SocketAddr], host: &str, path: &str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let clients = (0..clients).map(|n| {
            let asked = Asked {
                address: addresses[n / 2 % addresses.len()],
                host: host.to_owned(),
                path: path.to_owned(),
                h2: n % 2 == 1,
            };
            tokio::spawn(client(asked, Arc::clone(&stop), Arc::clone(&answered)))
        });
        Self {
            clients: clients.collect(),
            stop,
            answered,
        }
    }

    /// Requests that were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the load, each client after its request, and says what was seen.
    pub(crate) async fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.await.unwrap();
            all.answered += seen.answered;
            all.failures.extend(seen.failures);
            for (text, count) in seen.texts {
                *all.texts.entry(text).or_default() += count;
            }
        }
        all
    }
}

impl Seen {
    /// Fails the test unless every request of at least one was answered.
    #[track_caller]
    pub(crate) fn assert_all_answered(&self) {
        let failed = self.failures.len();
        let some: Vec<_> = self.failures.iter().take(10).collect();
        assert_eq!(
            failed, 0,
            "{failed} failed, {} did not: {some:#?}",
            self.answered
        );
        assert!(self.answered > 0, "no request was made");
    }

    fn count(&mut self, answer: Result<Response, ClientError>) -> bool {
        match answer {
            Ok(response) if response.status == 200 => {
                self.answered += 1;
                *self.texts.entry(response.text()).or_default() += 1;
                response.header("connection") != Some("close")
            }
            Ok(response) => {
                let reason = response.header("x-fprs-reason").unwrap_or("no reason");
                self.failures.push(format!("{} {reason}", response.status));
                response.header("connection") != Some("close")
            }
            Err(error) => {
                self.failures.push(format!("{error:?}"));
                false
            }
        }
    }
}

async fn client(asked: Asked, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        if asked.h2 {
            over_h2(&asked, &stop, &answered, &mut seen).await;
        } else {
            over_h1(&asked, &stop, &answered, &mut seen).await;
        }
    }
    seen
}

/// Asks on one connection until that can't go on.
async fn over_h1(asked: &Asked, stop: &AtomicBool, answered: &AtomicU64, seen: &mut Seen) {
    let mut connection = match H1::connect(asked.address).await {
        Ok(connection) => connection,
        Err(error) => return refused(&error, seen).await,
    };
    while !stop.load(Ordering::Relaxed) {
        let answer = connection.get(&asked.host, &asked.path).await;
        if !seen.count(answer) {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PACE).await;
    }
}

async fn over_h2(asked: &Asked, stop: &AtomicBool, answered: &AtomicU64, seen: &mut Seen) {
    let connection = match H2::connect(asked.address).await {
        Ok(connection) => connection,
        Err(error) => return refused(&error, seen).await,
    };
    while !stop.load(Ordering::Relaxed) {
        let answer = connection.get(&asked.host, &asked.path).await;
        if !seen.count(answer) {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PACE).await;
    }
}

async fn refused(error: &ClientError, seen: &mut Seen) {
    seen.failures.push(format!("no connection: {error:?}"));
    tokio::time::sleep(PACE).await;
}
