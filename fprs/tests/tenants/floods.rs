//! A tenant that asks for ten times what it may have, in every way there is: it is told so, and its
//! neighbour on the same core goes on as if it were alone.

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fprs_config::{Limits, Tenant};
use fprs_testkit::client::{H2, H2Stream, get};
use fprs_testkit::{Origin, until};
use h2::client::Builder;

use crate::load::{Counts, Load, Pace, Plan};
use crate::neighbour::Neighbour;
use crate::origin;
use crate::scene::{DEADLINE, Scene, host, tenant};

const FLOOD: &str = "flood";

/// Of its rate, how much it asks for.
const TIMES: u32 = 10;

async fn refused(scene: &Scene, limit: &str) -> f64 {
    let labels = [("tenant", FLOOD), ("limit", limit)];
    until("refusals", DEADLINE, async || {
        let refused = scene.metric("fprs_tenant_refused_total", &labels);
        (refused > 0.0).then_some(refused)
    })
    .await
}

/// Floods at ten times a rate until the neighbour has been measured; what came of it.
async fn flood_at(rate: u32, fields: Vec<(&'static str, String)>, what: &str) {
    let scene = Scene::start();
    let neighbour = Neighbour::of(&scene).await;
    let limits = Limits {
        requests_per_second: Some(rate),
        burst: Some(1),
        ..Limits::default()
    };
    scene
        .tenant(tenant(FLOOD, limits), &[origin::start()])
        .await;
    scene.answers(FLOOD).await;
    let pace = Pace::PerSecond((rate * TIMES) as usize);
    let plan = Plan {
        fields,
        ..Plan::new(host(FLOOD), pace)
    };
    let begun = std::time::Instant::now();
    let load = Load::start(scene.listen, vec![plan]);
    refused(&scene, "requests_per_second").await;
    neighbour.notices_nothing_of(what).await;
    let counts = &load.counts[0];
    let seconds = begun.elapsed().as_secs_f64();
    let count = |of: fn(&Counts) -> u64| of(counts) as f64;
    let ok = count(|counts| counts.ok.load(Ordering::Relaxed));
    let refused = count(|counts| counts.refused.load(Ordering::Relaxed));
    load.stop();
    println!("{what}: {ok} carried and {refused} refused in {seconds:.1} s");
    assert!(ok <= f64::from(rate) * seconds + 1.0, "{ok} in {seconds} s");
    assert!(
        ok + 1.0 >= f64::from(rate) * seconds * 0.5,
        "{ok} in {seconds} s"
    );
    assert!(refused > 4.0 * ok);
}

#[tokio::test]
async fn many_small_requests_are_refused_and_nobody_else_notices() {
    flood_at(40, Vec::new(), "400 requests a second").await;
}

#[tokio::test]
async fn huge_heads_are_refused_and_nobody_else_notices() {
    let fields = (0..8).map(|_| ("x-huge", "h".repeat(4_000))).collect();
    flood_at(5, fields, "50 heads of 32 KB a second").await;
}

/// On the very connection that the neighbour's requests come on, as an edge's do.
#[tokio::test]
async fn streams_beyond_a_tenants_limit_leave_the_connection_to_others() {
    const STREAMS: u32 = 20;
    let scene = Scene::start();
    let neighbour = Neighbour::of(&scene).await;
    let limits = Limits {
        streams_per_connection: Some(STREAMS),
        ..Limits::default()
    };
    let origin = Origin::by_path();
    scene
        .tenant(tenant(FLOOD, limits), &[origin.address()])
        .await;
    scene.answers(FLOOD).await;
    let client = neighbour.client();
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..STREAMS * TIMES {
        let request = get(&host(FLOOD), "/sse?n=1000000&ms=1000");
        let mut stream = client.open(request, true).await.unwrap();
        match stream.receiver.head().await.unwrap().status {
            200 => open.push(stream),
            429 => refused += 1,
            status => panic!("{status}"),
        }
    }
    assert_eq!(
        (u32::try_from(open.len()).unwrap(), refused),
        (STREAMS, STREAMS * (TIMES - 1))
    );
    neighbour
        .notices_nothing_of("streams on its connection")
        .await;
    drop(open);
}

/// Each response holds what its windows take; the account is looked through ten times a second.
#[tokio::test]
async fn readers_that_stall_are_held_to_their_tenants_bytes() {
    const LIMIT: u64 = 1 << 20;
    let scene = Scene::start();
    let neighbour = Neighbour::of(&scene).await;
    let limits = Limits {
        buffered_bytes: Some(LIMIT),
        ..Limits::default()
    };
    let origin = Origin::by_path();
    scene
        .tenant(tenant(FLOOD, limits), &[origin.address()])
        .await;
    scene.answers(FLOOD).await;
    let client = slow_reader(&scene).await;
    let (mut open, mut refused) = (Vec::new(), 0);
    until("a refusal", DEADLINE, async || {
        match stalled(&client).await {
            Some(stream) => open.push(stream),
            None => refused += 1,
        }
        // Each holds a window of 256 KiB: ten times the limit.
        (refused > 0 && open.len() + refused >= 40).then_some(())
    })
    .await;
    neighbour.notices_nothing_of("readers that stall").await;
    let limit = [("tenant", FLOOD), ("limit", "buffered_bytes")];
    assert!(scene.metric("fprs_tenant_refused_total", &limit) >= 1.0);
    drop(open);
    // It is held to nothing once it holds nothing.
    scene.answers(FLOOD).await;
}

async fn slow_reader(scene: &Scene) -> H2 {
    let mut builder = Builder::new();
    builder.initial_window_size(1_024);
    H2::connect_with(scene.listen, &builder).await.unwrap()
}

/// A response that is not read; `None`: it was refused.
async fn stalled(client: &H2) -> Option<H2Stream> {
    let request = get(&host(FLOOD), "/bytes/10000000");
    let mut stream = client.open(request, true).await.unwrap();
    match stream.receiver.head().await.ok()?.status {
        200 => Some(stream),
        429 | 503 => None,
        status => panic!("{status}"),
    }
}

/// Replicas whose machines accept and say nothing: each dial is given up after seconds.
#[tokio::test]
async fn dials_to_cold_replicas_wait_for_their_turn() {
    const DIALS: u32 = 3;
    let scene = Scene::start();
    let neighbour = Neighbour::of(&scene).await;
    let limits = Limits {
        dials: Some(DIALS),
        concurrent_exchanges: Some(50),
        ..Limits::default()
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let replicas = vec![silent.local_addr().unwrap(); (DIALS * TIMES) as usize];
    scene.tenant(tenant(FLOOD, limits), &replicas).await;
    let plan = Plan::new(host(FLOOD), Pace::PerSecond(100));
    let load = Load::start(scene.listen, vec![plan]);
    refused(&scene, "concurrent_exchanges").await;
    let dials = || scene.metric("fprs_tenant_dials", &[("tenant", FLOOD)]);
    until("all dials it may make", DEADLINE, async || {
        (dials() >= f64::from(DIALS)).then_some(())
    })
    .await;
    neighbour.notices_nothing_of("dials to cold replicas").await;
    assert!(dials() <= f64::from(DIALS));
    let waited = scene.metric("fprs_tenant_dials_waited_total", &[("tenant", FLOOD)]);
    println!("{waited} dials waited");
    assert!(waited >= f64::from(DIALS));
    load.stop();
}

#[tokio::test]
async fn a_limit_is_in_force_as_soon_as_its_record_is() {
    let scene = Scene::start();
    scene.tenant(Tenant::new(FLOOD), &[origin::start()]).await;
    let client = scene.answers(FLOOD).await;
    let rate = Limits {
        requests_per_second: Some(1),
        burst: Some(1),
        ..Limits::default()
    };
    scene.tenant(tenant(FLOOD, rate), &[]).await;
    let refused = until("a refusal", DEADLINE, async || {
        let response = client.get(&host(FLOOD), "/").await.unwrap();
        (response.status == 429).then_some(response)
    })
    .await;
    let field = |name| refused.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(field("x-fprs-reason"), "tenant_limit");
    assert_eq!(field("retry-after"), "1");
    scene.tenant(Tenant::new(FLOOD), &[]).await;
    let many = async || {
        for _ in 0..10 {
            let response = client.get(&host(FLOOD), "/").await.unwrap();
            (response.status == 200).then_some(())?;
        }
        Some(())
    };
    until("no limit", DEADLINE, many).await;
}

/// A server without replicas: whoever is refused wakes none.
#[tokio::test]
async fn what_is_refused_starts_nothing() {
    let scene = Scene::start();
    let rate = Limits {
        requests_per_second: Some(1),
        burst: Some(1),
        ..Limits::default()
    };
    scene.tenant(tenant(FLOOD, rate), &[]).await;
    let client = H2::connect(scene.listen).await.unwrap();
    let begun = std::time::Instant::now();
    let (mut told, mut refused) = (0, 0);
    while begun.elapsed() < Duration::from_secs(1) {
        let response = client.get(&host(FLOOD), "/").await.unwrap();
        match response.status {
            429 => refused += 1,
            503 => told += 1,
            status => panic!("{status}"),
        }
    }
    assert!(told <= 3 && refused > 10, "{told} and {refused}");
    for gauge in [
        "fprs_proxy_exchanges_in_flight",
        "fprs_tenant_exchanges_in_flight",
    ] {
        let in_flight = scene.metric(gauge, &[]);
        assert!(in_flight < 1.0, "{gauge}: {in_flight}");
    }
}
