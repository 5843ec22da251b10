//! A control over an embedded store in a temporary directory, listening on a port of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use fprs_config::follow::{Follower, Status};
use fprs_config::store::EmbeddedStore;
use fprs_config::{Change, Record, Replica, ReplicaState, Revision, SharedStore, Snapshot, View};
use fprs_control::{
    Admin, AdminToken, AuditLog, Control, ControlSettings, MirrorReports, PublicUrl, mirror_reports,
};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prometheus::Registry;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::service::Routes;

pub(crate) const TOKEN: &str = "a-test-token";
/// Long enough that no busy machine ends it.
pub(crate) const LONG_LEASE: Duration = Duration::from_secs(120);
/// Nothing that works takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

pub(crate) struct Plane {
    pub(crate) store: SharedStore,
    pub(crate) view: View,
    pub(crate) address: SocketAddr,
    /// Control and its listener.
    control: JoinSet<()>,
    lease: Duration,
    status: Arc<Status>,
    _follower: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::with_lease(LONG_LEASE).await
    }

    pub(crate) async fn with_lease(lease: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(EmbeddedStore::open(&dir.path().join("store")).unwrap());
        let (publisher, view) = View::new();
        let follower = Follower::new(Arc::clone(&store), publisher);
        let status = follower.status();
        let mut following = JoinSet::new();
        following.spawn(follower.run());
        let (control, address) = control(&store, &view, &status, lease).await;
        Self {
            store,
            view,
            address,
            control,
            lease,
            status,
            _follower: following,
            _dir: dir,
        }
    }

    /// The process that is control dies and another takes its place, on another port.
    pub(crate) async fn restart_control(&mut self) {
        self.control.shutdown().await;
        (self.control, self.address) =
            control(&self.store, &self.view, &self.status, self.lease).await;
    }

    /// One request with the admin token; the answer's status and text.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        self.ask_as(Some(TOKEN), method, path, body).await
    }

    pub(crate) async fn ask_as(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, text) = self.ask(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Deploys a server of that name with these manifest keys more.
    pub(crate) async fn deploy(&self, name: &str, more: Value) -> (StatusCode, Value) {
        let mut manifest = serde_json::json!({
            "name": name, "command": ["serve", "$PORT"], "auth": "public",
        });
        manifest
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let path = format!("/v1/servers/{name}");
        let (status, text) = self.ask(Method::PUT, &path, &manifest.to_string()).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    /// Writes a replica as the autoscaler would.
    pub(crate) async fn request(&self, id: &str, server: &str) -> Revision {
        self.write(&[requested(id, server)]).await
    }

    pub(crate) async fn write(&self, replicas: &[Replica]) -> Revision {
        let changes: Vec<Change> = replicas
            .iter()
            .map(|replica| Record::Replica(replica.clone()).change())
            .collect();
        self.store.commit(changes, Vec::new()).await.unwrap()
    }

    /// Puts a replica in a state as the autoscaler would.
    pub(crate) async fn set(&self, id: &str, state: ReplicaState) {
        let mut replica = (**self.view.load().replica(id).unwrap()).clone();
        replica.state = state;
        self.write(&[replica]).await;
    }

    /// Waits until the snapshot is as wanted, and returns it.
    pub(crate) async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Arc<Snapshot> {
        let mut view = self.view.clone();
        let arrives = async {
            let mut snapshot = view.load();
            while !wanted(&snapshot) {
                snapshot = view.changed().await.unwrap();
            }
            snapshot
        };
        let Ok(snapshot) = tokio::time::timeout(DEADLINE, arrives).await else {
            panic!("{what}: not so after {DEADLINE:?}: {:?}", self.view.load());
        };
        snapshot
    }

    pub(crate) async fn until_state(&self, id: &str, state: ReplicaState) -> Arc<Snapshot> {
        let is = |snapshot: &Snapshot| snapshot.replica(id).is_some_and(|r| r.state == state);
        self.until(&format!("{id} {state:?}"), is).await
    }
}

pub(crate) fn requested(id: &str, server: &str) -> Replica {
    Replica {
        id: id.into(),
        server: server.into(),
        generation: 1,
        state: ReplicaState::Requested,
        worker: None,
        address: None,
        since_unix_ms: 1,
        reason: String::new(),
        startup_ms: 0,
        weight: 1,
        egress: "".into(),
    }
}

/// Placed replicas by worker.
pub(crate) fn placed(snapshot: &Snapshot) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for replica in snapshot.replicas() {
        if let Some(worker) = &replica.worker {
            *counts.entry(worker.to_string()).or_default() += 1;
        }
    }
    counts
}

async fn control(
    store: &SharedStore,
    view: &View,
    status: &Arc<Status>,
    lease: Duration,
) -> (JoinSet<()>, SocketAddr) {
    let settings = ControlSettings {
        zone: "region.localhost".to_owned(),
        public_url: PublicUrl {
            scheme: "http".to_owned(),
            port: 8080,
        },
        lease,
        audit: AuditLog::default(),
        images: false,
    };
    let registry = Registry::new();
    let control = Control::new(settings, Arc::clone(store), view.clone(), &registry).unwrap();
    let extra = || async { "what the binary adds" };
    let reports: MirrorReports =
        Arc::new(|name| Box::pin(async move { (name != "unseen").then(|| Value::from("seen")) }));
    let router = control.router(Admin {
        token: AdminToken::new(TOKEN),
        registry,
        ready: Arc::new(|| Ok(())),
        config: Arc::clone(status),
        api: Router::new()
            .route("/v1/autoscaler/{name}", axum::routing::get(extra))
            .merge(mirror_reports(view.clone(), reports)),
        grpc: Routes::new(fprs_config::feed::server::service(Arc::clone(store))),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(control.run());
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (tasks, address)
}
