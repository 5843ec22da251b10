//! Promise: every kind of gRPC call ends as it would without fprs, and what fprs answers itself is a
//! gRPC status with its reason.

mod tonic_client;

use bytes::Bytes;
use fprs_testkit::Plane;
use tonic::Request;

use crate::client::Client;
use crate::echo::Echo;
use crate::install;
use crate::stage::{SERVER, Stage, here, same};

/// The program speaks h2c.
pub(crate) const H2: &str = "h2 = true";

#[tokio::test]
async fn grpcio_makes_every_kind_of_call_with_metadata_errors_and_deadlines() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("grpc_program.py"), H2).await;
    stage
        .compare(&Client::python(&python, "grpcio_client.py"))
        .await;
    stage.end().await;
}

#[tokio::test]
async fn grpc_js_makes_every_kind_of_call_with_metadata_errors_and_deadlines() {
    let (Some(python), Some(modules)) = (install::python(), install::node_modules()) else {
        return;
    };
    let stage = Stage::set(&python, &here("grpc_program.py"), H2).await;
    stage
        .compare(&Client::node(&modules, "grpc_js_client.js"))
        .await;
    stage.end().await;
}

#[tokio::test]
async fn tonic_makes_every_kind_of_call_with_metadata_errors_and_deadlines() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("grpc_program.py"), H2).await;
    let authority = stage.authority();
    let direct = tonic_client::talk(stage.direct(), &authority).await;
    let through = tonic_client::talk(stage.plane.listen(), &authority).await;
    same(direct.as_bytes(), through.as_bytes());
    stage.end().await;
}

#[tokio::test]
async fn every_grpc_client_is_told_unavailable_with_the_reason() {
    let (Some(python), Some(modules)) = (install::python(), install::node_modules()) else {
        return;
    };
    let plane = Plane::start(env!("CARGO_BIN_EXE_fprs")).await;
    plane
        .deploy(&format!(
            "name = \"{SERVER}\"\ncommand = [\"false\"]\nauth = \"public\"\nh2 = true\n"
        ))
        .await;
    for client in [
        Client::python(&python, "grpcio_unavailable.py"),
        Client::node(&modules, "grpc_js_unavailable.js"),
    ] {
        let said = client.run(plane.listen(), &plane.host(SERVER)).await;
        told_unavailable(&String::from_utf8(said).unwrap());
    }
    let mut said = String::new();
    for host in [&*plane.host(SERVER), "nobody.region.localhost"] {
        let mut echo = Echo::connect(plane.listen(), host).await;
        let status = echo
            .unary("Unary", Request::new(Bytes::new()))
            .await
            .unwrap_err();
        let reason = status.metadata().get("x-fprs-reason").unwrap();
        let code = format!("{:?}", status.code()).to_uppercase();
        said += &format!("{code} {}\n", reason.to_str().unwrap());
    }
    told_unavailable(&said);
}

/// First of a server whose replica never comes, then of a host that nobody has, which looks like one
/// that asks for credentials.
#[track_caller]
fn told_unavailable(said: &str) {
    let told: Vec<&str> = said.lines().collect();
    let [never, nobody] = told[..] else {
        panic!("{said}");
    };
    let waits = ["UNAVAILABLE no_replica", "UNAVAILABLE starting"];
    assert!(waits.contains(&never), "{said}");
    assert_eq!(nobody, "UNAUTHENTICATED unauthenticated");
}
