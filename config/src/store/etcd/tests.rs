use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::engines;
use crate::store::conformance;

async fn open(address: &str, commits: usize) -> Mirrored<Client> {
    let history = HistoryLimits {
        commits,
        ..HistoryLimits::default()
    };
    open_within(&address.parse().unwrap(), history)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_stores_contract() {
    const HISTORY: usize = 200;
    let Some(etcd) = engines::Etcd::start() else {
        return;
    };
    let stores = AtomicUsize::new(0);
    conformance::run_all(|| async {
        let number = stores.fetch_add(1, Ordering::Relaxed);
        conformance::Subject {
            store: Arc::new(open(&etcd.store(&format!("s{number}")), HISTORY).await),
            history: Some(HISTORY),
            guard: Box::new(()),
        }
    })
    .await;
}
