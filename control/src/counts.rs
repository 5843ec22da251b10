//! Passes on what relays count to whoever holds the `autoscaler` lease, twice a second. Nothing waits
//! for it: an autoscaler that does not take it is told the newest counts next time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_config::View;
use fprs_proto::demand::demand_client::DemandClient;
use fprs_proto::demand::{RelayCounts, ReplicaCount, WorkerCounts};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::fleet::Fleet;
use crate::workers::Workers;

/// Between two tellings: with a relay's heartbeat of a second, a count is at most 1.5 s old.
const EVERY: Duration = Duration::from_millis(500);
/// A relay that missed two beats may count anything by now.
const HEARD_WITHIN: Duration = Duration::from_millis(2_500);
/// An autoscaler that takes longer is told something newer.
const TELL_WITHIN: Duration = Duration::from_secs(1);
/// The name of the lease whose holder is told.
pub(crate) const LEASE: &str = "autoscaler";

/// PURE. What the relays count that were heard lately.
pub(crate) fn counts(fleet: &Fleet, now: Instant) -> RelayCounts {
    let heard = fleet
        .members()
        .filter(|(_, member)| member.session.is_some() && !member.is_silent(HEARD_WITHIN, now));
    let workers = heard.map(|(worker, member)| {
        let busy = member.running.iter();
        let busy = busy.filter(|(_, running)| running.in_flight > 0);
        WorkerCounts {
            worker: worker.to_string(),
            replicas: busy
                .map(|(replica, running)| ReplicaCount {
                    replica: replica.to_string(),
                    in_flight: running.in_flight,
                })
                .collect(),
        }
    });
    RelayCounts {
        workers: workers.collect(),
    }
}

/// Tells until it is dropped.
pub(crate) async fn tell(workers: Arc<Workers>, view: View, authorization: MetadataValue<Ascii>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut channel: Option<(SocketAddr, Channel)> = None;
    loop {
        every.tick().await;
        let holder = view.load().lease(LEASE).map(|lease| lease.address);
        let Some(address) = holder else {
            continue;
        };
        let counts = workers.counts(Instant::now());
        if counts.workers.is_empty() {
            continue;
        }
        let open = match channel.take() {
            Some((to, open)) if to == address => open,
            _ => match Endpoint::from_shared(format!("http://{address}")) {
                Ok(endpoint) => endpoint.connect_lazy(),
                Err(error) => {
                    tracing::debug!(%address, %error, "the autoscaler has no usable address");
                    continue;
                }
            },
        };
        let mut request = Request::new(counts);
        let fields = request.metadata_mut();
        fields.insert("authorization", authorization.clone());
        let mut client = DemandClient::new(open.clone());
        match timeout(TELL_WITHIN, client.count(request)).await {
            Ok(Ok(_)) => channel = Some((address, open)),
            Ok(Err(status)) => tracing::debug!(%address, %status, "relays' counts were not taken"),
            Err(_) => tracing::debug!(%address, "the autoscaler does not answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fprs_config::samples;
    use fprs_proto::worker::{Heartbeat, InFlight};

    use super::*;
    use crate::fleet::{Running, SessionId};

    #[test]
    fn relays_that_were_heard_lately_are_passed_on_with_what_is_busy() {
        let (mut fleet, now) = (Fleet::default(), Instant::now());
        for (number, worker) in ["a", "b"].into_iter().enumerate() {
            let running = ["busy", "idle"].map(|name| (name.into(), Running::default()));
            let session = SessionId(number as u64);
            let lease = Duration::from_secs(5);
            let at = now + HEARD_WITHIN * u32::try_from(number).unwrap();
            let running = BTreeMap::from(running);
            fleet
                .attach(samples::worker(worker), running, session, lease, at)
                .unwrap();
        }
        let beat = |count: u64| Heartbeat {
            in_flight: vec![InFlight {
                replica: "busy".to_owned(),
                count,
            }],
        };
        fleet.member_mut("a").unwrap().beat(beat(3));
        fleet.member_mut("b").unwrap().beat(beat(4));
        let told = counts(&fleet, now);
        assert_eq!(told.workers.len(), 2);
        assert_eq!(told.workers[0].replicas.len(), 1);
        assert_eq!(told.workers[0].replicas[0].in_flight, 3);
        let later = counts(&fleet, now + HEARD_WITHIN);
        assert_eq!(later.workers.len(), 1);
        assert_eq!(later.workers[0].worker, "b");
    }
}
