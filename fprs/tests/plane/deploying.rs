//! A new version takes over without a lost request, or the old one goes on and says why.

use std::time::Duration;

use fprs_testkit::client::get;
use fprs_testkit::{Plane, eventually, program, until};

use crate::traffic::Traffic;
use crate::{FPRS, SOON, sized};

const SERVED: &str = "min_replicas = 2\nmax_replicas = 4\nstartup_timeout = \"1s\"";

fn greeting(text: &str) -> String {
    program::manifest("web", SERVED, &[("GREETING", text)])
}

#[tokio::test]
async fn a_new_version_replaces_the_old_one_without_a_failed_request() {
    let plane = Plane::start(FPRS).await;
    plane.deploy(&greeting("version 1")).await;
    serves(&plane, 1).await;
    let host = plane.host("web");
    let traffic = Traffic::start(&[plane.listen()], &host, "/", 6);
    let deploys = sized(2, 20);
    let mut streams = Vec::new();
    for version in 2..2 + deploys {
        // Begun on the version that goes, whole nevertheless.
        let client = plane.h2().await;
        let stream = client.open(get(&host, "/sse?n=20&ms=50"), true).await;
        let stream = stream.unwrap();
        streams.push(tokio::spawn(async move {
            let whole = stream.response().await;
            drop(client);
            whole
        }));
        plane.deploy(&greeting(&format!("version {version}"))).await;
        serves(&plane, version).await;
        let before = traffic.answered();
        let more = || traffic.answered() > before + 50;
        eventually("more requests are answered", SOON, more).await;
    }
    for stream in streams {
        let whole = stream.await.unwrap().unwrap();
        assert_eq!(whole.text().matches("data:").count(), 20);
    }
    let seen = traffic.end().await;
    seen.assert_all_answered();
    println!("{deploys} deploys: {} requests, 0 failed", seen.answered);
    let versions = usize::try_from(deploys).unwrap() + 1;
    assert_eq!(seen.texts.len(), versions, "{:?}", seen.texts);
    let after = Traffic::start(&[plane.listen()], &host, "/", 4);
    eventually("it is asked", SOON, || after.answered() >= 100).await;
    let newest = format!("version {}", 1 + deploys);
    assert_eq!(
        after.end().await.texts.into_keys().collect::<Vec<_>>(),
        [newest]
    );
}

#[tokio::test]
async fn a_version_that_exits_leaves_the_old_one_serving_until_a_better_one_comes() {
    let bad = program::manifest("web", SERVED, &[("EXIT_CODE", "3")]);
    stays_until_fixed(&bad, "exited with status 3").await;
}

#[tokio::test]
async fn a_version_that_never_listens_leaves_the_old_one_serving_until_a_better_one_comes() {
    let bad =
        format!("name = \"web\"\ncommand = [\"sleep\", \"1000\"]\nauth = \"public\"\n{SERVED}\n");
    stays_until_fixed(&bad, "did not listen on $PORT").await;
}

async fn stays_until_fixed(bad: &str, why: &str) {
    let plane = Plane::start(FPRS).await;
    plane.deploy(&greeting("version 1")).await;
    serves(&plane, 1).await;
    let host = plane.host("web");
    let traffic = Traffic::start(&[plane.listen()], &host, "/", 2);
    plane.deploy(bad).await;
    let problem = until("the problem is told", SOON, async || {
        let shown = plane.run(&["server", "web"]).await.succeeded().stdout;
        let problem = shown.lines().find(|line| line.starts_with("problem"));
        problem.map(str::to_owned)
    })
    .await;
    assert!(
        problem.contains("version 2 is not becoming ready"),
        "{problem}"
    );
    assert!(problem.contains(why), "{problem}");
    assert!(problem.contains("version 1 keeps serving"), "{problem}");
    let replicas = plane.replicas("web").await;
    let ready = replicas
        .iter()
        .filter(|replica| replica["state"] == "ready");
    assert!(ready.clone().count() == 2, "{replicas:?}");
    assert!(ready.clone().all(|replica| replica["generation"] == 1));
    let before = traffic.answered();
    let more = || traffic.answered() > before + 50;
    eventually("the old version answers", SOON, more).await;
    plane.deploy(&greeting("version 3")).await;
    serves(&plane, 3).await;
    let seen = traffic.end().await;
    seen.assert_all_answered();
    let answered: Vec<_> = seen.texts.keys().map(String::as_str).collect();
    assert_eq!(answered, ["version 1", "version 3"]);
    let shown = plane.run(&["server", "web", "--json"]).await.succeeded();
    assert_eq!(shown.json()["problem"], serde_json::Value::Null);
    assert_eq!(shown.json()["proven"], true);
}

/// Waits until two replicas of that version are ready and no other runs.
async fn serves(plane: &Plane, version: u64) {
    let deadline = SOON + Duration::from_secs(5);
    until(
        &format!("only version {version} runs"),
        deadline,
        async || {
            let replicas = plane.replicas("web").await;
            let whole = replicas.len() == 2
                && replicas
                    .iter()
                    .all(|replica| replica["state"] == "ready" && replica["generation"] == version);
            whole.then_some(())
        },
    )
    .await;
}
