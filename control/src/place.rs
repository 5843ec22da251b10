//! PURE. Which worker a replica goes to: one of its region with room, first where fewest of its
//! siblings are, then where the smallest share of the room is taken, then by name. So a server's
//! replicas spread, workers of unequal size fill evenly, and the same input gives the same answer.
//! A version with an image goes to a pod that was made for it, and to nothing else; a command never
//! goes to a pod.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use fprs_config::{MadeFor, ReplicaState, Snapshot};

use crate::fleet::Fleet;

/// The workers that take replicas now, and how full they are. Counts what the snapshot and the
/// workers themselves say, and what was placed through it since.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    workers: BTreeMap<Arc<str>, Seat>,
}

/// One worker as placement sees it.
#[derive(Debug)]
struct Seat {
    region: String,
    capacity: u32,
    made_for: Option<MadeFor>,
    replicas: BTreeSet<Arc<str>>,
    siblings: BTreeMap<Arc<str>, u32>,
}

/// Why a replica waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Workers of the region are attached and all are full.
    Full {
        /// The compute region asked for.
        region: String,
    },
    /// No worker of the region is attached, or all of them drain.
    NoWorker {
        /// The compute region asked for.
        region: String,
    },
    /// No pod of the version is ready to run it yet.
    NoPod {
        /// The compute region asked for.
        region: String,
    },
}

impl Seats {
    /// The seats of every worker of the fleet that takes replicas.
    pub(crate) fn new(snapshot: &Snapshot, fleet: &Fleet) -> Self {
        let mut seats = Self::default();
        for (id, member) in fleet.members() {
            let Some(offer) = member.takes_replicas(snapshot.worker(id)) else {
                continue;
            };
            let made_for = offer.made_for.clone();
            seats.add(id, &offer.compute_region, offer.capacity, made_for);
            for (replica, running) in &member.running {
                if running.phase.is_live() {
                    let server = snapshot.replica(replica).map(|replica| &replica.server);
                    seats.take(id, replica, server);
                }
            }
        }
        for replica in snapshot.replicas() {
            if let (Some(worker), false) = (&replica.worker, replica.state == ReplicaState::Failed)
            {
                seats.take(worker, &replica.id, Some(&replica.server));
            }
        }
        seats
    }

    /// Adds an empty worker.
    fn add(&mut self, worker: &Arc<str>, region: &str, capacity: u32, made_for: Option<MadeFor>) {
        let seat = Seat {
            region: region.to_owned(),
            capacity,
            made_for,
            replicas: BTreeSet::new(),
            siblings: BTreeMap::new(),
        };
        self.workers.insert(Arc::clone(worker), seat);
    }

    /// Counts a replica that is on that worker; once, however often it is told.
    fn take(&mut self, worker: &str, replica: &Arc<str>, server: Option<&Arc<str>>) {
        let Some(seat) = self.workers.get_mut(worker) else {
            return;
        };
        if seat.replicas.insert(Arc::clone(replica))
            && let Some(server) = server
        {
            *seat.siblings.entry(Arc::clone(server)).or_default() += 1;
        }
    }

    /// The worker for one more replica of that server, with its seat taken; `pod`: only one that was
    /// made for that.
    ///
    /// # Errors
    /// When no worker of the region takes replicas, or all of them are full.
    pub(crate) fn place(
        &mut self,
        replica: &Arc<str>,
        server: &Arc<str>,
        region: &str,
        pod: Option<&MadeFor>,
    ) -> Result<Arc<str>, NoRoom> {
        let mut of_region = self
            .workers
            .iter()
            .filter(|(_, seat)| seat.region == region && seat.made_for.as_ref() == pod)
            .peekable();
        let region = || region.to_owned();
        if of_region.peek().is_none() {
            return Err(match pod {
                Some(_) => NoRoom::NoPod { region: region() },
                None => NoRoom::NoWorker { region: region() },
            });
        }
        let best = of_region
            .filter(|(_, seat)| seat.placed() < u64::from(seat.capacity))
            .min_by(|(_, a), (_, b)| a.preference(b, server))
            .map(|(worker, _)| Arc::clone(worker));
        let Some(worker) = best else {
            return Err(match pod {
                Some(_) => NoRoom::NoPod { region: region() },
                None => NoRoom::Full { region: region() },
            });
        };
        self.take(&worker, replica, Some(server));
        Ok(worker)
    }
}

impl Seat {
    fn placed(&self) -> u64 {
        self.replicas.len() as u64
    }

    /// `Less` where this seat is the better one for that server. `min_by` keeps the first of equals
    /// and the map is in order of names, so ties are settled.
    fn preference(&self, other: &Self, server: &str) -> Ordering {
        let siblings = |seat: &Self| seat.siblings.get(server).copied().unwrap_or_default();
        // a/b < c/d as a·d < c·b: exact, without dividing.
        let own_share = self.placed() * u64::from(other.capacity);
        let other_share = other.placed() * u64::from(self.capacity);
        siblings(self)
            .cmp(&siblings(other))
            .then(own_share.cmp(&other_share))
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { region } => {
                write!(
                    f,
                    "no worker in region `{region}` has room; add a worker or lower max_replicas"
                )
            }
            Self::NoWorker { region } => {
                write!(
                    f,
                    "no worker in region `{region}` takes replicas; start one with `fprs relay`"
                )
            }
            Self::NoPod { region } => {
                write!(
                    f,
                    "no pod in region `{region}` is ready for it yet; if none comes, look at its \
                     Deployment (`kubectl describe`) and whether control runs with `--kubernetes`"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seats(workers: &[(&str, &str, u32)]) -> Seats {
        let mut seats = Seats::default();
        for (name, region, capacity) in workers {
            seats.add(&Arc::from(*name), region, *capacity, None);
        }
        seats
    }

    fn place(seats: &mut Seats, number: usize, server: &str) -> Result<String, NoRoom> {
        seats
            .place(&format!("r{number}").into(), &server.into(), "local", None)
            .map(|worker| worker.to_string())
    }

    #[test]
    fn replicas_of_one_server_spread_over_workers_of_any_size() {
        let mut seats = seats(&[("a", "local", 100), ("b", "local", 10), ("c", "local", 10)]);
        let placed: Vec<_> = (0..6).map(|n| place(&mut seats, n, "s").unwrap()).collect();
        assert_eq!(placed, ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn different_servers_fill_workers_in_proportion_to_their_size() {
        let mut seats = seats(&[("a", "local", 30), ("b", "local", 10)]);
        for n in 0..20 {
            place(&mut seats, n, &format!("s{n}")).unwrap();
        }
        assert_eq!(seats.workers["a"].placed(), 15);
        assert_eq!(seats.workers["b"].placed(), 5);
    }

    #[test]
    fn a_replica_waits_with_the_reason_when_nothing_fits() {
        let mut full = seats(&[("a", "local", 1), ("far", "elsewhere", 9)]);
        place(&mut full, 0, "s").unwrap();
        let region = "local".to_owned();
        assert_eq!(
            place(&mut full, 1, "s"),
            Err(NoRoom::Full {
                region: region.clone()
            })
        );
        let mut far = seats(&[("far", "elsewhere", 9)]);
        assert_eq!(place(&mut far, 0, "s"), Err(NoRoom::NoWorker { region }));
    }

    #[test]
    fn a_version_with_an_image_goes_to_a_pod_made_for_it_and_a_command_to_none() {
        let made_for = |server: &str, generation| MadeFor {
            server: server.into(),
            generation,
        };
        let mut seats = seats(&[("machine", "local", 9)]);
        for (name, server, generation) in [("p1", "s", 1), ("p2", "s", 2), ("q", "other", 1)] {
            let made_for = Some(made_for(server, generation));
            seats.add(&name.into(), "local", 1, made_for);
        }
        let of = made_for("s", 2);
        let mut place = |id: &str, pod| seats.place(&id.into(), &"s".into(), "local", pod);
        assert_eq!(place("r1", Some(&of)).unwrap().as_ref(), "p2");
        let region = "local".to_owned();
        assert_eq!(place("r2", Some(&of)), Err(NoRoom::NoPod { region }));
        assert_eq!(place("r3", None).unwrap().as_ref(), "machine");
    }

    #[test]
    fn a_replica_named_twice_takes_one_seat() {
        let mut seats = seats(&[("a", "local", 2)]);
        seats.take("a", &"r0".into(), Some(&"s".into()));
        seats.take("a", &"r0".into(), Some(&"s".into()));
        assert_eq!(place(&mut seats, 1, "s").unwrap(), "a");
        assert!(place(&mut seats, 2, "s").is_err());
    }

    proptest! {
        #[test]
        fn no_worker_is_ever_overfilled_and_none_waits_while_there_is_room(
            capacities in prop::collection::vec(0_u32..8, 1..6),
            servers in prop::collection::vec(0_u8..4, 0..60),
        ) {
            let mut seats = Seats::default();
            for (n, capacity) in capacities.iter().enumerate() {
                seats.add(&format!("w{n}").into(), "local", *capacity, None);
            }
            let room: u32 = capacities.iter().sum();
            for (n, server) in servers.iter().enumerate() {
                let placed = place(&mut seats, n, &format!("s{server}"));
                prop_assert_eq!(placed.is_ok(), n < room as usize);
            }
            for seat in seats.workers.values() {
                prop_assert!(seat.placed() <= u64::from(seat.capacity));
            }
        }

        #[test]
        fn one_server_is_spread_within_one_replica_on_equal_workers(
            workers in 1_usize..8, replicas in 0_usize..60,
        ) {
            let mut seats = Seats::default();
            for n in 0..workers {
                seats.add(&format!("w{n}").into(), "local", 100, None);
            }
            for n in 0..replicas {
                place(&mut seats, n, "s").unwrap();
            }
            let counts: Vec<_> = seats.workers.values().map(Seat::placed).collect();
            let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
            prop_assert!(most - fewest <= 1);
        }
    }
}
