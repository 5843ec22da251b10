//! What users ask of a plane and what it answers: lists, logs, domains, and servers given to `up`.

use std::io::Read;
use std::process::{Command, Stdio};

use fprs_testkit::plane::Settings;
use fprs_testkit::{Plane, TempDir, program, until};
use serde_json::Value;

use crate::{FPRS, SOON};

const KEPT: &str = "min_replicas = 1\ndomains = [\"www.example.com\"]";

async fn plane_with_one_replica() -> Plane {
    let plane = Plane::start(FPRS).await;
    plane.deploy(&program::manifest("web", KEPT, &[])).await;
    let ready = async || (plane.replicas_in("web", "ready").await == 1).then_some(());
    until("a replica is ready", SOON, ready).await;
    plane
}

#[tokio::test]
async fn lists_are_tables_for_people_and_json_for_programs() {
    let plane = plane_with_one_replica().await;
    let run = async |args: &[&str]| plane.run(args).await.succeeded();
    let url = format!("http://web.region.localhost:{}/", plane.listen().port());

    let servers = run(&["servers", "--json"]).await.json();
    assert_eq!(servers.as_array().unwrap().len(), 1);
    let server = run(&["server", "web", "--json"]).await.json();
    assert_eq!(servers[0], server);
    assert_eq!(server["name"], "web");
    assert_eq!(server["url"], Value::from(url.clone()));
    assert_eq!(server["domains"][0], "www.example.com");
    assert_eq!(server["generation"], 1);
    assert_eq!(server["replicas"]["ready"], 1);
    assert_eq!(server["spec"]["min_replicas"], 1);

    let replicas = run(&["replicas", "web", "--json"]).await.json();
    let replica = replicas[0].as_object().unwrap();
    for field in ["id", "state", "in_flight", "address"] {
        assert!(replica.contains_key(field), "no {field}: {replica:?}");
    }
    assert_eq!(replica["state"], "ready");
    assert_eq!(replica["in_flight"], 0);

    let table = run(&["servers"]).await.stdout;
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert_eq!((rows[0][0], rows[1][0]), ("NAME", "web"));
    assert_eq!(*rows[1].last().unwrap(), url);
    let shown = run(&["server", "web"]).await.stdout;
    for word in [&url, "www.example.com", "1 ready", "min replicas"] {
        assert!(shown.contains(word), "no {word:?} in {shown}");
    }
    assert!(!shown.contains("problem"), "{shown}");
    let listed = run(&["replicas", "web"]).await.stdout;
    assert!(listed.contains(replica["id"].as_str().unwrap()), "{listed}");
}

#[tokio::test]
async fn a_plane_without_servers_lists_none() {
    let plane = Plane::start(FPRS).await;
    let listed = plane.run(&["servers", "--json"]).await.succeeded();
    assert_eq!(listed.json(), Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_custom_domain_leads_to_its_server_until_it_is_given_up() {
    let plane = plane_with_one_replica().await;
    let mut client = plane.h1().await;
    for host in ["www.example.com", "WWW.Example.COM", "www.example.com:80"] {
        assert_eq!(
            client.get(host, "/").await.unwrap().text(),
            "hello",
            "{host}"
        );
    }
    let unknown = client.get("other.example.com", "/").await.unwrap();
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.header("x-fprs-reason"), Some("unauthenticated"));
    let moved = "min_replicas = 1\ndomains = [\"new.example.com\"]";
    plane.deploy(&program::manifest("web", moved, &[])).await;
    assert_eq!(
        client.get("new.example.com", "/").await.unwrap().status,
        200
    );
    let gone = client.get("www.example.com", "/").await.unwrap();
    assert_eq!(gone.status, 401);
}

#[tokio::test]
async fn logs_are_what_replicas_print_and_can_be_followed() {
    let plane = Plane::start(FPRS).await;
    // One line when it starts, one for every request.
    let command = r#"["python3", "-u", "-m", "http.server", "$PORT", "--bind", "127.0.0.1"]"#;
    let manifest = format!(
        "name = \"web\"\ncommand = {command}\nauth = \"public\"\nmin_replicas = 1\nhold = \"10s\"\n"
    );
    plane.deploy(&manifest).await;
    let mut client = plane.h1().await;
    let host = plane.host("web");
    assert_eq!(client.get(&host, "/?first").await.unwrap().status, 200);
    let logs = until("the request is logged", SOON, async || {
        let logs = plane.run(&["logs", "web"]).await.succeeded().stdout;
        logs.contains("GET /?first").then_some(logs)
    })
    .await;
    assert!(logs.contains("Serving HTTP"), "{logs}");
    let id = plane.replicas("web").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(logs.lines().all(|line| line.starts_with(&id)), "{logs}");
    let one = plane
        .run(&["logs", "web", "-n", "1"])
        .await
        .succeeded()
        .stdout;
    assert_eq!(one.lines().count(), 1);
    assert!(one.contains("GET /?first"), "{one}");

    let mut follow = Command::new(FPRS)
        .args(["logs", "web", "--follow", "-n", "0", "--replica", &id])
        .arg("--data-dir")
        .arg(plane.data_dir())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = follow.stdout.take().unwrap();
    let (lines, printed_lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = printed.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if lines.send(text).is_err() {
                return;
            }
        }
    });
    let mut seen = String::new();
    until("a new request is followed", SOON, async || {
        // Asked again until the follower has attached.
        assert_eq!(client.get(&host, "/?second").await.unwrap().status, 200);
        seen.extend(printed_lines.try_iter());
        seen.contains("GET /?second").then_some(())
    })
    .await;
    assert!(!seen.contains("first"), "{seen}");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[tokio::test]
async fn up_deploys_the_manifests_it_is_given() {
    let dir = TempDir::new().unwrap();
    let mut settings = Settings::new(FPRS);
    for name in ["one", "two"] {
        let path = dir.path().join(format!("{name}.toml"));
        let manifest = program::manifest(name, "hold = \"10s\"", &[("GREETING", name)]);
        std::fs::write(&path, manifest).unwrap();
        settings = settings.arg(path);
    }
    let mut plane = settings.start().await;
    for name in ["one", "two"] {
        let answer = plane.h1().await.get(&plane.host(name), "/").await;
        assert_eq!(answer.unwrap().text(), name);
    }
    let ready = plane.ready();
    for field in ["pid", "listen", "admin", "zone"] {
        assert!(!ready[field].is_null(), "{ready}");
    }
    let banner = plane.process().log();
    let listen = plane.listen().to_string();
    for word in ["fprs", &listen, "http://one.region.localhost"] {
        assert!(banner.contains(word), "no {word:?} in {banner}");
    }
}
