//! Promise: on the control API everybody may do what their role says for their tenant, workers may only
//! attach, and every change is in the audit log.

use fprs_testkit::plane::Ran;
use fprs_testkit::{Plane, Role, TempDir, program, until};
use serde_json::Value;

use crate::stage::whole;
use crate::{FPRS, SOON};

async fn token(plane: &Plane, args: &[&str]) -> String {
    let args = [&["token", "create", "--json"], args].concat();
    whole(&plane.run(&args).await.succeeded().json())
}

async fn run_as(plane: &Plane, token: &str, args: &[&str]) -> Ran {
    plane.cli().env("FPRS_ADMIN_TOKEN", token).run(args).await
}

#[tokio::test]
async fn a_deployer_has_its_tenants_servers_and_nobody_elses() {
    let plane = Plane::start(FPRS).await;
    plane
        .run(&["tenant", "create", "acme", "--weight", "3"])
        .await
        .succeeded();
    plane.deploy(&program::manifest("others", "", &[])).await;
    let deployer = token(&plane, &["--role", "deployer", "--tenant", "acme"]).await;
    let cli = plane.cli().env("FPRS_ADMIN_TOKEN", &deployer);
    cli.deploy(&program::protected("own", "", &[]), plane.dir())
        .await
        .succeeded();
    let names = |ran: Ran| -> Vec<String> {
        let servers = ran.succeeded().json();
        let names = servers.as_array().unwrap().iter();
        names
            .map(|server| server["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(run_as(&plane, &deployer, &["servers", "--json"]).await),
        ["own"]
    );
    let own = plane
        .run(&["server", "own", "--json"])
        .await
        .succeeded()
        .json();
    assert_eq!(own["spec"]["tenant"], "acme");
    for args in [
        &["server", "others"][..],
        &["replicas", "others"],
        &["logs", "others"],
        &["delete", "others"],
        &["token", "create", "--tenant", "default"],
        &["token", "create", "--role", "deployer"],
        &["token", "create", "--role", "admin"],
        &["tenant", "create", "mine"],
        &["tenant", "set", "acme", "--weight", "9"],
        &["tenant", "delete", "acme"],
    ] {
        run_as(&plane, &deployer, args).await.refused(1);
    }
    let taken = cli
        .deploy(&program::manifest("others", "", &[]), plane.dir())
        .await;
    assert!(taken.refused(1).stderr.contains("is taken"));
    let moved = program::manifest("own", "tenant = \"default\"", &[]);
    cli.deploy(&moved, plane.dir()).await.refused(1);
    run_as(&plane, &deployer, &["token", "create"])
        .await
        .succeeded();
    let busy = plane.run(&["tenant", "delete", "acme"]).await.refused(1);
    assert!(
        busy.stderr.contains("1 servers, 2 tokens"),
        "{}",
        busy.stderr
    );
    run_as(&plane, &deployer, &["delete", "own"])
        .await
        .succeeded();
    let unknown = plane
        .run(&["token", "create", "--tenant", "nobody"])
        .await
        .refused(1);
    assert!(
        unknown.stderr.contains("no tenant `nobody`"),
        "{}",
        unknown.stderr
    );
}

#[tokio::test]
async fn a_viewer_changes_nothing_and_a_caller_sees_nothing() {
    let plane = Plane::start(FPRS).await;
    plane.deploy(&program::manifest("web", "", &[])).await;
    let viewer = token(&plane, &["--role", "viewer"]).await;
    for args in [
        &["servers"][..],
        &["server", "web"],
        &["token", "list"],
        &["tenant", "list"],
    ] {
        run_as(&plane, &viewer, args).await.succeeded();
    }
    for args in [
        &["delete", "web"][..],
        &["token", "create"],
        &["tenant", "create", "x"],
    ] {
        run_as(&plane, &viewer, args).await.refused(1);
    }
    let caller = token(&plane, &[]).await;
    for credential in [&*caller, "tk-0.wrong", "wrong"] {
        let refused = run_as(&plane, credential, &["servers"]).await.refused(1);
        assert!(
            refused.stderr.contains("missing or wrong"),
            "{}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn a_workers_token_attaches_a_relay_and_does_nothing_else() {
    let plane = Plane::start(FPRS).await;
    let worker = token(&plane, &["--role", "worker"]).await;
    run_as(&plane, &worker, &["servers"]).await.refused(1);
    let workers = async || {
        let mut client = fprs_testkit::client::H1::connect(plane.admin())
            .await
            .unwrap();
        let admin = plane.admin_token();
        let request = format!(
            "GET /v1/workers HTTP/1.1\r\nhost: admin\r\nauthorization: Bearer {admin}\r\n\r\n"
        );
        let answer = client.exchange(request).await.unwrap();
        let workers: Value = serde_json::from_slice(&answer.body).unwrap();
        workers.as_array().unwrap().len()
    };
    assert_eq!(workers().await, 1);
    let data = TempDir::new().unwrap();
    let admin = plane.admin().to_string();
    let args = [
        "--control",
        &admin,
        "--data-dir",
        data.path().to_str().unwrap(),
    ];
    let env = [("FPRS_ADMIN_TOKEN", &*worker)];
    let _relay = Role::start(FPRS, "relay", args, &env).await;
    until("the relay is part of the plane", SOON, async || {
        (workers().await == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_with_who_made_it() {
    let plane = Plane::start(FPRS).await;
    let deployer = token(&plane, &["--role", "deployer", "--tenant", "default"]).await;
    let id = deployer.split_once('.').unwrap().0.to_owned();
    let cli = plane.cli().env("FPRS_ADMIN_TOKEN", &deployer);
    cli.deploy(&program::manifest("web", "", &[]), plane.dir())
        .await
        .succeeded();
    run_as(&plane, &deployer, &["delete", "web"])
        .await
        .succeeded();
    run_as(&plane, &deployer, &["delete", "web"])
        .await
        .refused(1);
    plane.run(&["token", "revoke", &id]).await.succeeded();
    let text = std::fs::read_to_string(plane.data_dir().join("audit.jsonl")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said: Vec<String> = lines
        .iter()
        .map(|line| {
            assert!(line["revision"].as_u64() > Some(0) && line["unix_ms"].as_u64() > Some(0));
            let word = |key: &str| line[key].as_str().unwrap().to_owned();
            format!("{} {} {}", word("who"), word("action"), word("what"))
        })
        .collect();
    let expected = [
        format!("admin create token/{id}"),
        format!("{id} deploy server/web"),
        format!("{id} delete server/web"),
        format!("admin revoke token/{id}"),
    ];
    assert_eq!(said, expected);
}
