//! Settings that change while a server runs, and what the autoscaler says about its decisions.

use std::time::{Duration, Instant};

use fprs_testkit::client::get;
use fprs_testkit::{Cli, Plane, program, until};

use crate::{FPRS, SOON};

async fn plane(more: &str) -> Plane {
    let plane = Plane::start(FPRS).await;
    plane.deploy(&program::manifest("web", more, &[])).await;
    plane
}

async fn ready(plane: &Plane, count: usize) {
    until(&format!("{count} replicas are ready"), SOON, async || {
        (plane.replicas_in("web", "ready").await == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn settings_change_while_a_server_runs_and_all_of_them_are_shown() {
    let plane = plane("target_concurrency = 4\nmin_replicas = 1").await;
    ready(&plane, 1).await;
    let args = [
        "scale",
        "web",
        "--min-replicas=2",
        "--target-concurrency=2.5",
        "--scaledown-rate-limit=3",
        "--json",
    ];
    let shown = plane.run(&args).await.succeeded().json();
    assert_eq!(shown["server"], "web");
    assert_eq!(shown["min_replicas"], 2);
    assert_eq!(shown["target_concurrency"], 2.5);
    assert_eq!(shown["scaledown_rate_limit"], 3);
    assert_eq!(shown["max_replicas"], 4, "what is not given stays");
    assert_eq!(shown["scaledown_window"], "1m");
    ready(&plane, 2).await;
    let args = ["scale", "web", "--scaledown-rate-limit=none"];
    let text = plane.run(&args).await.succeeded().stdout;
    assert!(text.contains("scaledown_rate_limit  none"), "{text}");
    let args = ["scale", "web", "--min-replicas=9"];
    let refused = plane.run(&args).await.refused(1);
    assert!(
        refused.stderr.contains("`min_replicas` is 9"),
        "{refused:?}"
    );
    let args = ["scale", "web", "--min-replicas=many"];
    plane.run(&args).await.refused(64);
    let server = plane.run(&["server", "web", "--json"]).await.succeeded();
    assert_eq!(server.json()["generation"], 1, "no deploy");
}

#[tokio::test]
async fn a_paused_pool_stays_and_the_autoscaler_says_why() {
    let more = "target_concurrency = 1\nscaledown_window = \"300ms\"\nhold = \"10s\"";
    let plane = plane(more).await;
    let (host, client) = (plane.host("web"), plane.h2().await);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(client.open(get(&host, "/hang"), true).await.unwrap());
    }
    ready(&plane, 2).await;
    plane.run(&["scale", "web", "--pause"]).await.succeeded();
    drop(held);
    let idle = Instant::now();
    while idle.elapsed() < Duration::from_millis(1_500) {
        assert_eq!(plane.replicas_in("web", "ready").await, 2);
    }
    let why = plane.run(&["autoscaler", "why", "web", "--json"]).await;
    let decisions = why.succeeded().json();
    let rules = decisions.as_array().unwrap().iter();
    let rules: Vec<_> = rules.map(|decision| decision["rule"].clone()).collect();
    assert_eq!(rules[0], "zero_to_one", "{rules:?}");
    assert_eq!(rules.last().unwrap(), "paused", "{rules:?}");
    assert_eq!(decisions[0]["inputs"]["target"], 1.0);
    let table = plane.run(&["autoscaler", "why", "web"]).await.succeeded();
    assert!(table.stdout.contains("RULE"), "{}", table.stdout);
    assert!(table.stdout.contains("paused"), "{}", table.stdout);
    plane.run(&["scale", "web", "--resume"]).await.succeeded();
    until("the pool follows its load", SOON, async || {
        plane.replicas("web").await.is_empty().then_some(())
    })
    .await;
    let unknown = plane.run(&["autoscaler", "why", "nobody"]).await.refused(1);
    assert!(
        unknown.stderr.contains("nothing was decided"),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn what_is_recorded_is_decided_again_in_the_same_way() {
    let more = "target_concurrency = 1\nscaledown_window = \"500ms\"\nhold = \"10s\"";
    let plane = plane(more).await;
    let (host, client) = (plane.host("web"), plane.h2().await);
    let cli = plane.cli();
    let args = ["autoscaler", "record", "web", "--for", "6s"];
    let load = async {
        // Up, down to nothing, so that the autoscaler begins anew, and up again.
        for streams in [3, 2] {
            let mut held = Vec::new();
            for _ in 0..streams {
                held.push(client.open(get(&host, "/hang"), true).await.unwrap());
            }
            ready(&plane, streams).await;
            drop(held);
            until("it is at rest", SOON, async || {
                plane.replicas("web").await.is_empty().then_some(())
            })
            .await;
        }
        // Decisions go on until the recording has lasted long enough.
        let stream = client.open(get(&host, "/hang"), true).await.unwrap();
        std::future::pending::<()>().await;
        drop(stream);
    };
    let recorded = tokio::select! {
        recorded = cli.run(&args) => recorded.succeeded().stdout,
        () = load => unreachable!("it goes on"),
    };
    let trace = plane.dir().join("trace.jsonl");
    std::fs::write(&trace, &recorded).unwrap();
    let trace = trace.to_str().unwrap();
    let picture = plane.dir().join("picture.svg");
    let again = ["autoscaler", "simulate", "--trace", trace];
    let cli = Cli::new(FPRS);
    let same = cli.run(&again).await.succeeded().stdout;
    assert!(
        same.contains(", 0 decided differently"),
        "{same}\n{recorded}"
    );
    assert!(recorded.lines().count() > 5, "{recorded}");
    let svg = picture.to_str().unwrap();
    let more = ["--set", "max_replicas=1", "--svg", svg, "--knative"];
    let other = [&again[..], &more].concat();
    let other = cli.run(&other).await.succeeded().stdout;
    assert!(other.contains("at most 1,"), "{other}");
    assert!(
        std::fs::read_to_string(picture)
            .unwrap()
            .ends_with("</svg>\n")
    );
    let wrong = [&again[..], &["--set", "max_replicas=0"]].concat();
    cli.run(&wrong).await.refused(1);
}
