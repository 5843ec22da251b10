//! Promise: gRPC is prompt. A cancelled call ends at the program within 100 ms, and a reader that
//! lags holds up nobody longer than it lags. What is measured here is alone on the machine; a
//! measurement that the machine disturbed is taken again, at most [`TRIES`] times in all.

mod ping_pong;

use std::time::{Duration, SystemTime};

use fprs_testkit::until;
use tonic::Request;

use crate::client::{Client, soak};
use crate::echo::Echo;
use crate::grpc::H2;
use crate::install;
use crate::stage::{Stage, here, same};

/// From a cancelled call to the program seeing it.
const AT_ONCE: Duration = Duration::from_millis(100);

const TRIES: u32 = 3;

#[tokio::test]
async fn a_call_that_any_grpc_client_cancels_ends_at_the_program_within_100_ms() {
    let (Some(python), Some(modules)) = (install::python(), install::node_modules()) else {
        return;
    };
    let stage = Stage::set(&python, &here("grpc_program.py"), H2).await;
    let scripts = [
        Some(Client::python(&python, "grpcio_cancel.py")),
        Some(Client::node(&modules, "grpc_js_cancel.js")),
        None,
    ];
    for (client, script) in ["grpcio", "grpc-js", "tonic"].iter().zip(scripts) {
        let mut took = f64::MAX;
        for attempt in 0..TRIES {
            let name = format!("{client}-{attempt}");
            let cancelled = match &script {
                Some(script) => said_when(&stage, &script.clone().arg(&name)).await,
                None => cancel(&stage, &name).await,
            };
            let what = "the program notes the end of the call";
            let gone = until(what, Duration::from_secs(5), async || {
                stage.seen.when(&format!("gone-{name}"))
            });
            took = gone.await - cancelled;
            println!("{client}: seen after {took:.4} s");
            if took < AT_ONCE.as_secs_f64() {
                break;
            }
        }
        assert!(took < AT_ONCE.as_secs_f64(), "{client}: {took} s");
    }
    stage.end().await;
}

#[tokio::test]
async fn pings_both_ways_at_once_keep_their_order_and_wait_no_longer_than_the_reader_lags() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("grpc_program.py"), H2).await;
    let count = if soak() { 10_000 } else { 1_000 };
    let authority = stage.authority();
    let direct = ping_pong::play(stage.direct(), &authority, count).await;
    println!("without fprs: {direct}");
    let mut tries = 1;
    let played = loop {
        let played = ping_pong::play(stage.plane.listen(), &authority, count).await;
        println!("with fprs: {played}");
        // Whatever it waits, what it sees is right each time.
        same(direct.seen.as_bytes(), played.seen.as_bytes());
        if played.longest() <= ping_pong::LONGEST_LAG || tries == TRIES {
            break played;
        }
        tries += 1;
    };
    assert!(played.longest() <= ping_pong::LONGEST_LAG, "{played}");
    stage.end().await;
}

/// When a client that is a program says that it cancelled.
async fn said_when(stage: &Stage, client: &Client) -> f64 {
    let said = String::from_utf8(stage.run(client).await).unwrap();
    said.trim().parse().unwrap()
}

/// Cancels a call with tonic; when.
async fn cancel(stage: &Stage, name: &str) -> f64 {
    let mut echo = Echo::connect(stage.plane.listen(), &stage.authority()).await;
    let request = || Request::new(name.to_owned().into());
    let mut call = echo.server_streaming("Hang", request()).await.unwrap();
    call.get_mut().message().await.unwrap().unwrap();
    let now = SystemTime::now();
    drop(call);
    // The connection stays: only the call ends.
    echo.unary("Gone", request()).await.unwrap();
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}
