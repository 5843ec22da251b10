//! From stop to nothing left.

use std::time::{Duration, Instant};

use fprs_proto::worker::Phase;
use fprs_relay::replicas::NotServing;
use tokio::time::timeout;

use crate::fake_control::{
    attached, attached_with, eventually, is_gone, listener, listener_after, printed, shell, version,
};

#[tokio::test]
async fn a_stopping_replica_ends_when_its_last_exchange_has() {
    let (_control, mut attached, relay) = attached().await;
    attached.start("r1", &listener()).await;
    attached.until("r1", Phase::Ready).await;
    let pid = printed(&mut attached, "r1", "pid").await;
    let replica = relay.table.find("r1").unwrap();
    let last = replica.begin().unwrap();
    attached.stop("r1").await;
    eventually("stopping", || !replica.is_ready()).await;
    assert_eq!(replica.begin().unwrap_err(), NotServing::Stopping);
    let early = timeout(Duration::from_millis(200), attached.update()).await;
    assert!(early.is_err(), "an exchange is in flight: {early:?}");
    assert!(!is_gone(&pid));
    drop(last);
    attached.until("r1", Phase::Stopped).await;
    assert!(is_gone(&pid));
    relay.end(attached).await;
}

#[tokio::test]
async fn control_hears_of_the_last_exchanges_end_before_the_next_regular_heartbeat() {
    let (_control, mut attached, relay) = attached().await;
    // It takes its time to end, so that its heartbeat isn't overtaken by its end.
    attached
        .start("r1", &listener_after("trap 'sleep 3; exit' TERM"))
        .await;
    attached.until("r1", Phase::Ready).await;
    let replica = relay.table.find("r1").unwrap();
    let last = replica.begin().unwrap();
    attached.stop("r1").await;
    eventually("stopping", || !replica.is_ready()).await;
    let busy = attached.heartbeat().await;
    assert_eq!(busy.in_flight[0].count, 1);
    drop(last);
    let dropped = Instant::now();
    while attached
        .heartbeat()
        .await
        .in_flight
        .iter()
        .any(|one| one.count > 0)
    {}
    assert!(dropped.elapsed() < Duration::from_millis(700));
    relay.end(attached).await;
}

#[tokio::test]
async fn exchanges_that_outlast_the_exit_grace_are_not_waited_for() {
    let (_control, mut attached, relay) = attached().await;
    let mut version = listener();
    version.exit_grace = Duration::from_millis(200);
    attached.start("r1", &version).await;
    attached.until("r1", Phase::Ready).await;
    let exchange = relay.table.find("r1").unwrap().begin().unwrap();
    let told = Instant::now();
    attached.stop("r1").await;
    attached.until("r1", Phase::Stopped).await;
    assert!(told.elapsed() >= version.exit_grace);
    drop(exchange);
    relay.end(attached).await;
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed() {
    let kill_after = Duration::from_millis(300);
    let (_control, mut attached, relay) =
        attached_with(|settings| settings.kill_after = kill_after).await;
    attached
        .start(
            "r1",
            &shell("trap '' TERM; echo pid $$; while :; do sleep 0.1; done"),
        )
        .await;
    let pid = printed(&mut attached, "r1", "pid").await;
    let told = Instant::now();
    attached.stop("r1").await;
    attached.until("r1", Phase::Stopped).await;
    assert!(told.elapsed() >= kill_after);
    assert!(is_gone(&pid));
    relay.end(attached).await;
}

#[tokio::test]
async fn grandchildren_end_with_the_program_even_outside_its_group() {
    let (_control, mut attached, relay) = attached().await;
    let script = "sleep 1000 & echo member $!
        setsid sh -c 'echo stray $$; exec sleep 1000' &";
    attached.start("r1", &listener_after(script)).await;
    attached.until("r1", Phase::Ready).await;
    let member = printed(&mut attached, "r1", "member").await;
    let stray = printed(&mut attached, "r1", "stray").await;
    assert!(!is_gone(&member) && !is_gone(&stray));
    attached.stop("r1").await;
    attached.until("r1", Phase::Stopped).await;
    eventually("both are gone", || is_gone(&member) && is_gone(&stray)).await;
    relay.end(attached).await;
}

#[tokio::test]
async fn grandchildren_end_with_a_program_that_dies_unasked() {
    let (_control, mut attached, relay) = attached().await;
    let reason = attached
        .failure(&shell("sleep 1000 & echo $!; exit 1"))
        .await;
    let (_, member) = reason.rsplit_once("last output: ").unwrap();
    eventually("it is gone", || is_gone(member)).await;
    relay.end(attached).await;
}

#[tokio::test]
async fn a_program_behind_a_shell_has_its_time_to_end_well() {
    let (_control, mut attached, relay) = attached().await;
    let dir = tempfile::tempdir().unwrap();
    let program = "import signal, sys, time
def end(*_):
    time.sleep(0.3)
    open('ended-well', 'w')
    sys.exit()
signal.signal(signal.SIGTERM, end)
print('set up', flush=True)
time.sleep(1000)";
    let mut version = version(&["sh", "-c", "python3 -S -c \"$0\"; true", program]);
    version.working_dir = dir.path().to_str().unwrap().to_owned();
    attached.start("r1", &version).await;
    printed(&mut attached, "r1", "set").await;
    attached.stop("r1").await;
    attached.until("r1", Phase::Stopped).await;
    assert!(dir.path().join("ended-well").exists());
    relay.end(attached).await;
}

#[tokio::test]
async fn a_replica_that_never_ran_here_is_told_to_be_stopped() {
    let (_control, mut attached, relay) = attached().await;
    attached.stop("unknown").await;
    attached.until("unknown", Phase::Stopped).await;
    relay.end(attached).await;
}

#[tokio::test]
async fn a_relay_that_shuts_down_stops_its_programs_and_says_so() {
    let (_control, mut attached, mut relay) = attached().await;
    attached.start("r1", &listener()).await;
    attached
        .start("r2", &shell("echo pid $$; exec sleep 1000"))
        .await;
    attached.until("r1", Phase::Ready).await;
    let first = printed(&mut attached, "r1", "pid").await;
    let second = printed(&mut attached, "r2", "pid").await;
    relay.shut_down();
    let mut stopped = [attached.update().await, attached.update().await];
    stopped.sort_by(|a, b| a.replica.cmp(&b.replica));
    assert!(
        stopped
            .iter()
            .all(|update| update.phase() == Phase::Stopped)
    );
    assert_eq!((&*stopped[0].replica, &*stopped[1].replica), ("r1", "r2"));
    attached.closed().await;
    assert!(is_gone(&first) && is_gone(&second));
    relay.end(attached).await;
}

#[tokio::test]
async fn a_shutdown_kills_what_does_not_end_in_its_time() {
    let (_control, mut attached, relay) =
        attached_with(|settings| settings.shutdown_timeout = Duration::from_millis(300)).await;
    attached
        .start(
            "r1",
            &shell("trap '' TERM; echo pid $$; while :; do sleep 0.1; done"),
        )
        .await;
    let pid = printed(&mut attached, "r1", "pid").await;
    relay.end(attached).await;
    eventually("it is gone", || is_gone(&pid)).await;
}

#[tokio::test]
async fn a_relay_that_is_dropped_kills_its_programs() {
    let (_control, mut attached, relay) = attached().await;
    attached
        .start("r1", &shell("echo pid $$; exec sleep 1000"))
        .await;
    let pid = printed(&mut attached, "r1", "pid").await;
    relay.running.abort();
    eventually("it is gone", || is_gone(&pid)).await;
}
