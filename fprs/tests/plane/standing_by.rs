//! The autoscaler that decides dies, and one that stands by goes on where it was.

use std::time::{Duration, Instant};

use fprs_testkit::{Role, program, until};

use crate::fleet::{Fleet, metric};
use crate::traffic::Traffic;
use crate::{SOON, sized};

const HOST: &str = "web.region.localhost";
/// From the death of the one to the first act of the other.
const TAKEN_OVER: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_acts_within_three_seconds_and_no_replica_is_lost_wrongly() {
    let rounds = sized(3, 20);
    let fleet = Fleet::start(1, 1).await;
    let mut autoscalers = vec![fleet.standby(1).await, fleet.standby(2).await];
    let mut fleet = fleet;
    fleet.autoscaler.process().kill9();
    let more = "target_concurrency = 2\nmax_replicas = 4\nscaledown_window = \"1s\"\n\
                hold = \"10s\"";
    fleet.deploy(&program::manifest("web", more, &[])).await;
    fleet.answers(HOST).await;
    let traffic = Traffic::start(&fleet.listen(), HOST, "/sleep?ms=100", 8);
    let serving = until("four replicas are ready", SOON, async || {
        let ready = fleet.replicas_in("web", "ready").await;
        (ready.len() == 4).then_some(ready)
    })
    .await;
    let mut worst = Duration::ZERO;
    for round in 0..rounds {
        let active = active(&autoscalers).await;
        let mut dead = autoscalers.remove(active);
        dead.process().kill9();
        let killed = Instant::now();
        // Whoever decides starts what another server wants.
        let other = format!("other-{round}");
        let manifest = program::manifest(&other, "min_replicas = 1", &[]);
        fleet.deploy(&manifest).await;
        until("the standby acts", SOON, async || {
            let acted = !fleet.replicas(&other).await.is_empty();
            acted.then_some(())
        })
        .await;
        worst = worst.max(killed.elapsed());
        assert!(killed.elapsed() < TAKEN_OVER, "{:?}", killed.elapsed());
        let acted = Instant::now();
        while acted.elapsed() < Duration::from_millis(1_500) {
            assert_eq!(fleet.replicas_in("web", "ready").await, serving);
        }
        fleet.cli().run(&["delete", &other]).await.succeeded();
        autoscalers.push(fleet.standby(round + 3).await);
    }
    traffic.end().await.assert_all_answered();
    println!("{rounds} kills, the slowest take-over {worst:?}");
    until("it scales down", SOON, async || {
        fleet.replicas("web").await.is_empty().then_some(())
    })
    .await;
}

/// Which of them decides.
async fn active(autoscalers: &[Role]) -> usize {
    until("one of them decides", SOON, async || {
        for (number, autoscaler) in autoscalers.iter().enumerate() {
            if metric(autoscaler, "fprs_autoscaler_leads").await == 1 {
                return Some(number);
            }
        }
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_autoscaler_that_hung_past_its_lease_decides_nothing_when_it_goes_on() {
    let mut fleet = Fleet::start(1, 1).await;
    let more = "target_concurrency = 2\nmax_replicas = 4\nscaledown_window = \"1s\"";
    let manifest = program::manifest("web", &format!("min_replicas = 2\n{more}"), &[]);
    fleet.deploy(&manifest).await;
    until("two replicas are ready", SOON, async || {
        (fleet.replicas_in("web", "ready").await.len() == 2).then_some(())
    })
    .await;
    let other = fleet.standby(1).await;
    fleet.autoscaler.process().freeze();
    active(std::slice::from_ref(&other)).await;
    // It would start a third one, by what it knew.
    let manifest = program::manifest("web", &format!("min_replicas = 1\n{more}"), &[]);
    fleet.deploy(&manifest).await;
    let begun = until("the new version took over", SOON, async || {
        let replicas = fleet.replicas("web").await;
        let new = replicas.iter().all(|replica| replica["generation"] == 2);
        (new && replicas.len() == 1).then(|| replicas[0]["id"].clone())
    })
    .await;
    fleet.autoscaler.process().thaw();
    until("it stands by", SOON, async || {
        (metric(&fleet.autoscaler, "fprs_autoscaler_leads").await == 0).then_some(())
    })
    .await;
    assert_eq!(metric(&other, "fprs_autoscaler_leads").await, 1);
    let replicas = fleet.replicas("web").await;
    assert_eq!(replicas.len(), 1);
    assert_eq!(replicas[0]["id"], begun);
}
