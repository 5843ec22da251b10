//! A double of Kubernetes for tests, in this process: the part of the API that fprs uses, with the real
//! one's semantics (versions of objects, list and watch, bookmarks, history that is forgotten, conflicts,
//! preconditions, server-side apply), and the controllers and the kubelet that make pods of Deployments.
//!
//! Left out: rollouts (a changed template makes no new pods), pages of lists, who owns which field.

mod controllers;
mod http;
mod kubelet;
mod merge;
mod state;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch as notice;

pub use kubelet::Kubelet;
pub use state::Kind;
use state::State;

/// A cluster of one namespace. Cheap to clone: every clone is the same cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The version of the newest change.
    changed: notice::Sender<u64>,
    /// Counts up: every watch that began before ends.
    ended: notice::Sender<u64>,
    faults: Faults,
}

/// What goes wrong, for so many calls.
#[derive(Debug, Default)]
struct Faults {
    failing_writes: AtomicU32,
    raced_writes: AtomicU32,
    delay_ms: AtomicU64,
    writes: AtomicU64,
}

/// The namespace.
pub const NAMESPACE: &str = "replicas";

impl Cluster {
    /// Starts the API server and the controllers; they run while the runtime does.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: notice::Sender::new(0),
            ended: notice::Sender::new(0),
            faults: Faults::default(),
        });
        let cluster = Self {
            address: listener.local_addr().expect("its address"),
            shared,
        };
        tokio::spawn(http::serve(cluster.clone(), listener));
        tokio::spawn(controllers::run(cluster.clone()));
        cluster
    }

    /// Where the API server answers, in plain HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Writes a kubeconfig for it, and says where.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn kubeconfig(&self, dir: &Path) -> PathBuf {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "c", "cluster": { "server": self.url() } }],
            "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "x",
        });
        let path = dir.join("kubeconfig");
        std::fs::write(&path, config.to_string()).expect("the kubeconfig");
        path
    }

    /// All objects of a kind, by name.
    pub fn all(&self, kind: Kind) -> Vec<Value> {
        self.state().all(kind)
    }

    /// One object.
    pub fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        self.state().get(kind, name).cloned()
    }

    /// Writes an object as somebody else: makes it or changes it.
    pub fn put(&self, kind: Kind, name: &str, object: Value) {
        self.write(|state| state.put(kind, name, object));
    }

    /// Changes an object as somebody else; nothing where it is gone.
    pub fn edit(&self, kind: Kind, name: &str, edit: impl FnOnce(&mut Value)) {
        self.write(|state| {
            if let Some(mut object) = state.get(kind, name).cloned() {
                edit(&mut object);
                state.put(kind, name, object);
            }
        });
    }

    /// Takes an object away at once, without grace.
    pub fn remove(&self, kind: Kind, name: &str) {
        self.write(|state| state.remove(kind, name));
    }

    /// Deletes a pod as `kubectl delete` does: it has its grace period.
    pub fn delete_pod(&self, name: &str) {
        self.edit(Kind::Pods, name, state::mark_deleted);
    }

    /// The next so many writes fail with 500.
    pub fn fail_writes(&self, count: u32) {
        self.shared
            .faults
            .failing_writes
            .store(count, Ordering::SeqCst);
    }

    /// Before each of the next so many writes, somebody else changes the object.
    pub fn race_writes(&self, count: u32) {
        self.shared
            .faults
            .raced_writes
            .store(count, Ordering::SeqCst);
    }

    /// Every answer takes so much longer from now on.
    pub fn slow(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.shared.faults.delay_ms.store(by, Ordering::SeqCst);
    }

    /// Every watch that runs ends, as when the server restarts.
    pub fn end_watches(&self) {
        self.shared.ended.send_modify(|count| *count += 1);
    }

    /// Forgets all history: a watch from before is answered 410 Gone.
    pub fn forget_history(&self) {
        self.state().forget();
    }

    /// Writes that came over the API so far.
    pub fn writes(&self) -> u64 {
        self.shared.faults.writes.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        let (written, version) = {
            let mut state = self.state();
            (write(&mut state), state.version())
        };
        self.shared.changed.send_replace(version);
        written
    }
}

impl Faults {
    /// One of so many is used up.
    fn takes(count: &AtomicU32) -> bool {
        let less = |count: u32| count.checked_sub(1);
        count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }
}
