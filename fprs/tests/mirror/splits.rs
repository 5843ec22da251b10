//! Splits: the same callers are always served by the variant, as if they had asked for it, and never
//! worse off for it.

use std::cell::Cell;
use std::time::Duration;

use fprs_config::{
    Change, Key, Kind, Mirror, MirrorKey, Record, Replica, ReplicaState, Server, samples,
};
use fprs_testkit::origin::{Origin, Script};
use fprs_testkit::plane::Settings;
use fprs_testkit::{Plane, program, until};
use http::Method;
use serde_json::Value;

use crate::scene::{DEADLINE, Scene, host, mirror, nowhere, replica, request, server};

/// The share that the tests' splits send to the variant, in hundredths of a percent.
const POINTS: u32 = 3_000;

fn split() -> Mirror {
    Mirror {
        basis_points: POINTS,
        key: MirrorKey::Header("x-user".to_owned()),
        ..Mirror::split("s", "prod", "variant")
    }
}

fn record(mirror: Mirror) -> Change {
    Record::Mirror(mirror).change()
}

/// Those of the users that the split sends to the variant.
fn taken(users: u32) -> Vec<u32> {
    let bucket = |user: &u32| Mirror::bucket("", user.to_string().as_bytes());
    (0..users).filter(|user| bucket(user) < POINTS).collect()
}

/// One that the split sends to the variant.
fn one_taken() -> String {
    taken(100)[0].to_string()
}

/// What that user is answered.
async fn answer(scene: &Scene, user: &str) -> String {
    let client = scene.client().await;
    let request = request(Method::GET, "/", &[("x-user", user)]);
    let answer = client.open(request, true).await.unwrap();
    let answer = answer.response().await.unwrap();
    format!("{} {}", answer.status, answer.text())
}

/// The users whom the variant answers.
async fn served_by_variant(scene: &Scene, users: u32) -> Vec<u32> {
    let mut served = Vec::new();
    for user in 0..users {
        match &*answer(scene, &user.to_string()).await {
            "200 variant" => served.push(user),
            other => assert_eq!(other, "200 prod"),
        }
    }
    served
}

#[tokio::test]
async fn the_same_callers_are_served_by_the_variant_at_every_proxy_and_through_edits() {
    let (prod, variant) = (
        Origin::start(Script::text("prod")),
        Origin::start(Script::text("variant")),
    );
    for _proxy in 0..2 {
        let scene = Scene::start(prod.address()).await;
        let variant = replica("variant", variant.address());
        scene
            .commit(vec![server("variant"), variant, record(split())])
            .await;
        assert_eq!(served_by_variant(&scene, 100).await, taken(100));
        // Another deploy of either, and another edit.
        let paused = Mirror {
            paused: true,
            ..split()
        };
        scene
            .commit(vec![server("variant"), server("prod"), record(paused)])
            .await;
        assert_eq!(served_by_variant(&scene, 100).await, Vec::<u32>::new());
        scene.commit(vec![record(split())]).await;
        assert_eq!(served_by_variant(&scene, 100).await, taken(100));
        let went = |way| scene.metric("fprs_split_requests_total", &[("went", way)]);
        let share = taken(100).len() as u64;
        assert_eq!(
            (went("variant"), went("server")),
            (2 * share, 2 * (100 - share))
        );
        // Without the key it is nobody's in particular.
        let client = scene.client().await;
        assert_eq!(client.get(&host(), "/").await.unwrap().text(), "prod");
        assert!(went("no_key") >= 1);
    }
}

#[tokio::test]
async fn without_its_variant_a_server_serves_itself_and_the_autoscaler_hears_of_it() {
    let (prod, variant) = (
        Origin::start(Script::text("prod")),
        Origin::start(Script::text("variant")),
    );
    let scene = Scene::start(prod.address()).await;
    let went = |way| scene.metric("fprs_split_requests_total", &[("went", way)]);
    let user = one_taken();
    scene.commit(vec![record(split())]).await;
    assert_eq!(answer(&scene, &user).await, "200 prod");
    assert_eq!((went("gone"), went("variant")), (1, 0));
    scene.commit(vec![server("variant")]).await;
    assert_eq!(answer(&scene, &user).await, "200 prod");
    assert_eq!((went("no_replica"), went("variant")), (1, 0));
    let others = Record::Server(Server {
        tenant: "other".into(),
        ..samples::server("variant")
    });
    let there = replica("variant", variant.address());
    scene.commit(vec![others.change(), there.clone()]).await;
    assert_eq!(answer(&scene, &user).await, "200 prod");
    assert_eq!((went("gone"), went("variant")), (2, 0));
    scene.commit(vec![server("variant")]).await;
    assert_eq!(answer(&scene, &user).await, "200 variant");
}

#[tokio::test]
async fn a_variant_that_holds_is_waited_for_and_one_that_refuses_answers_for_itself() {
    let (prod, variant) = (
        Origin::start(Script::text("prod")),
        Origin::start(Script::text("variant")),
    );
    let scene = Scene::start(prod.address()).await;
    let user = one_taken();
    let holding = Record::Server(Server {
        hold: DEADLINE,
        ..samples::server("variant")
    });
    scene.commit(vec![holding.change(), record(split())]).await;
    let there = replica("variant", variant.address());
    let answers = tokio::join!(answer(&scene, &user), async {
        until("the request to be held", DEADLINE, async || {
            (scene.metric("fprs_split_requests_total", &[("went", "variant")]) == 1).then_some(())
        })
        .await;
        scene.commit(vec![there]).await;
    });
    assert_eq!(answers.0, "200 variant");
    let gone = Change::delete(Key::new(Kind::Replica, "variant-0"));
    let unreachable = Record::Replica(Replica {
        address: Some(nowhere()),
        ..samples::replica("variant-1", "variant", ReplicaState::Ready)
    });
    scene.commit(vec![gone, unreachable.change()]).await;
    let refused = answer(&scene, &user).await;
    assert!(refused.starts_with("502"), "{refused}");
}

#[tokio::test]
async fn mirrors_of_the_asked_server_see_what_its_variant_serves() {
    let (prod, variant, shadow) = (
        Origin::start(Script::text("prod")),
        Origin::start(Script::text("variant")),
        Origin::start(Script::text("shadow")),
    );
    let scene = Scene::start(prod.address()).await;
    scene.mirror(mirror(), Some(shadow.address())).await;
    // A mirror of the variant's is for those who ask for the variant.
    let variants = Mirror::new("v", "variant", "shadow");
    let there = replica("variant", variant.address());
    scene
        .commit(vec![
            server("variant"),
            there,
            record(split()),
            record(variants),
        ])
        .await;
    assert_eq!(answer(&scene, &one_taken()).await, "200 variant");
    scene.settled().await;
    assert_eq!(scene.ended("complete"), 1);
    let copies = shadow.record().exchanges();
    let head = &copies[0].request.head;
    assert!(
        copies.len() == 1 && head.contains("x-fprs-mirror: m"),
        "{head}"
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_split_keeps_its_callers_through_redeploys_and_restarts_and_says_so_in_the_access_log() {
    let dir = fprs_testkit::TempDir::new().unwrap();
    let log = dir.path().join("access.log");
    let settings = Settings::new(env!("CARGO_BIN_EXE_fprs"));
    let settings = settings.arg("--access-log").arg(log.to_str().unwrap());
    let mut plane = settings.start().await;
    let pool = "min_replicas = 1\nmax_replicas = 1\nhold = \"10s\"";
    let deploy = async |plane: &Plane, name: &str, pool: &str| {
        let manifest = program::protected(name, pool, &[("GREETING", name)]);
        plane.deploy(&manifest).await;
    };
    deploy(&plane, "prod", pool).await;
    // From zero: who finds no replica is served by the server, and starts one.
    deploy(
        &plane,
        "variant",
        "max_replicas = 1\nscaledown_window = \"1h\"",
    )
    .await;
    let token = plane
        .run(&["token", "create", "--server", "prod", "--json"])
        .await
        .json();
    let text = |field: &str| token[field].as_str().unwrap();
    let bearer = format!("Bearer {}.{}", text("id"), text("secret"));
    let add = ["split", "add", "prod", "variant", "--key", "header:x-user"];
    let wrong = plane.run(&[&add[..], &["--percent", "0"]].concat()).await;
    wrong.refused(1);
    let added = plane.run(&[&add[..], &["--percent", "30"]].concat()).await;
    let added = added.succeeded();
    let said = "split prod-or-variant: 30.0 % of prod by header:x-user is served by variant";
    assert!(added.stdout.contains(said), "{added:?}");
    let round = Cell::new(0);
    let ask = async |plane: &Plane, user: u32| {
        let client = plane.h2().await.deadline(DEADLINE);
        let mut get = fprs_testkit::client::get(&plane.host("prod"), "/");
        let id = format!("{}-{user}", round.get());
        for (name, value) in [
            ("authorization", &bearer),
            ("x-user", &user.to_string()),
            ("x-request-id", &id),
        ] {
            get.headers_mut()
                .insert(http::HeaderName::from_static(name), value.parse().unwrap());
        }
        let stream = client.open(get, true).await.unwrap();
        stream.response().await.unwrap()
    };
    let served = async |plane: &Plane| {
        let mut served = Vec::new();
        round.set(round.get() + 1);
        for user in 0..40 {
            let answer = ask(plane, user).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            if answer.text() == "variant" {
                served.push(user);
            }
        }
        served
    };
    let first = taken(40)[0];
    let other = (0..40).find(|user| !taken(40).contains(user)).unwrap();
    let variant_serves = async |plane: &Plane| {
        until("both to serve", DEADLINE, async || {
            let (variant, server) = (ask(plane, first).await, ask(plane, other).await);
            (variant.text() == "variant" && server.text() == "prod").then_some(())
        })
        .await;
    };
    variant_serves(&plane).await;
    assert_eq!(served(&plane).await, taken(40));
    deploy(
        &plane,
        "variant",
        "max_replicas = 1\nscaledown_window = \"1h\"",
    )
    .await;
    assert_eq!(served(&plane).await, taken(40));
    plane.restart().await;
    variant_serves(&plane).await;
    assert_eq!(served(&plane).await, taken(40));

    let bucket = |user: u32| Mirror::bucket("", user.to_string().as_bytes());
    for user in 0..40_u32 {
        let id = format!("{}-{user}", round.get());
        let line = until("the line", DEADLINE, async || {
            let text = std::fs::read_to_string(&log).ok()?;
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let mut lines = lines.filter(|line: &Value| line["request_id"] == *id);
            lines.next()
        })
        .await;
        let bucket = bucket(user);
        assert_eq!(line["buckets"]["prod-or-variant"], bucket, "{line}");
        assert_eq!(line["server"], "prod");
        let variant = (bucket < POINTS).then_some("variant");
        assert_eq!(
            line.get("variant").and_then(Value::as_str),
            variant,
            "{line}"
        );
        let replica = line["replica"].as_str().unwrap();
        assert!(replica.starts_with(variant.unwrap_or("prod")), "{line}");
    }
    // Asking for the variant itself takes a token for it.
    let client = plane.h2().await;
    let mut direct = fprs_testkit::client::get(&plane.host("variant"), "/");
    let fields = direct.headers_mut();
    fields.insert("authorization", bearer.parse().unwrap());
    let direct = client.open(direct, true).await.unwrap();
    assert_eq!(direct.response().await.unwrap().status, 403);
    let listed: Value = plane.run(&["split", "list", "--json"]).await.json();
    assert_eq!(listed[0]["variant"], "variant");
    assert_eq!(
        plane.run(&["mirror", "list", "--json"]).await.json(),
        Value::Array(Vec::new())
    );
    for order in ["pause", "remove"] {
        plane
            .run(&["split", order, "prod-or-variant"])
            .await
            .succeeded();
        until(
            "the server to serve all",
            Duration::from_secs(5),
            async || (ask(&plane, first).await.text() == "prod").then_some(()),
        )
        .await;
    }
}
