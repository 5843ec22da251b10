//! A proxy of one core that follows a store, with a server for each tenant.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fprs::process::{Parts, bind, bound};
use fprs::roles::{Following, Proxying};
use fprs::settings::{Given, Role, Settings};
use fprs_config::store::EmbeddedStore;
use fprs_config::{
    Auth, Change, Limits, Record, Replica, ReplicaState, SharedStore, Tenant, samples,
};
use fprs_forward::{Budget, limits};
use fprs_testkit::TempDir;
use fprs_testkit::client::H2;
use fprs_testkit::plane::ZONE;
use prometheus::Registry;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The proxy and what it needs.
pub(crate) struct Scene {
    pub(crate) listen: SocketAddr,
    store: SharedStore,
    registry: Registry,
    _proxy: Proxying,
    _parts: Parts,
    _dir: TempDir,
}

impl Scene {
    /// Without a server.
    pub(crate) fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let store = EmbeddedStore::open(&dir.path().join("store")).unwrap();
        let store: SharedStore = Arc::new(store);
        let given = Given {
            control: vec!["127.0.0.1:1".to_owned()],
            data_dir: Some(dir.path().to_owned()),
            zone: Some(ZONE.to_owned()),
            cores: Some(1),
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
        Self {
            listen,
            store,
            registry,
            _proxy: proxy,
            _parts: parts,
            _dir: dir,
        }
    }

    pub(crate) async fn commit(&self, changes: Vec<Change>) {
        self.store.commit(changes, Vec::new()).await.unwrap();
    }

    /// A tenant whose one server has its name and replicas at those addresses.
    pub(crate) async fn tenant(&self, tenant: Tenant, replicas: &[SocketAddr]) {
        let name = tenant.name.clone();
        let mut server = samples::server(&name);
        server.tenant.clone_from(&name);
        server.auth = Auth::Public;
        let mut changes = vec![
            Record::Tenant(tenant).change(),
            Record::Server(server).change(),
        ];
        changes.extend(replicas.iter().enumerate().map(|(number, address)| {
            let id = format!("{name}-{number}");
            Record::Replica(Replica {
                address: Some(*address),
                ..samples::replica(&id, &name, ReplicaState::Ready)
            })
            .change()
        }));
        self.commit(changes).await;
    }

    /// Waits until a tenant's server answers.
    pub(crate) async fn answers(&self, name: &str) -> H2 {
        let client = H2::connect(self.listen).await.unwrap();
        fprs_testkit::until("the server answers", DEADLINE, async || {
            let response = client.get(&host(name), "/").await.ok()?;
            (response.status == 200).then_some(())
        })
        .await;
        client
    }

    /// A metric, over those of its labels that are given.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
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
            .sum()
    }
}

/// A tenant with those limits.
pub(crate) fn tenant(name: &str, limits: Limits) -> Tenant {
    Tenant {
        limits,
        ..Tenant::new(name)
    }
}

/// The host name of a tenant's server.
pub(crate) fn host(name: &str) -> String {
    format!("{name}.{ZONE}")
}
