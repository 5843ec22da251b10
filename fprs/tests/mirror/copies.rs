//! What a shadow gets: the request as it was, without what gives access, once, and whole or not at all.

use std::time::Duration;

use bytes::Bytes;
use fprs_config::{Mirror, MirrorKey};
use fprs_testkit::client::H1;
use fprs_testkit::origin::{Origin, Outcome, Script};
use fprs_testkit::{Pattern, until};
use http::{HeaderMap, HeaderValue, Method};

use crate::scene::{DEADLINE, Scene, host, mirror, request};

async fn world(script: impl Fn(&str) -> Script + Send + Sync + 'static, mirror: Mirror) -> World {
    let prod = Origin::by_path();
    let shadow = Origin::with(move |request| script(&request.target));
    let scene = Scene::start(prod.address()).await;
    scene.mirror(mirror, Some(shadow.address())).await;
    World {
        scene,
        prod,
        shadow,
    }
}

struct World {
    scene: Scene,
    prod: Origin,
    shadow: Origin,
}

#[tokio::test]
async fn a_shadow_gets_head_and_body_without_credentials_and_its_answer_goes_nowhere() {
    let world = world(|_| Script::text("of the shadow"), mirror()).await;
    let client = world.scene.client().await;
    let fields = [
        ("authorization", "Bearer planted.secret"),
        ("cookie", "session=planted-secret"),
        ("proxy-authorization", "Basic planted-secret"),
        ("fprs-secret", "planted-secret"),
        ("x-api-key", "planted-secret"),
        ("x-user", "u1"),
        ("x-request-id", "r1"),
        ("x-fprs-mirror", "forged"),
    ];
    let mut stream = client
        .open(request(Method::POST, "/echo", &fields), false)
        .await
        .unwrap();
    let body = Pattern::bytes(100_000);
    stream.sender.send(body.clone()).await.unwrap();
    stream.sender.finish().unwrap();
    let answer = stream.response().await.unwrap();
    assert_eq!((answer.status, answer.body), (200, body));
    world.scene.settled().await;
    assert_eq!(world.scene.ended("complete"), 1);
    let copies = world.shadow.record().exchanges();
    let [copy] = &copies[..] else {
        panic!("one copy: {copies:?}");
    };
    assert_eq!(
        (copy.request.method.as_str(), copy.taken),
        ("POST", 100_000)
    );
    let head = &copy.request.head;
    assert!(!head.contains("planted"), "{head}");
    for line in [
        "x-user: u1",
        "x-request-id: r1",
        "x-fprs-mirror: m",
        "x-fprs-replica: shadow-0",
    ] {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
    let primary = world.prod.record().exchanges();
    let primary = &primary.last().unwrap().request;
    assert_eq!(primary.target, copy.request.target);
    assert!(!primary.head.contains("x-fprs-mirror"), "{}", primary.head);
    assert!(
        primary.head.contains("session=planted-secret"),
        "a public program has its cookies"
    );
}

#[tokio::test]
async fn trailers_and_streams_that_answer_as_they_are_asked_are_copied() {
    let world = world(Script::by_path, mirror()).await;
    let client = world.scene.client().await;
    let mut stream = client
        .open(request(Method::POST, "/echo", &[]), false)
        .await
        .unwrap();
    for turn in 0..5 {
        let word = Bytes::from(format!("word {turn}"));
        stream.sender.send(word.clone()).await.unwrap();
        if turn == 0 {
            assert_eq!(stream.receiver.head().await.unwrap().status, 200);
        }
        assert_eq!(stream.receiver.piece().await.unwrap(), Some(word));
    }
    until("the copy to have come so far", DEADLINE, async || {
        let copies = world.shadow.record().exchanges();
        copies.iter().any(|copy| copy.taken == 30).then_some(())
    })
    .await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static("done"));
    stream.sender.finish_with(trailers).unwrap();
    assert_eq!(stream.receiver.piece().await.unwrap(), None);
    world.scene.settled().await;
    assert_eq!(world.scene.ended("complete"), 1);
}

#[tokio::test]
async fn who_is_copied_stays_copied_through_edits_of_the_mirror() {
    let of = |basis_points| Mirror {
        basis_points,
        key: MirrorKey::Header("x-user".to_owned()),
        ..mirror()
    };
    let world = world(|_| Script::text(""), of(3_000)).await;
    let client = world.scene.client().await;
    let mut rounds = Vec::new();
    for mirror in [of(3_000), of(3_000), of(10_000), of(3_000)] {
        world
            .scene
            .mirror(mirror, Some(world.shadow.address()))
            .await;
        let before = world.shadow.record().exchanges().len();
        for user in 0..60 {
            let user = user.to_string();
            let request = request(Method::GET, "/", &[("x-user", &user)]);
            let stream = client.open(request, true).await.unwrap();
            assert_eq!(stream.response().await.unwrap().status, 200);
        }
        world.scene.settled().await;
        let copies = world.shadow.record().exchanges();
        let mut users: Vec<String> = copies[before..]
            .iter()
            .filter_map(|copy| {
                let user = copy
                    .request
                    .head
                    .lines()
                    .find_map(|line| line.strip_prefix("x-user: "));
                user.map(str::to_owned)
            })
            .collect();
        users.sort_unstable();
        rounds.push(users);
    }
    assert_eq!(rounds[0], rounds[1]);
    assert_eq!(rounds[0], rounds[3]);
    assert_eq!(rounds[2].len(), 60);
    let expected = (0..60).map(|user| user.to_string());
    let expected = expected
        .filter(|user| of(3_000).takes(user.as_bytes()))
        .count();
    assert_eq!(rounds[0].len(), expected);
}

/// Requests of which most are answered within 10 ms, whatever else this machine does.
const PROMPT: usize = 50;

#[tokio::test]
async fn a_copy_leaves_with_the_answer_unless_that_takes_long() {
    let world = world(|_| Script::text(""), mirror()).await;
    let client = world.scene.client().await;
    let after_the_answer = || {
        // What was asked before there was a mirror has no copy.
        let answered = world.prod.record().exchanges().into_iter().rev();
        let copies = world.shadow.record().exchanges().into_iter().rev();
        let both = copies.zip(answered);
        both.filter(|(copy, answered)| copy.began_us >= answered.ended.unwrap().1)
            .count()
    };
    for number in 1..=PROMPT {
        let answer = client.get(&host(), "/sleep?ms=2").await.unwrap();
        assert_eq!(answer.status, 200);
        until("its copy", DEADLINE, async || {
            (world.shadow.record().exchanges().len() == number).then_some(())
        })
        .await;
    }
    let prompt = after_the_answer();
    assert!(prompt > PROMPT / 2, "{prompt} of {PROMPT}");
    let answer = client.get(&host(), "/sleep?ms=2000").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(world.shadow.record().exchanges().len(), PROMPT + 1);
    assert_eq!(after_the_answer(), prompt);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_copy_with_it_and_an_early_answer_cuts_it() {
    let world = world(|_| Script::by_path("/never"), mirror()).await;
    let client = world.scene.client().await;
    let stream = client
        .open(request(Method::GET, "/hang", &[]), true)
        .await
        .unwrap();
    until("the copy", DEADLINE, async || {
        (world.shadow.record().in_flight() == 1).then_some(())
    })
    .await;
    drop(stream);
    world.scene.settled().await;
    assert_eq!(world.scene.ended("client_left"), 1);
    let mut stream = client
        .open(request(Method::POST, "/early?ms=500", &[]), false)
        .await
        .unwrap();
    stream
        .sender
        .send(Bytes::from_static(b"some of it"))
        .await
        .unwrap();
    until(
        "the copy that left before the answer",
        DEADLINE,
        async || (world.shadow.record().in_flight() == 1).then_some(()),
    )
    .await;
    assert_eq!(stream.receiver.response().await.unwrap().status, 413);
    world.scene.settled().await;
    assert_eq!(world.scene.ended("answered_early"), 1);
    until("the shadow to be told", DEADLINE, async || {
        (world.shadow.record().ended(Outcome::Aborted) == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_websocket_and_what_has_no_key_are_not_copied_but_counted() {
    let keyed = Mirror {
        key: MirrorKey::Header("x-user".to_owned()),
        ..mirror()
    };
    let world = world(|_| Script::text(""), keyed).await;
    let client = world.scene.client().await;
    assert_eq!(client.get(&host(), "/").await.unwrap().status, 200);
    let before = world.scene.ended("no_key");
    assert!(before >= 1, "{before}");
    let mut socket = H1::connect(world.scene.listen).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {}\r\nx-user: u\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host()
    );
    socket.writer.send(request).await.unwrap();
    until("it to be counted", DEADLINE, async || {
        (world.scene.ended("websocket") == 1).then_some(())
    })
    .await;
    drop(socket);
    world.scene.settled().await;
    assert_eq!(world.shadow.record().exchanges().len(), 0);
    let report = world.scene.report("m").unwrap();
    let told = &report["not_copied"]["websockets"];
    assert_eq!(
        (&told["count"], told["reason"].as_str().is_some()),
        (&1.into(), true)
    );
}

#[tokio::test]
async fn a_paused_mirror_and_another_tenants_shadow_get_nothing() {
    let world = world(|_| Script::text(""), mirror()).await;
    let client = world.scene.client().await;
    let paused = Mirror {
        paused: true,
        ..mirror()
    };
    world
        .scene
        .mirror(paused, Some(world.shadow.address()))
        .await;
    assert_eq!(client.get(&host(), "/").await.unwrap().status, 200);
    let moved = fprs_config::Server {
        tenant: "other".into(),
        ..fprs_config::samples::server("shadow")
    };
    world
        .scene
        .mirror(mirror(), Some(world.shadow.address()))
        .await;
    world
        .scene
        .commit(vec![fprs_config::Record::Server(moved).change()])
        .await;
    assert_eq!(client.get(&host(), "/").await.unwrap().status, 200);
    world.scene.settled().await;
    assert_eq!(world.shadow.record().exchanges().len(), 0);
    assert_eq!(world.scene.ended("no_replica"), 1);
}

#[tokio::test]
async fn no_more_copies_are_in_flight_than_may_be_and_none_longer() {
    let limited = Mirror {
        copies: 3,
        deadline: Duration::from_millis(500),
        ..mirror()
    };
    let world = world(|_| Script::by_path("/never"), limited).await;
    let client = world.scene.client().await;
    for _ in 0..10 {
        assert_eq!(client.get(&host(), "/").await.unwrap().status, 200);
    }
    world.scene.settled().await;
    let ended = ["busy", "deadline"].map(|how| world.scene.ended(how));
    assert_eq!(ended.iter().sum::<u64>(), 10);
    assert!(ended[0] >= 1 && ended[1] >= 3, "{ended:?}");
}
