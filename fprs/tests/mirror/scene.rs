//! A proxy of one core that follows a store with two servers, `prod` and its shadow, whose relays are
//! the test's.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fprs::process::{Parts, bind, bound};
use fprs::roles::{Following, Proxying};
use fprs::settings::{Drain, Given, Role, Settings};
use fprs_config::store::EmbeddedStore;
use fprs_config::{Change, Mirror, Record, Replica, ReplicaState, SharedStore, samples};
use fprs_forward::{Budget, limits};
use fprs_testkit::client::{H2, get};
use fprs_testkit::plane::ZONE;
use fprs_testkit::{TempDir, until};
use prometheus::Registry;
use serde_json::Value;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Bytes that copies may hold altogether here.
pub(crate) const LIMIT: u64 = 4 << 20;

/// The proxy and what it needs.
pub(crate) struct Scene {
    pub(crate) listen: SocketAddr,
    store: SharedStore,
    registry: Registry,
    proxy: Proxying,
    _parts: Parts,
    dir: Arc<TempDir>,
}

impl Scene {
    /// With a replica of `prod` there.
    pub(crate) async fn start(prod: SocketAddr) -> Self {
        let dir = TempDir::new().unwrap();
        let store = EmbeddedStore::open(&dir.path().join("store")).unwrap();
        let store: SharedStore = Arc::new(store);
        let given = Given {
            control: vec!["127.0.0.1:1".to_owned()],
            data_dir: Some(dir.path().to_owned()),
            zone: Some(ZONE.to_owned()),
            cores: Some(1),
            mirror_limit: Some(LIMIT.to_string()),
            capture_dir: Some(dir.path().join("captures")),
            ..Given::default()
        };
        let settings = Settings::resolve(given, Role::Proxy).unwrap();
        let (registry, mut parts) = (Registry::new(), Parts::default());
        let budget = Budget::new(limits::BUFFERED_BYTES);
        let mut proxy = Proxying::start(&settings, &budget, &registry).unwrap();
        let following = Following::new(Arc::clone(&store), None).observe(proxy.observer());
        let view = following.view();
        following.start(&registry, &mut parts).unwrap();
        let listener = bind("listen", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listen = bound(&listener).unwrap();
        proxy.serve(listener, view, "token", &mut parts).unwrap();
        let scene = Self {
            listen,
            store,
            registry,
            proxy,
            _parts: parts,
            dir: Arc::new(dir),
        };
        scene
            .commit(vec![server("prod"), replica("prod", prod)])
            .await;
        let client = scene.client().await;
        until("the server answers", DEADLINE, async || {
            let response = client.get(&host(), "/").await.ok()?;
            (response.status != 503).then_some(())
        })
        .await;
        scene
    }

    /// What the proxy has seen of a mirror.
    pub(crate) fn report(&self, name: &str) -> Option<Value> {
        Some(self.proxy.seen().of(name)?.shown(name))
    }

    /// Ends the proxy in good order.
    pub(crate) async fn drain(&self) {
        let drain = Drain {
            delay: Duration::ZERO,
            timeout: Duration::ZERO,
        };
        self.proxy.drain(drain).await;
    }

    /// Where captures are, for as long as somebody looks.
    pub(crate) fn captures(&self) -> Captures {
        Captures(self.dir.path().join("captures"), Arc::clone(&self.dir))
    }

    pub(crate) async fn client(&self) -> H2 {
        H2::connect(self.listen).await.unwrap().deadline(DEADLINE)
    }

    /// Commits, and waits until the proxy runs by it.
    pub(crate) async fn commit(&self, mut changes: Vec<Change>) {
        // One more server, whose name tells this commit from all others.
        let marker = format!("marker-{:x}", fastrand::u64(..));
        changes.push(server(&marker));
        self.store.commit(changes, Vec::new()).await.unwrap();
        let client = self.client().await;
        let host = format!("{marker}.{ZONE}");
        until("the proxy to follow", DEADLINE, async || {
            let response = client.get(&host, "/").await.ok()?;
            // No longer the answer of a host that nobody has.
            (response.status == 503 && response.header("retry-after").is_some()).then_some(())
        })
        .await;
    }

    /// Mirrors `prod` to a shadow with a replica there, if anywhere.
    pub(crate) async fn mirror(&self, mirror: Mirror, shadow: Option<SocketAddr>) {
        let mut changes = vec![server("shadow"), Record::Mirror(mirror).change()];
        changes.extend(shadow.map(|address| replica("shadow", address)));
        self.commit(changes).await;
    }

    /// A metric, over those of its labels that are given.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of whole things"
    )]
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map_or(&[][..], |family| family.get_metric());
        metrics
            .iter()
            .filter(|metric| {
                labels.iter().all(|(name, value)| {
                    let labels = metric.get_label();
                    labels
                        .iter()
                        .any(|label| label.name() == *name && label.value() == *value)
                })
            })
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum::<f64>() as u64
    }

    /// Copies that ended so.
    pub(crate) fn ended(&self, how: &str) -> u64 {
        self.metric("fprs_mirror_requests_total", &[("end", how)])
    }

    /// What copies hold now.
    pub(crate) fn held(&self) -> u64 {
        self.metric("fprs_mirror_held_bytes", &[])
    }

    /// Waits until every copy has ended, and nothing is held for any.
    pub(crate) async fn settled(&self) {
        until("the copies to end", DEADLINE, async || {
            let in_flight = self.metric("fprs_mirror_in_flight", &[]);
            (in_flight == 0 && self.held() == 0).then_some(())
        })
        .await;
    }
}

/// A directory that stays while this does.
pub(crate) struct Captures(
    pub(crate) PathBuf,
    #[expect(dead_code, reason = "held for its drop")] Arc<TempDir>,
);

/// A mirror of all of `prod`'s requests.
pub(crate) fn mirror() -> Mirror {
    Mirror::new("m", "prod", "shadow")
}

pub(crate) fn server(name: &str) -> Change {
    Record::Server(samples::server(name)).change()
}

pub(crate) fn replica(server: &str, address: SocketAddr) -> Change {
    Record::Replica(Replica {
        address: Some(address),
        ..samples::replica(&format!("{server}-0"), server, ReplicaState::Ready)
    })
    .change()
}

/// Where nobody listens.
pub(crate) fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn host() -> String {
    format!("prod.{ZONE}")
}

/// A request to `prod` with those fields.
pub(crate) fn request(
    method: http::Method,
    path: &str,
    fields: &[(&'static str, &str)],
) -> http::Request<()> {
    let mut request = get(&host(), path);
    *request.method_mut() = method;
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}
