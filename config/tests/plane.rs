//! The whole way of a record through the crate's public surface: manifest, commit, store, feed,
//! follower, view, and the file to start from when the store is away.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::feed::{FeedClient, server};
use fprs_config::{
    EmbeddedStore, Follower, Key, Kind, LastGood, Manifest, Record, Revision, SharedStore, Source,
    Status, View,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

const DEADLINE: Duration = Duration::from_secs(20);

const MANIFEST: &str = r#"
name = "hello"
command = ["python3", "-m", "http.server", "$PORT"]
auth = "public"
domains = ["hello.example.com"]
"#;

struct Role {
    view: View,
    status: Arc<Status>,
    task: JoinHandle<()>,
}

impl Role {
    fn start(store: SharedStore, last_good: LastGood) -> Self {
        let (publisher, view) = View::new();
        let follower = Follower::new(store, publisher).last_good(last_good);
        let status = follower.status();
        let task = tokio::spawn(follower.run());
        Self { view, status, task }
    }

    async fn reached(&mut self, revision: Revision) {
        tokio::time::timeout(DEADLINE, self.view.reached(revision))
            .await
            .unwrap()
            .unwrap();
    }

    async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

async fn serve(store: SharedStore) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(server::service(store))
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))),
    );
    address
}

fn feed(address: SocketAddr) -> SharedStore {
    Arc::new(FeedClient::new(&[address.to_string()], "token", "test").unwrap())
}

#[tokio::test]
async fn a_deploy_reaches_every_view_and_survives_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(EmbeddedStore::open(&dir.path().join("store")).unwrap());
    let address = serve(Arc::clone(&store)).await;
    let kept = LastGood::new(dir.path().join("far"));
    let mut near = Role::start(Arc::clone(&store), LastGood::new(dir.path().join("near")));
    let mut far = Role::start(feed(address), kept.clone());

    let manifest = Manifest::from_toml(MANIFEST).unwrap();
    manifest.check_zone("region.localhost").unwrap();
    let mut writes = vec![Record::Server(manifest.server_in(None, 1)).change()];
    writes.extend(
        manifest
            .domains()
            .into_iter()
            .map(|domain| Record::Domain(domain).change()),
    );
    // Through the feed, as a remote committer would.
    let revision = feed(address).commit(writes, Vec::new()).await.unwrap();
    for role in [&mut near, &mut far] {
        role.reached(revision).await;
        let snapshot = role.view.load();
        let view = snapshot.server("hello").unwrap();
        assert!(view.server.is_some() && view.domains.contains_key("hello.example.com"));
        assert_eq!(
            snapshot.written(&Key::new(Kind::Server, "hello")),
            Some(revision)
        );
        assert_eq!(role.status.report().source, Source::Store);
    }
    near.stop().await;
    far.stop().await;

    // Nobody listens there any more; the file of the last run does.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let mut again = Role::start(feed(nowhere), kept);
    again.reached(revision).await;
    assert!(again.view.load().domain("hello.example.com").is_some());
    let report = again.status.report();
    assert_eq!(report.source, Source::LastGood);
    assert_eq!(report.age, None);
}
