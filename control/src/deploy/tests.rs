use fprs_config::{Domain, ReplicaState, samples};

use super::*;
use crate::testing::{Records, manifest, replica, server};

const ZONE: &str = "region.localhost";

fn deploy_to(store: &mut Records, lines: &str) -> Result<(), DeployError> {
    let group = deploy(&store.snapshot, (ZONE, false), &manifest(lines), 7)?;
    assert!(store.commit(&group));
    Ok(())
}

fn domain(host: &str, server: &str) -> Record {
    Record::Domain(Domain {
        host: host.into(),
        server: server.into(),
    })
}

#[test]
fn a_deploy_binds_its_domains_and_releases_those_it_no_longer_names() {
    let mut store = Records::default();
    deploy_to(
        &mut store,
        "domains = [\"a.example.com\", \"b.example.com\"]",
    )
    .unwrap();
    deploy_to(
        &mut store,
        "domains = [\"b.example.com\", \"c.example.com\"]",
    )
    .unwrap();
    let hosts: Vec<_> = store
        .snapshot
        .server("hello")
        .unwrap()
        .domains
        .keys()
        .collect();
    assert_eq!(hosts.len(), 2);
    assert!(store.snapshot.domain("a.example.com").is_none());
    assert_eq!(
        &*store.snapshot.domain("c.example.com").unwrap().server,
        "hello"
    );
}

#[test]
fn a_host_name_of_another_server_is_refused_and_names_it() {
    let mut store = Records::of(&[
        Record::Server(server("other", 1)),
        domain("a.example.com", "other"),
    ]);
    let error = deploy_to(&mut store, "domains = [\"a.example.com\"]").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the host name `a.example.com` belongs to the server `other`"
    );
    assert!(error.remedy().contains("`other`"));
}

#[test]
fn a_host_name_whose_server_is_gone_is_free() {
    let mut store = Records::of(&[domain("a.example.com", "gone")]);
    deploy_to(&mut store, "domains = [\"a.example.com\"]").unwrap();
    assert_eq!(
        &*store.snapshot.domain("a.example.com").unwrap().server,
        "hello"
    );
}

#[test]
fn two_deploys_of_one_snapshot_do_not_both_happen() {
    let mut store = Records::default();
    let first = deploy(&store.snapshot, (ZONE, false), &manifest(""), 1).unwrap();
    let second = deploy(&store.snapshot, (ZONE, false), &manifest("h2 = true"), 2).unwrap();
    assert!(store.commit(&first));
    assert!(!store.commit(&second));
}

#[test]
fn a_name_with_replicas_left_from_before_starts_above_their_generation() {
    let mut left = replica("r1", "hello", ReplicaState::Draining);
    left.generation = 4;
    let mut store = Records::of(&[Record::Replica(left)]);
    deploy_to(&mut store, "").unwrap();
    assert_eq!(store.server("hello").target.generation, 5);
}

#[test]
fn what_this_plane_can_not_do_is_refused_not_ignored() {
    let mut store = Records::default();
    let refused =
        |store: &mut Records, lines: &str| deploy_to(store, lines).unwrap_err().to_string();
    assert!(refused(&mut store, "egress = \"pool-1\"").contains("egress pool `pool-1`"));
    let pool = |tenant: &str| {
        Record::EgressPool(fprs_config::EgressPool {
            tenant: tenant.into(),
            ..samples::egress_pool("pool-1")
        })
    };
    store.put(&pool("somebody-else"));
    assert!(refused(&mut store, "egress = \"pool-1\"").contains("egress pool `pool-1`"));
    store.put(&pool(""));
    deploy_to(&mut store, "egress = \"pool-1\"").unwrap();
    assert_eq!(store.server("hello").egress, "pool-1");
    let zone = refused(&mut store, "domains = [\"x.region.localhost\"]");
    assert!(zone.contains("under the zone"), "{zone}");
    let long = format!("{}.example", "x".repeat(250));
    let error = deploy(&store.snapshot, (&long, false), &manifest(""), 1).unwrap_err();
    assert!(matches!(error, DeployError::TooLong(_)), "{error}");
}

#[test]
fn a_deletion_takes_the_domains_with_it() {
    let mut store = Records::default();
    deploy_to(&mut store, "domains = [\"a.example.com\"]").unwrap();
    let group = delete(&store.snapshot, "hello").unwrap();
    assert!(store.commit(&group));
    assert!(store.snapshot.is_empty());
    assert!(delete(&store.snapshot, "hello").is_none());
}
