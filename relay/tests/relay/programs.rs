//! From start to ready or to a failure that says why.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_proto::worker::Phase;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

use crate::fake_control::{
    attached, eventually, is_gone, listener, listener_after, printed, shell, version,
};

#[tokio::test]
async fn a_replica_is_ready_once_its_port_accepts() {
    let (_control, mut attached, relay) = attached().await;
    attached.start("r1", &listener()).await;
    let ready = attached.until("r1", Phase::Ready).await;
    assert!(ready.startup_ms > 0);
    let replica = relay.table.find("r1").unwrap();
    assert!(replica.is_ready());
    assert_eq!((&**replica.id(), &**replica.server()), ("r1", "hello"));
    let exchange = replica.begin().unwrap();
    TcpStream::connect(exchange.program()).await.unwrap();
    drop(exchange);
    relay.end(attached).await;
}

#[tokio::test]
async fn readiness_is_seen_soon_after_the_program_listens() {
    let (_control, mut attached, relay) = attached().await;
    let program = "import socket, sys, time
time.sleep(0.1)
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('listening', time.time_ns(), flush=True)
time.sleep(1000)";
    let mut delays = Vec::new();
    for number in 0..5 {
        let id = format!("r{number}");
        let version = version(&["python3", "-S", "-c", program, "$PORT"]);
        attached.start(&id, &version).await;
        attached.until(&id, Phase::Ready).await;
        let told = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let listened: u64 = printed(&mut attached, &id, "listening")
            .await
            .parse()
            .unwrap();
        delays.push(told.saturating_sub(Duration::from_nanos(listened)));
        attached.stop(&id).await;
    }
    delays.sort_unstable();
    println!("from listening to READY at control: {delays:?}");
    assert!(delays[2] < Duration::from_millis(50), "{delays:?}");
    relay.end(attached).await;
}

#[tokio::test]
async fn a_program_that_never_listens_is_killed_and_fails_with_its_last_output() {
    let (_control, mut attached, relay) = attached().await;
    let mut version = shell("echo loading; echo $$; exec sleep 1000");
    version.startup_timeout = Duration::from_millis(300);
    let reason = attached.failure(&version).await;
    let (before, pid) = reason.rsplit_once(" / ").unwrap();
    assert!(before.starts_with("did not listen on $PORT ("), "{reason}");
    assert!(
        before.ends_with(") within 300ms; last output: loading"),
        "{reason}"
    );
    assert!(is_gone(pid));
    eventually("out of the table", || relay.table.find("failing").is_none()).await;
    relay.end(attached).await;
}

#[tokio::test]
async fn a_program_that_ends_before_it_listens_fails_with_status_and_output() {
    let (_control, mut attached, relay) = attached().await;
    assert_eq!(
        attached.failure(&shell("echo no numpy >&2; exit 3")).await,
        "exited with status 3 before listening on $PORT; last output: no numpy"
    );
    relay.end(attached).await;
}

#[tokio::test]
async fn a_command_that_cannot_run_fails_with_the_systems_reason() {
    let (_control, mut attached, relay) = attached().await;
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    let plain = plain.to_str().unwrap();
    let mut nowhere = version(&["true"]);
    nowhere.working_dir = "/nonexistent".to_owned();
    let mut image = version(&[]);
    image.image = "registry.example/app:1".to_owned();
    let cases = [
        (
            version(&["no-such-program"]),
            "cannot run `no-such-program`: No such file or directory".to_owned(),
        ),
        (
            version(&[plain]),
            format!("cannot run `{plain}`: Permission denied"),
        ),
        (
            nowhere,
            "cannot run `true`: working_dir `/nonexistent` is not a directory".to_owned(),
        ),
        (
            image,
            "the version has no command to run; this worker runs commands only".to_owned(),
        ),
    ];
    for (number, (version, expected)) in cases.iter().enumerate() {
        let id = number.to_string();
        attached.start(&id, version).await;
        assert_eq!(attached.until(&id, Phase::Failed).await.reason, *expected);
    }
    relay.end(attached).await;
}

#[tokio::test]
async fn a_program_has_its_environment_its_port_and_its_directory() {
    let (_control, mut attached, relay) = attached().await;
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("serve");
    std::fs::write(
        &script,
        "#!/bin/sh\necho \"got $1 $PORT $GREETING $PWD\"; exit 1",
    )
    .unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let mut version = version(&["./serve", "--port=$PORT"]);
    version.working_dir = dir.path().to_str().unwrap().to_owned();
    version.env = [("GREETING".to_owned(), "hi".to_owned())].into();
    let reason = attached.failure(&version).await;
    let (_, got) = reason.split_once("last output: got ").unwrap();
    let words: Vec<&str> = got.split(' ').collect();
    assert_eq!(words[0], format!("--port={}", words[1]));
    words[1].parse::<u16>().unwrap();
    assert_eq!(words[2..], ["hi", dir.path().to_str().unwrap()]);
    relay.end(attached).await;
}

#[tokio::test]
async fn a_program_whose_port_was_taken_meanwhile_gets_another_one() {
    let (_control, mut attached, relay) = attached().await;
    let dir = tempfile::tempdir().unwrap();
    let mut version = listener_after(
        "if ! [ -e tried ]; then touch tried; echo 'Address already in use' >&2; exit 1; fi",
    );
    version.working_dir = dir.path().to_str().unwrap().to_owned();
    attached.start("r1", &version).await;
    attached.until("r1", Phase::Ready).await;
    assert!(dir.path().join("tried").exists());
    relay.end(attached).await;
}

#[tokio::test]
async fn a_program_that_dies_after_ready_fails_at_once() {
    let (_control, mut attached, relay) = attached().await;
    attached.start("r1", &listener()).await;
    attached.until("r1", Phase::Ready).await;
    let pid = printed(&mut attached, "r1", "pid").await;
    let replica = relay.table.find("r1").unwrap();
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    let reason = attached.until("r1", Phase::Failed).await.reason;
    let expected = "killed by signal 9 (SIGKILL; out of memory?); last output: pid";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(replica.begin().is_err(), "it takes no more");
    eventually("out of the table", || relay.table.find("r1").is_none()).await;
    relay.end(attached).await;
}

#[tokio::test]
async fn a_version_that_makes_no_sense_fails_and_says_so() {
    use fprs_proto::worker::{Start, to_worker};
    let (_control, mut attached, relay) = attached().await;
    let start = Start {
        replica: "r1".to_owned(),
        ..Start::default()
    };
    attached.tell(to_worker::Message::Start(start)).await;
    let reason = attached.until("r1", Phase::Failed).await.reason;
    assert!(reason.ends_with("`version` is missing"), "{reason}");
    relay.end(attached).await;
}
