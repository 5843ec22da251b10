use std::sync::Arc;

use fprs_config::apply::apply;
use fprs_config::{
    Batch, Record, Replica, ReplicaState, Revision, Server, Version, Worker, samples,
};
use serde_json::json;

use super::*;
use crate::settings::{Pods, Relay};

const REVISION: u64 = 40;

/// A cluster and a store of one server, `hello`, in its third version.
struct World {
    settings: Settings,
    records: Vec<Record>,
    cluster: Cluster,
    memory: Memory,
    now: Instant,
}

fn of() -> MadeFor {
    MadeFor {
        server: "hello".into(),
        generation: 3,
    }
}

fn version(generation: u64) -> Arc<Version> {
    Arc::new(Version {
        image: format!("shop/hello:{generation}"),
        command: Vec::new(),
        ..samples::version(generation)
    })
}

impl World {
    /// The Deployment has so many replicas.
    fn new(size: u32) -> Self {
        let settings = Settings {
            pods: Pods {
                plane: "region.localhost".to_owned(),
                namespace: "replicas".to_owned(),
                compute_region: "local".to_owned(),
            },
            relay: Relay {
                image: "fprs:1".to_owned(),
                control: vec!["control:9090".to_owned()],
                token_secret: "fprs-worker".to_owned(),
                collector: None,
            },
        };
        let server = Server {
            target: version(3),
            fallback: None,
            compute_region: "local".to_owned(),
            ..samples::server("hello")
        };
        let mut world = Self {
            settings,
            records: vec![Record::Server(server)],
            cluster: Cluster::default(),
            memory: Memory::default(),
            now: Instant::now(),
        };
        world.deployed(size, 1);
        world
    }

    fn deployed(&mut self, size: u32, revision: u64) {
        let Settings { pods, relay } = &self.settings;
        let object = manifest::deployment(pods, relay, &of(), &version(3), size);
        let object = manifest::expecting(manifest::stamp(object, revision), "d1", "100");
        let deployment = Deployment::of(object).unwrap();
        self.cluster
            .deployments
            .put(deployment.name.clone(), deployment);
    }

    /// A pod, and what control knows of it: nothing, that it is attached, that it is spent.
    fn pod(&mut self, name: &str, attached: Option<bool>) {
        let pod = Pod {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            made_for: of(),
            leaving: false,
            ready: false,
            marked: false,
        };
        self.cluster.pods.put(name.to_owned(), pod);
        if let Some(draining) = attached {
            self.records.push(Record::Worker(Worker {
                draining,
                capacity: 1,
                made_for: Some(of()),
                ..samples::worker(name)
            }));
        }
    }

    /// A replica, in that pod or waiting for one.
    fn replica(&mut self, id: &str, pod: Option<&str>, state: ReplicaState) {
        self.records.push(Record::Replica(Replica {
            generation: 3,
            worker: pod.map(Into::into),
            ..samples::replica(id, "hello", state)
        }));
    }

    /// One that serves, in a pod of its own.
    fn serves(&mut self, name: &str) {
        self.pod(name, Some(false));
        self.replica(&format!("r-{name}"), Some(name), ReplicaState::Ready);
    }

    fn plan(&mut self) -> Vec<Step> {
        let batch = Batch::new(
            Revision(REVISION),
            self.records.iter().map(Record::change).collect(),
        );
        let applied = apply(&Snapshot::default(), &batch);
        assert!(applied.refused.is_empty(), "{:?}", applied.refused);
        let plan = plan(
            &self.settings,
            &applied.snapshot,
            &self.cluster,
            &mut self.memory,
            self.now,
        );
        plan.writes
            .into_iter()
            .flat_map(|(_, steps)| steps)
            .collect()
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

/// The steps in short: what and whom.
fn said(steps: &[Step]) -> Vec<String> {
    let say = |step: &Step| match step {
        Step::Create(deployment) => format!("create {}", deployment["spec"]["replicas"]),
        Step::Apply { deployment, .. } => format!("apply {}", deployment["spec"]["replicas"]),
        Step::Scale { replicas, .. } => format!("scale {replicas}"),
        Step::Remove { name, .. } => format!("remove {name}"),
        Step::Mark { pod, .. } => format!("mark {pod}"),
        Step::Delete { pod, .. } => format!("delete {pod}"),
    };
    steps.iter().map(say).collect()
}

#[test]
fn a_version_without_a_deployment_gets_one_as_large_as_it_has_replicas() {
    let mut world = World::new(0);
    world.cluster = Cluster::default();
    world.replica("r1", None, ReplicaState::Requested);
    world.replica("r2", None, ReplicaState::Requested);
    world.replica("r3", None, ReplicaState::Failed);
    assert_eq!(said(&world.plan()), ["create 2"]);
}

#[test]
fn what_fits_is_left_alone_and_what_others_changed_is_put_right() {
    let mut world = World::new(1);
    world.serves("a");
    assert_eq!(world.plan(), []);
    let name = manifest::name(&of());
    let mut other = world.cluster.deployments.get(&name).unwrap().clone();
    other.object["spec"]["template"]["spec"]["containers"][0]["image"] = "else".into();
    world.cluster.deployments.put(name, other);
    let steps = world.plan();
    let [Step::Apply { deployment, .. }] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(deployment["metadata"]["resourceVersion"], "100");
    assert_eq!(deployment["metadata"]["annotations"]["fprs/revision"], "40");
}

#[test]
fn another_relay_in_the_settings_touches_no_deployment_that_is_there() {
    let mut world = World::new(1);
    world.serves("a");
    world.settings.relay.image = "fprs:2".to_owned();
    assert_eq!(world.plan(), []);
}

#[test]
fn more_replicas_make_a_deployment_larger_at_once() {
    let mut world = World::new(1);
    world.serves("a");
    world.replica("r2", None, ReplicaState::Requested);
    assert_eq!(said(&world.plan()), ["apply 2"]);
}

#[test]
fn a_pod_whose_replica_has_ended_is_marked_before_its_deployment_gets_smaller() {
    let mut world = World::new(3);
    world.serves("a");
    world.pod("b", Some(true));
    world.serves("c");
    assert_eq!(said(&world.plan()), ["mark b", "apply 2"]);
}

#[test]
fn a_draining_replica_keeps_its_pod_to_its_end() {
    for state in [ReplicaState::Draining, ReplicaState::Stopping] {
        let mut world = World::new(2);
        world.serves("a");
        world.pod("b", Some(false));
        world.replica("r2", Some("b"), state);
        world.pass(60);
        assert_eq!(world.plan(), [], "{state:?}");
    }
}

#[test]
fn pods_that_nobody_needs_go_after_a_while_and_never_those_that_serve() {
    let mut world = World::new(3);
    world.serves("a");
    world.pod("b", Some(false));
    world.pod("c", None);
    assert_eq!(world.plan(), []);
    world.pass(11);
    assert_eq!(said(&world.plan()), ["mark b", "mark c", "apply 1"]);
}

#[test]
fn a_spent_pod_is_deleted_by_name_where_another_is_needed_in_its_place() {
    let mut world = World::new(2);
    world.serves("a");
    world.pod("b", Some(true));
    world.replica("r2", None, ReplicaState::Requested);
    assert_eq!(said(&world.plan()), ["delete b"]);
}

#[test]
fn a_marked_pod_that_its_deployment_does_not_take_is_deleted_after_a_while() {
    let mut world = World::new(1);
    world.serves("a");
    world.pod("b", Some(true));
    let mut marked = world.cluster.pods.get("b").unwrap().clone();
    marked.marked = true;
    world.cluster.pods.put("b".to_owned(), marked);
    assert_eq!(world.plan(), []);
    world.pass(6);
    assert_eq!(said(&world.plan()), ["delete b"]);
}

#[test]
fn a_pod_on_a_lost_node_is_replaced_once_its_lease_has_ended() {
    let mut world = World::new(1);
    world.serves("a");
    assert_eq!(world.plan(), []);
    // Control has given up the worker and its replica, and the autoscaler wants another one.
    world.records.truncate(1);
    world.replica("r2", None, ReplicaState::Requested);
    assert_eq!(said(&world.plan()), ["delete a"]);
    // One that is only starting is waited for.
    world.cluster.pods.remove("a");
    world.pod("b", None);
    assert_eq!(world.plan(), []);
}

#[test]
fn a_version_that_is_gone_keeps_its_deployment_while_it_has_replicas() {
    let mut world = World::new(2);
    world.serves("a");
    world.pod("b", Some(true));
    world.records.remove(0);
    assert_eq!(said(&world.plan()), ["mark b", "scale 1"]);
    world.records.clear();
    assert_eq!(said(&world.plan()), ["remove fprs-hello-3"]);
}

#[test]
fn a_deployment_written_by_somebody_who_has_seen_more_is_left_alone() {
    let mut world = World::new(1);
    world.deployed(1, REVISION + 1);
    assert_eq!(world.plan(), []);
    world.deployed(1, REVISION);
    world.pass(60);
    world.plan();
    world.pass(60);
    assert_eq!(said(&world.plan()), ["apply 0"]);
}

#[test]
fn servers_of_another_region_or_with_a_command_have_no_deployment() {
    let mut world = World::new(0);
    world.cluster = Cluster::default();
    world.settings.pods.compute_region = "elsewhere".to_owned();
    assert_eq!(world.plan(), []);
    world.settings.pods.compute_region = "local".to_owned();
    world.records = vec![Record::Server(samples::server("hello"))];
    world.replica("r1", None, ReplicaState::Requested);
    assert_eq!(world.plan(), []);
}

#[test]
fn an_object_without_our_labels_is_not_ours() {
    let object = json!({"metadata": {"name": "n", "uid": "u", "resourceVersion": "1"}});
    assert_eq!(Deployment::of(object.clone()), None);
    assert_eq!(Pod::of(&object), None);
}
