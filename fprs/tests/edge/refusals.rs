//! Promise: a proxy that is full refuses streams of an edge, which may offer them to another, before
//! anything of them went anywhere.

use fprs_testkit::client::{ClientError, H1, H2, H2Stream, get};
use fprs_testkit::plane::Settings;
use fprs_testkit::{Plane, program, until};
use h2::Reason;
use h2::client::Builder;

use crate::listeners::Site;
use crate::plane::WEB;
use crate::{FPRS, SOON};

/// Streams that are not read; a few of them fill 2 MiB.
const STREAMS: usize = 300;

#[tokio::test]
async fn a_full_proxy_refuses_the_streams_of_an_edge_and_tells_everybody_else() {
    for (trusted, refused) in [("127.0.0.1", true), ("10.0.0.1", false)] {
        let plane = small(trusted).await;
        let client = stalling(&plane).await;
        let refusal = ClientError::StreamReset(Reason::REFUSED_STREAM);
        // Also an edge is told of what had been sent on, which nobody may repeat.
        let told = ClientError::Malformed("overloaded".to_owned());
        let expected = if refused { &refusal } else { &told };
        let (mut held, mut answers) = (Vec::new(), Vec::new());
        while held.len() + answers.len() < STREAMS && !answers.contains(expected) {
            match stall(&client, &plane).await {
                Ok(stream) => held.push(stream),
                Err(answer) => answers.push(answer),
            }
        }
        assert!(answers.contains(expected), "{trusted}: {answers:?}");
        assert!(refused || !answers.contains(&refusal), "{answers:?}");
        assert!(client.is_open());
    }
}

#[tokio::test]
async fn what_a_full_proxy_refuses_another_one_answers() {
    let full = small("127.0.0.1").await;
    let fleet = |roomy| format!("fixed = [\"{roomy}\", \"{}\"]", full.listen());
    let Some(site) = Site::with("", fleet).await else {
        return;
    };
    let tunnel = site.trust("ca.pem").tunnel(WEB).await;
    let client = H2::connect(tunnel.address()).await.unwrap();
    let offender = stalling(&full).await;
    let mut held = Vec::new();
    until("a request that was refused is answered", SOON, async || {
        // Some of its streams are ended each time it is full.
        if let Ok(stream) = stall(&offender, &full).await {
            held.push(stream);
        }
        for _ in 0..4 {
            let answer = client.get(WEB, "/").await.unwrap();
            // Its relay has as little room; whatever that one refuses, everybody is told.
            let told = answer.header("x-fprs-reason") == Some("overloaded");
            assert!(answer.status == 200 || told, "{answer:?}");
        }
        (retried(&site).await > 0).then_some(())
    })
    .await;
}

/// Requests that the edge offered again, and that were answered then.
async fn retried(site: &Site) -> u64 {
    let mut probe = H1::connect(site.probe).await.unwrap();
    let stats = probe.get("probe", "/stats/prometheus").await.unwrap();
    let name = "envoy_cluster_upstream_rq_retry_success{envoy_cluster_name=\"fprs\"} ";
    let text = stats.text();
    let count = text.lines().find_map(|line| line.strip_prefix(name));
    count.expect("the edge counts them").parse().unwrap()
}

/// A plane with room for little, and a server.
async fn small(trusted: &str) -> Plane {
    let settings = Settings::new(FPRS).arg("--buffer-limit").arg("2MiB");
    let plane = settings.arg("--trusted-edges").arg(trusted).start().await;
    let manifest = program::manifest("web", "min_replicas = 1", &[]);
    plane.deploy(&manifest).await;
    until("a ready replica", SOON, async || {
        (plane.replicas_in("web", "ready").await > 0).then_some(())
    })
    .await;
    plane
}

/// A client whose streams stall after 64 KiB, and its connection never.
async fn stalling(plane: &Plane) -> H2 {
    let mut builder = Builder::new();
    builder
        .initial_window_size(64 * 1024)
        .initial_connection_window_size(64 << 20);
    let connected = H2::connect_with(plane.listen(), &builder).await;
    connected.unwrap()
}

/// Asks for more than is ever read; how it was refused otherwise.
async fn stall(client: &H2, plane: &Plane) -> Result<H2Stream, ClientError> {
    let request = get(&plane.host("web"), "/bytes/1073741824");
    let mut stream = client.open(request, true).await?;
    let head = stream.receiver.head().await?;
    match head.header("x-fprs-reason") {
        Some(reason) => Err(ClientError::Malformed(reason.to_owned())),
        None => Ok(stream),
    }
}
