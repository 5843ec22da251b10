//! A proxy of one core between a client and relays that refuse.

mod callers;
mod limits;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fprs_config::{Record, ReplicaState, samples};
use fprs_forward::Shards;
use fprs_testkit::client::H2;
use fprs_testkit::eventually;
use h2::server::SendResponse;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::proxy::testing::{World, ZONE, server};

/// What a relay does with a request.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Answers that it didn't send it to its program.
    Answers(Reason),
    /// Answers that it gave it up, when its program had it already.
    GivesUp(Reason),
    /// Sends the request's body back, with this status.
    Echoes(StatusCode),
    /// Ends the connection in good order, as if it hadn't seen the stream.
    GoesAway,
    /// Refuses the stream.
    Resets,
}

/// A relay that does so with every request, and counts them.
struct Relay {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Relay {
    async fn start(does: Does) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, does, Arc::clone(&counted)));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn connection(stream: TcpStream, does: Does, requests: Arc<AtomicUsize>) {
    if matches!(does, Does::GoesAway) {
        return go_away(stream, requests).await;
    }
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        requests.fetch_add(1, Ordering::Relaxed);
        assert!(request.headers().contains_key(fields::REPLICA));
        tokio::spawn(respond_as(does, request, respond));
    }
}

/// Answers the first stream's head with a GOAWAY that says that no stream was looked at.
async fn go_away(mut stream: TcpStream, requests: Arc<AtomicUsize>) {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    stream.write_all(&SETTINGS).await.unwrap();
    stream.read_exact(&mut [0; PREFACE]).await.unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        if head[3] == HEADERS {
            requests.fetch_add(1, Ordering::Relaxed);
            stream.write_all(&GOAWAY).await.unwrap();
        }
    }
}

async fn respond_as(
    does: Does,
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let mut response = Response::new(());
    match does {
        Does::Answers(reason) | Does::GivesUp(reason) => {
            if matches!(does, Does::GivesUp(_)) {
                response.headers_mut().insert(fields::IN_FLIGHT, 1.into());
            }
            *response.status_mut() = reason.status();
            let reason = HeaderValue::from_static(reason.name());
            response.headers_mut().insert(fields::REASON, reason);
            respond.send_response(response, true).unwrap();
        }
        Does::Echoes(status) => {
            *response.status_mut() = status;
            response.headers_mut().insert(fields::IN_FLIGHT, 1.into());
            let mut stream = respond.send_response(response, false).unwrap();
            let mut body = request.into_body();
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                stream.send_data(data, false).unwrap();
            }
            stream.send_data(Bytes::new(), true).unwrap();
        }
        Does::GoesAway | Does::Resets => respond.send_reset(h2::Reason::REFUSED_STREAM),
    }
}

/// A proxy whose server `s` has a replica at each relay.
struct Scene {
    client: H2,
    tables: Arc<Tables>,
    _shards: Shards<Proxy>,
}

impl Scene {
    async fn with(relays: &[&Relay]) -> Self {
        let mut changes = vec![server("s")];
        for (number, relay) in relays.iter().enumerate() {
            let id = format!("r{number}");
            changes.push(
                Record::Replica(fprs_config::Replica {
                    address: Some(relay.address),
                    ..samples::replica(&id, "s", ReplicaState::Ready)
                })
                .change(),
            );
        }
        Self::of(changes, &[]).await
    }

    /// With those records, believing those edges.
    async fn of(changes: Vec<fprs_config::Change>, edges: &[&str]) -> Self {
        let mut world = World::new();
        world.commit(changes);
        Self::at(&world, edges).await
    }

    /// With what is in that world, and what will be.
    async fn at(world: &World, edges: &[&str]) -> Self {
        let edges: Vec<IpNet> = edges.iter().map(|edge| edge.parse().unwrap()).collect();
        let settings = Settings {
            tables: Arc::clone(&world.tables),
            edges: edges.into(),
            leaving: Arc::default(),
            budget: Budget::new(usize::MAX),
            overload: Arc::default(),
            access_log: None,
            traces: None,
            usage: Usage::default(),
        };
        let shards = Shards::start("test", 1, move |_| Proxy::new(&settings, Arc::default()));
        let shards = shards.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        shards.listen(listener).unwrap();
        Self {
            client: H2::connect(address).await.unwrap(),
            tables: Arc::clone(&world.tables),
            _shards: shards,
        }
    }

    async fn send(&self, method: Method, body: &'static [u8]) -> fprs_testkit::client::Response {
        let host = format!("s.{ZONE}");
        if method == Method::GET {
            self.client.get(&host, "/").await.unwrap()
        } else {
            let body = Bytes::from_static(body);
            self.client.post(&host, "/", body).await.unwrap()
        }
    }

    /// Nothing is in flight any more.
    async fn settled(self) {
        let route = self.tables.load().route("s").unwrap();
        eventually("nothing in flight", Duration::from_secs(5), || {
            let in_flight = |replica: &Arc<Replica>| replica.in_flight();
            route.ready.iter().map(in_flight).sum::<u32>() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_that_a_relay_refuses_is_answered_by_another_replica() {
    let refusals = [
        Does::Answers(Reason::Draining),
        Does::Answers(Reason::NoReplica),
        Does::Answers(Reason::UpstreamConnect),
        Does::Resets,
        Does::GoesAway,
    ];
    for refusal in refusals {
        let refuses = Relay::start(refusal).await;
        let serves = Relay::start(Does::Echoes(StatusCode::OK)).await;
        // Any of the two may be chosen first.
        for _ in 0..100 {
            let scene = Scene::with(&[&refuses, &serves]).await;
            let got = scene.send(Method::GET, b"").await;
            assert_eq!((got.status, &*got.body), (200, &b""[..]), "{refusal:?}");
            let got = scene.send(Method::POST, b"a body").await;
            assert_eq!(
                (got.status, &*got.body),
                (200, &b"a body"[..]),
                "{refusal:?}"
            );
            scene.settled().await;
            if refuses.requests() > 3 {
                break;
            }
        }
        assert!(refuses.requests() > 0, "{refusal:?} was never asked");
    }
}

#[tokio::test]
async fn a_request_is_offered_to_three_replicas_and_no_more() {
    let mut relays = Vec::new();
    for _ in 0..5 {
        relays.push(Relay::start(Does::Answers(Reason::Draining)).await);
    }
    let scene = Scene::with(&relays.iter().collect::<Vec<_>>()).await;
    let answer = scene.send(Method::POST, b"a body").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-fprs-reason"), Some("draining"));
    let asked: Vec<usize> = relays.iter().map(Relay::requests).collect();
    assert_eq!(asked.iter().sum::<usize>(), 3, "{asked:?}");
    assert!(
        asked.iter().all(|times| *times <= 1),
        "none twice: {asked:?}"
    );
    scene.settled().await;
}

#[tokio::test]
async fn what_a_program_answers_is_never_asked_for_twice() {
    let fails = Relay::start(Does::Echoes(StatusCode::SERVICE_UNAVAILABLE)).await;
    let other = Relay::start(Does::Echoes(StatusCode::SERVICE_UNAVAILABLE)).await;
    let scene = Scene::with(&[&fails, &other]).await;
    let answer = scene.send(Method::POST, b"a body").await;
    assert_eq!((answer.status, &*answer.body), (503, &b"a body"[..]));
    assert_eq!(answer.header("x-fprs-in-flight"), None);
    assert_eq!(fails.requests() + other.requests(), 1);
    scene.settled().await;
}

#[tokio::test]
async fn what_a_relay_gave_up_when_its_program_had_it_is_offered_to_nobody_else() {
    let gives_up = Relay::start(Does::GivesUp(Reason::Overloaded)).await;
    let other = Relay::start(Does::GivesUp(Reason::Overloaded)).await;
    let scene = Scene::with(&[&gives_up, &other]).await;
    let answer = scene.send(Method::POST, b"a body").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-fprs-reason"), Some("overloaded"));
    assert_eq!(answer.header("x-fprs-in-flight"), None);
    assert_eq!(gives_up.requests() + other.requests(), 1);
    scene.settled().await;
}

#[tokio::test]
async fn a_replica_that_can_not_be_reached_is_passed_over_and_left_alone_for_a_moment() {
    let serves = Relay::start(Does::Echoes(StatusCode::OK)).await;
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Relay {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
        }
    };
    let scene = Scene::with(&[&closed, &serves]).await;
    for _ in 0..20 {
        assert_eq!(scene.send(Method::POST, b"a body").await.status, 200);
    }
    scene.settled().await;
}

#[tokio::test]
async fn a_replica_that_comes_while_another_can_not_be_reached_takes_the_request() {
    let serves = Relay::start(Does::Echoes(StatusCode::OK)).await;
    // Accepts, by its system, and never says a word.
    let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::new();
    let replica = |id: &str, address| {
        let replica = fprs_config::Replica {
            address: Some(address),
            ..samples::replica(id, "s", ReplicaState::Ready)
        };
        Record::Replica(replica).change()
    };
    world.commit(vec![
        server("s"),
        replica("r0", stuck.local_addr().unwrap()),
    ]);
    let scene = Scene::at(&world, &[]).await;
    let request = scene.send(Method::POST, b"a body");
    let mut request = std::pin::pin!(request);
    let route = scene.tables.load().route("s").unwrap();
    let chosen = eventually("the request to wait for it", Duration::from_secs(5), || {
        route.ready.iter().any(|replica| replica.in_flight() == 1)
    });
    tokio::select! {
        () = chosen => {}
        answer = &mut request => panic!("{answer:?}"),
    }
    world.commit(vec![replica("r1", serves.address)]);
    assert_eq!(request.await.status, 200);
}
