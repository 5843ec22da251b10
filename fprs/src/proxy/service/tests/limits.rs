//! What a tenant's limits refuse has touched nothing.

use fprs_config::{Limits, Record, Tenant};

use super::*;
use crate::proxy::admit::Limit;
use crate::proxy::testing::server_of;

#[tokio::test]
async fn what_is_over_a_limit_reaches_no_replica_and_is_no_demand() {
    let limits = Limits {
        requests_per_second: Some(1),
        burst: Some(1),
        ..Limits::default()
    };
    let tenant = Tenant {
        limits,
        ..Tenant::new("t")
    };
    let scene = Scene::of(
        vec![server_of("s", "t"), Record::Tenant(tenant).change()],
        &[],
    )
    .await;
    let (mut told, mut refused) = (0, 0);
    for _ in 0..40 {
        let host = format!("s.{ZONE}");
        let response = scene.client.get(&host, "/").await.unwrap();
        match response.status {
            429 => refused += 1,
            503 => told += 1,
            status => panic!("{status}"),
        }
    }
    let route = scene.tables.load().route("s").unwrap();
    assert!(told >= 1 && refused >= 1, "{told} and {refused}");
    assert_eq!(route.demand.unserved_count(), told);
    assert_eq!(route.tenant.refused(Limit::RequestsPerSecond), refused);
    eventually(
        "the end of what was admitted",
        Duration::from_secs(5),
        || route.tenant.in_flight() == 0,
    )
    .await;
}
