//! What a plane keeps across its own death, and a store that can't be trusted.

use std::path::Path;

use fprs_testkit::plane::Settings;
use fprs_testkit::{Cli, Plane, Role, TempDir, eventually, program, until};
use serde_json::Value;

use crate::{FPRS, SOON, running_programs};

#[tokio::test]
async fn a_killed_plane_comes_back_with_all_it_had_and_none_of_its_programs() {
    let mut plane = Plane::start(FPRS).await;
    let record = plane.dir().join("record");
    let env = [("GREETING", "kept"), ("RECORD", record.to_str().unwrap())];
    let more = "min_replicas = 2\nmax_replicas = 3\ntarget_concurrency = 2.5\n\
                scaledown_window = \"90s\"\nexit_grace_period = \"3s\"\nhold = \"10s\"\n\
                domains = [\"www.example.com\", \"example.com\"]";
    plane.deploy(&program::manifest("web", more, &env)).await;
    plane
        .deploy(&program::manifest("idle", "hold = \"10s\"", &[]))
        .await;
    let started = async || (running_programs(&record).len() == 2).then_some(());
    until("both programs run", SOON, started).await;
    let host = plane.host("web");
    assert_eq!(get(&plane, &host).await, "kept");
    let (before, orphans) = (lasting(&plane).await, running_programs(&record));

    // As if it died while it wrote that.
    let draft = format!("up-last-good.{}.new", plane.process().pid());
    let draft = plane.data_dir().join(draft);
    plane.kill9();
    std::fs::write(&draft, "half of it").unwrap();
    plane.restart().await;

    assert!(!draft.exists());
    assert_eq!(lasting(&plane).await, before);
    eventually("the old plane's programs are gone", SOON, || {
        let now = running_programs(&record);
        orphans.iter().all(|pid| !now.contains(pid))
    })
    .await;
    assert_eq!(get(&plane, &host).await, "kept");
    assert_eq!(get(&plane, "www.example.com").await, "kept");
    assert_eq!(get(&plane, "example.com").await, "kept");
    assert_eq!(get(&plane, &plane.host("idle")).await, "hello");
    until(
        "two replicas serve and no other is left",
        SOON,
        async || {
            let replicas = plane.replicas("web").await;
            let ready = replicas.iter().all(|replica| replica["state"] == "ready");
            (ready && replicas.len() == 2).then_some(())
        },
    )
    .await;
    assert_eq!(running_programs(&record).len(), 2);
    plane.deploy(&program::manifest("late", "", &[])).await;
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_a_line_and_left_as_it_is() {
    let mut plane = Plane::start(FPRS).await;
    for n in 0..8 {
        let manifest = program::manifest(&format!("web-{n}"), "", &[]);
        plane.deploy(&manifest).await;
    }
    plane.terminate(SOON).await;
    let whole = std::fs::read(plane.data_dir().join("store.redb")).unwrap();
    let garbled = |from: usize, length: usize| {
        let mut bytes = whole.clone();
        let end = bytes.len().min(from + length);
        bytes[from..end].fill(0xa5);
        bytes
    };
    let damaged = [
        ("empty", Vec::new()),
        ("cut in half", whole[..whole.len() / 2].to_vec()),
        ("cut in its first page", whole[..1000].to_vec()),
        ("without its beginning", garbled(0, 64)),
        (
            "garbled from its second page on",
            garbled(4096, whole.len()),
        ),
        ("something else", b"this is no store\n".repeat(500)),
    ];
    for (what, bytes) in damaged {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let store = data.join("store.redb");
        std::fs::write(&store, &bytes).unwrap();
        let refused = up(&data).await.refused(1);
        assert!(refused.stderr.contains("store.redb"), "{what}: {refused:?}");
        assert_eq!(std::fs::read(&store).unwrap(), bytes, "{what}");
    }
}

/// Which of the processes so far logged in JSON that its relay attached, once so many have.
async fn attached_in_json(plane: &mut Plane, processes: usize) -> Vec<bool> {
    until("each logged that its relay attached", SOON, async || {
        let log = plane.process().log();
        let lines = log.split_inclusive('\n');
        let attached = lines.filter(|line| line.contains("attached to control"));
        let json: Vec<_> = attached
            .map(|line| serde_json::from_str::<Value>(line).is_ok())
            .collect();
        (json.len() == processes).then_some(json)
    })
    .await
}

#[tokio::test]
async fn settings_of_the_data_dir_hold_across_restarts() {
    let mut plane = Settings::new(FPRS).arg("--cores").arg("1").start().await;
    let token = plane.admin_token();
    let settings = plane.data_dir().join("fprs.toml");
    std::fs::write(settings, "log-format = \"json\"\n").unwrap();
    assert_eq!(attached_in_json(&mut plane, 1).await, [false]);
    plane.restart().await;
    assert_eq!(plane.admin_token(), token);
    assert_eq!(attached_in_json(&mut plane, 2).await, [false, true]);
}

async fn up(data: &Path) -> fprs_testkit::plane::Ran {
    let any = ["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    Cli::new(FPRS).arg("--data-dir", data).run(&any).await
}

async fn get(plane: &Plane, host: &str) -> String {
    plane.h1().await.get(host, "/").await.unwrap().text()
}

/// What `fprs servers` tells and a restart must not change.
async fn lasting(plane: &Plane) -> Vec<Value> {
    let servers = plane.run(&["servers", "--json"]).await.succeeded().json();
    let mut servers = servers.as_array().unwrap().clone();
    for server in &mut servers {
        let server = server.as_object_mut().unwrap();
        // Ports are new, records of replicas move on.
        for passing in ["url", "replicas", "revision", "problem"] {
            server.remove(passing);
        }
    }
    servers
}

#[tokio::test]
async fn a_log_that_can_not_be_written_stops_nothing() {
    let dir = TempDir::new().unwrap();
    let script = dir.path().join("fprs.sh");
    let text = format!("#!/bin/sh\nexec '{FPRS}' \"$@\" >/dev/full 2>&1\n");
    std::fs::write(&script, text).unwrap();
    let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, runs).unwrap();
    let data = dir.path().join("data");
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let args = [&ports[..], &["--data-dir", data.to_str().unwrap()]].concat();
    let mut plane = Role::start(&script, "up", args, &[]).await;
    let cli = Cli::new(FPRS).arg("--data-dir", &data);
    // Each of these is a line of the log.
    for name in ["one", "two"] {
        let manifest = program::manifest(name, "", &[]);
        cli.deploy(&manifest, dir.path()).await.succeeded();
    }
    assert!(plane.process().is_running());
}
