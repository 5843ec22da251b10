//! Servers with an image, end to end: the real roles, with a double of Kubernetes whose pods are real
//! relays beside real programs. No cluster was at hand; the double keeps the API's semantics as far as its
//! own first lines say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod plane;
#[path = "../edge/sink.rs"]
#[allow(dead_code, reason = "made for more tests than are here")]
mod sink;
#[path = "../plane/traffic.rs"]
#[allow(dead_code, reason = "made for more tests than are here")]
mod traffic;

use std::time::Duration;

use fprs_testkit::client::{H1, get};
use fprs_testkit::kubernetes::Kind;
use fprs_testkit::{program, until};

use plane::Pods;
use sink::Sink;
use traffic::Traffic;

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    program::main();
}

/// The binary under test.
const FPRS: &str = env!("CARGO_BIN_EXE_fprs");
const HOST: &str = "web.region.localhost";
/// For what takes a second on an idle machine: programs start, leases end.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_an_image_scales_from_zero_and_back_and_its_busiest_pod_stays() {
    let plane = Pods::start().await;
    let more = "target_concurrency = 1\nmax_replicas = 3\nscaledown_window = \"500ms\"";
    plane.deploy(more).await;
    plane.answers().await;
    let client = plane.h2().await;
    // On the first pod, all of them: more than what else is ever in flight at once.
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = client.open(get(HOST, "/hang"), true).await.unwrap();
        assert_eq!(stream.receiver.head().await.unwrap().status, 200);
        held.push(stream);
    }
    plane.until_ready(3).await;
    assert_eq!(plane.pods().len(), 3);
    let traffic = Traffic::start(&[plane.listen()], HOST, "/", 4);
    // One is enough for those, and for what is held.
    let wide = ["scale", "web", "--target-concurrency=100"];
    plane.cli().run(&wide).await.succeeded();
    let left = until("one replica is left", SOON, async || {
        let left = plane.replicas().await;
        (left.len() == 1).then_some(left)
    })
    .await;
    until("its pod alone is left", SOON, async || {
        let pods = plane.pods();
        (pods.len() == 1 && left[0]["worker"] == pods[0]).then_some(())
    })
    .await;
    traffic.end().await.assert_all_answered();
    until("what is held is on the pod that stayed", SOON, async || {
        let busy = plane.in_flight().await;
        (busy.len() == 1 && busy.contains(left[0]["id"].as_str().unwrap())).then_some(())
    })
    .await;
    assert!(client.is_open());
    drop(held);
    until("nothing is left", SOON, async || {
        (plane.replicas().await.is_empty() && plane.pods().is_empty()).then_some(())
    })
    .await;
    plane.delete().await;
    until("the Deployment goes with its server", SOON, async || {
        plane
            .cluster
            .all(Kind::Deployments)
            .is_empty()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_image_and_a_deleted_pod_cost_no_request() {
    let plane = Pods::start().await;
    plane.deploy("min_replicas = 2").await;
    plane.until_ready(2).await;
    plane.answers().await;
    let traffic = Traffic::start(&[plane.listen()], HOST, "/sleep?ms=50", 4);
    until("the proxy knows both pods", SOON, async || {
        (plane.in_flight().await.len() == 2).then_some(())
    })
    .await;
    let pod = plane.pods().remove(0);
    plane.cluster.delete_pod(&pod);
    until("another pod is in its place", SOON, async || {
        let pods = plane.pods();
        let ready = plane.replicas_in("ready").await;
        (!pods.contains(&pod) && pods.len() == 2 && ready == 2).then_some(())
    })
    .await;
    plane
        .deploy("min_replicas = 2\ntarget_concurrency = 9")
        .await;
    until("the new version has taken over", SOON, async || {
        let replicas = plane.replicas().await;
        let new = replicas.iter().all(|replica| replica["generation"] == 2);
        (new && replicas.len() == 2 && plane.cluster.all(Kind::Deployments).len() == 1)
            .then_some(())
    })
    .await;
    traffic.end().await.assert_all_answered();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_whose_program_or_node_is_lost_are_replaced() {
    let plane = Pods::start().await;
    plane.deploy("min_replicas = 2").await;
    let replaced = async |pod: &str| {
        until("another pod serves in its place", SOON, async || {
            let pods = plane.serving().await;
            (!pods.contains(pod) && pods.len() == 2).then_some(())
        })
        .await;
    };
    plane.until_ready(2).await;
    let pod = plane.serving().await.pop_first().unwrap();
    plane.kubelet.crash(&pod);
    replaced(&pod).await;
    let pod = plane.serving().await.pop_first().unwrap();
    plane.kubelet.lose(&pod);
    replaced(&pod).await;
    let at_once = plane.cluster.get(Kind::Pods, &pod);
    let leaving = at_once.is_none_or(|pod| !pod["metadata"]["deletionTimestamp"].is_null());
    assert!(leaving, "Kubernetes still counts a pod that is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_change_is_put_right_and_what_is_theirs_is_left_alone() {
    let plane = Pods::start().await;
    plane.deploy("min_replicas = 1").await;
    plane.until_ready(1).await;
    let name = "fprs-web-1";
    plane.cluster.edit(Kind::Deployments, name, |deployment| {
        deployment["spec"]["replicas"] = 3.into();
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "else".into();
        deployment["metadata"]["annotations"]["theirs"] = "kept".into();
    });
    until("it is as it was", SOON, async || {
        let deployment = plane.cluster.get(Kind::Deployments, name)?;
        let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(deployment["metadata"]["annotations"]["theirs"], "kept");
        let right = image == "shop/web:1" && deployment["spec"]["replicas"] == 1;
        (right && plane.pods().len() == 1).then_some(())
    })
    .await;
    plane.cluster.remove(Kind::Deployments, name);
    until(
        "it is made again, with a pod that serves",
        SOON,
        async || {
            plane.cluster.get(Kind::Deployments, name)?;
            (plane.replicas_in("ready").await == 1 && plane.pods().len() == 1).then_some(())
        },
    )
    .await;
    until(
        "nothing is written where nothing changes",
        SOON,
        async || {
            let written = plane.cluster.writes();
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            (plane.cluster.writes() == written).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_fails_forgets_and_is_slow_is_worked_with() {
    let plane = Pods::start().await;
    plane.cluster.fail_writes(1);
    plane.deploy("min_replicas = 1").await;
    plane.until_ready(1).await;
    plane.cluster.race_writes(2);
    plane.scale(2).await;
    plane.cluster.end_watches();
    plane.until_ready(2).await;
    // Changed while nobody watches, and then not to be had any more.
    plane.cluster.end_watches();
    plane
        .cluster
        .edit(Kind::Deployments, "fprs-web-1", |deployment| {
            deployment["spec"]["replicas"] = 5.into();
        });
    plane.cluster.forget_history();
    until("what nobody was told is seen", SOON, async || {
        let deployment = plane.cluster.get(Kind::Deployments, "fprs-web-1")?;
        (deployment["spec"]["replicas"] == 2 && plane.pods().len() == 2).then_some(())
    })
    .await;
    plane.cluster.slow(Duration::from_millis(700));
    plane.scale(1).await;
    until("one pod is left, slowly", SOON, async || {
        (plane.pods().len() == 1 && plane.replicas_in("ready").await == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_deployment_of_the_same_name_is_left_alone_and_said_so() {
    let plane = Pods::start().await;
    let theirs = serde_json::json!({ "metadata": { "labels": {} }, "spec": { "replicas": 0 } });
    plane.cluster.put(Kind::Deployments, "fprs-web-1", theirs);
    plane.deploy("min_replicas = 1").await;
    until("control says whose it is not", SOON, async || {
        plane
            .control_log()
            .contains("not this plane's")
            .then_some(())
    })
    .await;
    until("users are told that there is no pod", SOON, async || {
        let shown = plane.cli().run(&["server", "web"]).await.succeeded().stdout;
        shown.contains("no pod").then_some(())
    })
    .await;
    plane.cluster.remove(Kind::Deployments, "fprs-web-1");
    plane.until_ready(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_in_pods_send_spans_where_control_was_told_to() {
    let sink = Sink::start().await;
    let plane = Pods::start_with(&["--otlp-endpoint", &sink.url()]).await;
    plane.deploy("min_replicas = 1").await;
    plane.answers().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut client = H1::connect(plane.listen()).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {HOST}\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"
    );
    assert_eq!(client.exchange(request).await.unwrap().status, 200);
    let spans = sink.trace(trace, |spans| !spans.is_empty()).await;
    assert_eq!(spans[0].service, "fprs-relay");
}
