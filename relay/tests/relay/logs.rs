//! What a program wrote, on request.

use fprs_proto::worker::Phase;

use crate::fake_control::{attached, eventually, printed, shell};

#[tokio::test]
async fn a_tail_is_the_last_lines_of_both_streams() {
    let (_control, mut attached, relay) = attached().await;
    let script = "seq 1 2000; echo to stderr >&2; echo the end; exec sleep 1000";
    attached.start("r1", &shell(script)).await;
    printed(&mut attached, "r1", "the").await;
    printed(&mut attached, "r1", "to").await;
    attached.tail(7, "r1", 100_000, false).await;
    let lines = attached.all_logs(7).await;
    assert_eq!(lines.len(), 1_000, "the newest are kept");
    let has = |line: &str| lines.iter().any(|kept| kept == line);
    assert!(has("to stderr") && has("the end") && has("2000") && !has("1"));
    attached.tail(8, "r1", 2, false).await;
    assert_eq!(attached.all_logs(8).await, lines[998..]);
    relay.end(attached).await;
}

#[tokio::test]
async fn a_follower_gets_lines_as_they_come_and_the_end_with_the_program() {
    let (_control, mut attached, relay) = attached().await;
    let dir = tempfile::tempdir().unwrap();
    let mut version =
        shell("echo before; while ! [ -e go ]; do sleep 0.02; done; echo after; exit 1");
    version.working_dir = dir.path().to_str().unwrap().to_owned();
    attached.start("r1", &version).await;
    attached.tail(7, "r1", 100, true).await;
    assert_eq!(attached.logs().await.lines, ["before"]);
    std::fs::write(dir.path().join("go"), "").unwrap();
    assert_eq!(attached.all_logs(7).await, ["after"]);
    relay.end(attached).await;
}

#[tokio::test]
async fn a_cancelled_follower_gets_no_more() {
    let (_control, mut attached, relay) = attached().await;
    attached
        .start("r1", &shell("while :; do echo line; sleep 0.01; done"))
        .await;
    attached.tail(7, "r1", 0, true).await;
    attached.logs().await;
    attached.cancel(7).await;
    // Answered after the cancel was obeyed; what came before it was sent before it.
    attached.tail(8, "r1", 0, false).await;
    while attached.logs().await.request != 8 {}
    attached.tail(9, "r1", 0, true).await;
    for _ in 0..5 {
        assert_eq!(attached.logs().await.request, 9);
    }
    relay.end(attached).await;
}

#[tokio::test]
async fn output_of_a_failed_replica_can_still_be_read() {
    let (_control, mut attached, relay) = attached().await;
    attached.failure(&shell("seq 1 9; exit 1")).await;
    eventually("gone", || relay.table.find("failing").is_none()).await;
    attached.tail(7, "failing", 2, true).await;
    assert_eq!(attached.all_logs(7).await, ["8", "9"]);
    attached.tail(8, "unknown", 2, true).await;
    assert!(attached.all_logs(8).await.is_empty());
    relay.end(attached).await;
}

#[tokio::test]
async fn a_program_that_floods_its_output_is_not_held_up_by_a_follower() {
    let (_control, mut attached, relay) = attached().await;
    attached
        .start(
            "r1",
            &shell("echo start; seq 1 300000; echo done >&2; exit 1"),
        )
        .await;
    attached.tail(7, "r1", 0, true).await;
    // Nothing is read here until the program has ended by itself.
    eventually("gone", || {
        relay.table.find("r1").is_none() && relay_failed(&relay)
    })
    .await;
    let lines = attached.all_logs(7).await;
    assert!(lines.iter().any(|line| line.ends_with(" lines dropped")));
    drop(lines);
    relay.end(attached).await;
}

fn relay_failed(relay: &crate::fake_control::TestRelay) -> bool {
    relay.registry.gather().iter().any(|family| {
        family.name() == "fprs_relay_failures_total"
            && family
                .get_metric()
                .iter()
                .any(|metric| metric.get_counter().get_value() > 0.0)
    })
}

#[tokio::test]
async fn the_phase_of_a_chatty_replica_is_told_all_the_same() {
    let (_control, mut attached, relay) = attached().await;
    attached
        .start("r1", &shell("while :; do echo line; done"))
        .await;
    attached.tail(7, "r1", 0, true).await;
    attached.logs().await;
    attached.stop("r1").await;
    attached.until("r1", Phase::Stopped).await;
    relay.end(attached).await;
}
