//! Any order of events, then rest: what relays run and what the store says agree, whatever happened
//! on the way.

use proptest::prelude::*;

use super::*;

/// One thing that can happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    Attach { worker: u8, again: bool },
    Beat { worker: u8 },
    ControlRestarts,
    Drain { replica: u8 },
    Fail { replica: u8 },
    HangUp { worker: u8 },
    Lag { turns: bool },
    Pass { quarters: u8 },
    Ready { replica: u8 },
    Request { replica: u8 },
    Stop { replica: u8 },
    Stopped { replica: u8 },
    TakeBack { replica: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    let worker = 0_u8..3;
    let replica = 0_u8..8;
    prop_oneof![
        (worker.clone(), any::<bool>()).prop_map(|(worker, again)| Event::Attach { worker, again }),
        worker.clone().prop_map(|worker| Event::Beat { worker }),
        Just(Event::ControlRestarts),
        replica.clone().prop_map(|replica| Event::Drain { replica }),
        replica.clone().prop_map(|replica| Event::Fail { replica }),
        worker.prop_map(|worker| Event::HangUp { worker }),
        any::<bool>().prop_map(|turns| Event::Lag { turns }),
        (1_u8..6).prop_map(|quarters| Event::Pass { quarters }),
        replica.clone().prop_map(|replica| Event::Ready { replica }),
        replica
            .clone()
            .prop_map(|replica| Event::Request { replica }),
        replica
            .clone()
            .prop_map(|replica| Event::Request { replica }),
        replica
            .clone()
            .prop_map(|replica| Event::Request { replica }),
        replica.clone().prop_map(|replica| Event::Stop { replica }),
        replica
            .clone()
            .prop_map(|replica| Event::Stopped { replica }),
        replica.prop_map(|replica| Event::TakeBack { replica }),
    ]
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Attach { worker, again } => {
                let id = format!("w{worker}");
                let epoch = self.relays.get(&id).map_or(1, |relay| relay.worker.epoch);
                self.attach(&id, epoch + u64::from(!again));
            }
            Event::Beat { worker } => {
                let id = format!("w{worker}");
                if self.relays.contains_key(&id) {
                    self.beat(&id);
                }
            }
            Event::ControlRestarts => {
                self.workers = Workers::new(LEASE);
                for relay in self.relays.values_mut() {
                    relay.session = None;
                }
            }
            Event::HangUp { worker } => {
                let id = format!("w{worker}");
                if self.relays.contains_key(&id) {
                    self.hang_up(&id);
                }
            }
            Event::Lag { turns } => self.commits = turns,
            Event::Pass { quarters } => self.pass(LEASE / 4 * u32::from(quarters)),
            Event::Request { replica } => {
                let id = format!("r{replica}");
                if self.store.state(&id).is_none() && self.runs_on(&id).is_none() {
                    self.request(&id);
                }
            }
            Event::TakeBack { replica } => {
                let id = format!("r{replica}");
                if self.store.state(&id) == Some(ReplicaState::Requested) {
                    self.store.delete(Kind::Replica, &id);
                }
            }
            Event::Drain { replica } => {
                self.advance(replica, ReplicaState::Ready, ReplicaState::Draining)
            }
            Event::Stop { replica } => {
                self.advance(replica, ReplicaState::Draining, ReplicaState::Stopping)
            }
            Event::Fail { replica } => self.relay_says(replica, wire::Phase::Failed),
            Event::Ready { replica } => self.relay_says(replica, wire::Phase::Ready),
            Event::Stopped { replica } => self.relay_says(replica, wire::Phase::Stopped),
        }
    }

    fn advance(&mut self, replica: u8, from: ReplicaState, to: ReplicaState) {
        let id = format!("r{replica}");
        if self.store.state(&id) == Some(from) {
            self.set(&id, to);
        }
    }

    fn runs_on(&self, replica: &str) -> Option<String> {
        self.relays
            .iter()
            .find(|(_, relay)| relay.running.contains_key(replica))
            .map(|(worker, _)| worker.clone())
    }

    fn relay_says(&mut self, replica: u8, phase: wire::Phase) {
        let id = format!("r{replica}");
        if let Some(worker) = self.runs_on(&id) {
            self.update(&worker, &id, phase, "why");
        }
    }

    /// Every relay is attached, does what it is told, and what is said has been heard.
    fn come_to_rest(&mut self) {
        self.commits = true;
        self.pass(LEASE);
        self.settle();
        let relays: Vec<_> = self
            .relays
            .iter()
            .map(|(id, relay)| (id.clone(), relay.worker.epoch))
            .collect();
        for (id, epoch) in relays {
            assert!(
                self.attach(&id, epoch),
                "nobody holds a silent worker's name"
            );
        }
        self.settle();
        for id in self.relays.keys().cloned().collect::<Vec<_>>() {
            for replica in std::mem::take(&mut self.relays.get_mut(&id).unwrap().stops) {
                self.update(&id, &replica, wire::Phase::Stopped, "");
            }
        }
        self.settle();
    }

    fn check(&self) {
        for replica in self.store.snapshot.replicas() {
            let runs = |relay: &Relay| relay.running.contains_key(&*replica.id);
            let count = self.relays.values().filter(|relay| runs(relay)).count();
            match replica.state {
                ReplicaState::Failed => assert_eq!(count, 0, "{replica:?}"),
                ReplicaState::Requested => assert!(self.relays.is_empty(), "{replica:?}"),
                ReplicaState::Starting
                | ReplicaState::Ready
                | ReplicaState::Draining
                | ReplicaState::Stopping => {
                    assert_eq!(count, 1, "{replica:?}");
                    assert!(
                        runs(&self.relays[replica.worker.as_deref().unwrap()]),
                        "{replica:?}"
                    );
                }
            }
        }
        for relay in self.relays.values() {
            for replica in relay.running.keys() {
                assert!(self.store.state(replica).is_some(), "{replica} is a stray");
            }
        }
        let ready = |replica: &Arc<Replica>| replica.state == ReplicaState::Ready;
        if self.store.snapshot.replicas().any(ready) {
            assert!(self.store.server("hello").proven);
        }
    }
}

proptest! {
    #[test]
    fn relays_and_store_agree_once_all_is_quiet(events in prop::collection::vec(event(), 0..80)) {
        let mut world = World::new(&[Record::Server(server("hello", 1))]);
        for event in events {
            world.happen(event);
            world.turn();
        }
        world.come_to_rest();
        world.check();
    }
}
