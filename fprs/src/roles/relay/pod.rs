//! What Kubernetes asks a pod's relay: whether the pod serves, and, before it ends the program beside,
//! to wait until that has answered everything.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use fprs_control::ReadyCheck;
use fprs_relay::replicas::{Phase, ReplicaTable};

/// Between two looks; an exchange that ends is seen so much later.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The pod serves from its program's first open port until its last exchange has ended: a pod that
/// serves is the last that Kubernetes takes away.
pub(super) fn ready(table: Arc<ReplicaTable>) -> ReadyCheck {
    Arc::new(move || match serves(&table) {
        true => Ok(()),
        false => Err("no replica of this pod serves".to_owned()),
    })
}

/// `/drained` answers when nothing is in flight and nothing can begin. It needs no token: kubelet,
/// which asks, has none, and learns nothing.
pub(super) fn routes(table: Arc<ReplicaTable>) -> Router {
    let wait = move || {
        let table = Arc::clone(&table);
        async move {
            while serves(&table) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            "drained\n"
        }
    };
    Router::new().route("/drained", get(wait))
}

fn serves(table: &ReplicaTable) -> bool {
    let replicas = table.load();
    let mut phases = replicas
        .values()
        .map(|replica| (replica.phase(), replica.in_flight()));
    phases.any(|(phase, in_flight)| match phase {
        Phase::Ready => true,
        Phase::Starting => false,
        Phase::Stopping => in_flight > 0,
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use fprs_relay::replicas::Running;

    use super::*;

    #[test]
    fn a_pod_serves_from_its_open_port_to_the_end_of_its_last_exchange() {
        let table = Arc::new(ReplicaTable::new());
        let replica = Running::starting("r".into(), "s".into(), false);
        let ready = ready(Arc::clone(&table));
        assert!(ready().is_err());
        table.insert(&replica);
        assert!(ready().is_err(), "it starts");
        replica.ready(SocketAddr::from(([127, 0, 0, 1], 8000)));
        assert!(ready().is_ok());
        let exchange = replica.begin().unwrap();
        replica.close();
        assert!(ready().is_ok(), "an exchange goes on");
        drop(exchange);
        assert!(ready().is_err());
    }
}
