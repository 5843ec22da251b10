//! One server in a world of chance: its users, its replicas, the control process and the proxies,
//! all from one seed. Checks after every tick what must hold in any world.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fprs_autoscaler::decide::{Decision, History, Rule};
use fprs_autoscaler::demand::Load;
use fprs_autoscaler::plan::{Action, Backoff, Situation, current, plan};
use fprs_config::{
    Millis, Replica, ReplicaState, Revision, Scaling, Server, ServerView, Version, samples,
};

const TICK_MS: Millis = 200;
/// The worker that drains in some worlds.
const DRAINS: &str = "drains";
const START_UNIX_MS: Millis = 1_700_000_000_000;
const TURBULENT_TICKS: u64 = 300;
/// Longer than the longest backoff, window and start-up together.
const CALM_TICKS: u64 = 700;
/// A converged world stays still at least this long: longer than the windows then.
const STILL_TICKS: u64 = 100;

pub(crate) struct World {
    rng: fastrand::Rng,
    now_ms: Millis,
    view: ServerView,
    history: History,
    backoff: Backoff,
    /// Exchanges that clients keep open.
    clients: f64,
    /// Share of starts that fail, by generation.
    fails: BTreeMap<u64, f64>,
    crashes: f64,
    /// Replicas all workers together can run.
    capacity: usize,
    /// When each starting replica will be ready or fail.
    starts: HashMap<Arc<str>, Millis>,
    /// When each draining replica will be acknowledged, and when each stopping one will be gone.
    ends: HashMap<Arc<str>, Millis>,
    acknowledges_late: bool,
    /// One of two workers drains; what starts now is on the other one.
    drains: bool,
    born: u64,
    wanted: Vec<(Millis, u32)>,
    still_since: u64,
    tick: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let scaling = scaling(&mut rng);
        let server = Server {
            scaling,
            deployed_unix_ms: START_UNIX_MS,
            ..samples::server("s")
        };
        let view = ServerView {
            server: Some(Arc::new(server)),
            ..ServerView::default()
        };
        let most = usize::try_from(scaling.max_replicas).expect("small");
        Self {
            now_ms: 0,
            view,
            history: History::new(0, 0),
            backoff: Backoff::default(),
            clients: 0.0,
            fails: BTreeMap::from([(1, if rng.bool() { 0.0 } else { rng.f64() * 0.5 })]),
            crashes: if rng.bool() { 0.0 } else { 0.005 },
            capacity: if rng.u8(..4) == 0 { most } else { usize::MAX },
            starts: HashMap::new(),
            ends: HashMap::new(),
            acknowledges_late: rng.u8(..4) == 0,
            drains: false,
            born: 0,
            wanted: Vec::new(),
            still_since: 0,
            tick: 0,
            rng,
        }
    }

    pub(crate) fn run(&mut self) {
        for _ in 0..TURBULENT_TICKS {
            self.turbulence();
            self.step();
        }
        self.calm();
        let end = self.tick + CALM_TICKS;
        while self.tick < end && !(self.tick - self.still_since > STILL_TICKS && self.converged()) {
            self.step();
        }
        self.assert_converged();
    }

    fn step(&mut self) {
        self.control();
        let (load, in_flight) = self.load();
        let decision = self.decide(&load);
        let ready_before = self.count(ReplicaState::Ready);
        let (ends, now_ms, drains) = (&self.ends, self.now_ms, self.drains);
        let acknowledged =
            |replica: &Replica| ends.get(&replica.id).is_some_and(|at| *at <= now_ms);
        let situation = Situation {
            view: &self.view,
            wanted: decision.wanted,
            in_flight: &in_flight,
            leaving: &|replica| leaves(drains, replica),
            acknowledged: &acknowledged,
            now_unix_ms: self.unix_ms(),
        };
        let actions = plan(&situation, &mut self.backoff);
        if !actions.is_empty() {
            self.still_since = self.tick;
        }
        for action in &actions {
            self.act(action, &in_flight);
        }
        self.check(&decision, ready_before);
        self.now_ms += TICK_MS;
        self.tick += 1;
    }

    fn decide(&mut self, load: &Load) -> Decision {
        let scaling = self.server().scaling;
        let before = self.history.wanted();
        let current = current(&self.view);
        let decision = self.history.decide(self.now_ms, load, &scaling, current);
        self.wanted.push((self.now_ms, decision.inputs.tick));
        let max = scaling.max_replicas;
        assert!(
            (scaling.min_replicas..=max).contains(&decision.wanted),
            "{decision:?}"
        );
        if decision.wanted < before && decision.rule != Rule::Max {
            let span_ms = millis(scaling.scaledown_window);
            let recent = self.wanted.iter().rev();
            let recent = recent.take_while(|(at, _)| self.now_ms - at < span_ms);
            let most = recent.map(|&(_, tick)| tick).max().unwrap_or(0);
            assert!(
                decision.wanted >= most,
                "down inside the window: {decision:?}"
            );
        }
        decision
    }

    /// What must hold in any world, at any time.
    fn check(&self, decision: &Decision, ready_before: usize) {
        let server = self.server();
        let max = usize::try_from(server.scaling.max_replicas).expect("small");
        for generation in self.fails.keys() {
            let pool = self.pool(*generation);
            assert!(pool <= max, "{pool} of generation {generation}, max {max}");
        }
        let wanted = usize::try_from(decision.wanted).expect("small");
        let kept = wanted.min(ready_before);
        let ready = self.count(ReplicaState::Ready);
        // Where workers are full one old replica may make room, never the last.
        let room = usize::from(self.capacity != usize::MAX && kept > 1);
        assert!(
            ready + room >= kept,
            "{ready} ready left of {ready_before}, {wanted} wanted"
        );
        assert!(
            self.count(ReplicaState::Failed) <= 3,
            "failed records pile up"
        );
    }

    /// Nothing but what is wanted of the newest version, as far as it fits on the workers.
    fn converged(&self) -> bool {
        let target = self.server().target.generation;
        let wanted = usize::try_from(self.history.wanted()).expect("small");
        let others = self.view.replicas().filter(|replica| {
            replica.generation != target || replica.state != ReplicaState::Requested
        });
        let mut others = others.filter(|replica| replica.state != ReplicaState::Failed);
        self.pool(target) == wanted
            && self.count(ReplicaState::Ready) == wanted.min(self.capacity)
            && others.all(|replica| {
                replica.generation == target
                    && replica.state == ReplicaState::Ready
                    && !leaves(self.drains, replica)
            })
    }

    fn assert_converged(&self) {
        assert!(self.converged(), "not converged: {:?}", self.view);
        let still = self.tick - self.still_since;
        assert!(still > STILL_TICKS, "moved {still} ticks before the end");
        assert!(
            self.clients == 0.0 || self.history.wanted() > 0,
            "load and no replica"
        );
    }

    fn turbulence(&mut self) {
        match self.rng.u32(..100) {
            0..4 => self.clients = 0.0,
            4..8 => self.clients = f64::from(self.rng.u32(..60)),
            8..10 => self.clients += f64::from(self.rng.u32(..5)),
            10 => self.deploy(),
            11 => {
                let scaling = scaling(&mut self.rng);
                self.edit(|server| server.scaling = scaling);
            }
            12 => self.drains = !self.drains,
            _ => {}
        }
    }

    /// From now on nothing fails and nobody changes anything; the newest version is good.
    fn calm(&mut self) {
        self.deploy();
        self.crashes = 0.0;
        self.acknowledges_late = false;
        self.fails.values_mut().for_each(|share| *share = 0.0);
        // At least two replicas fit, so that a deploy has room for one more than the last.
        self.capacity = self.capacity.max(2);
        if self.drains {
            self.capacity = usize::MAX;
        }
        self.edit(|server| server.scaling.scaledown_window = Duration::from_secs(10));
    }

    fn deploy(&mut self) {
        let share = [0.0, 0.3, 1.0][self.rng.usize(..3)];
        let mut generation = 0;
        self.edit(|server| {
            if server.proven {
                server.fallback = Some(Arc::clone(&server.target));
            }
            server.proven = false;
            generation = server.target.generation + 1;
            server.target = version(generation);
        });
        self.fails.insert(generation, share);
    }

    /// What the control process and relays do between two ticks.
    fn control(&mut self) {
        let replicas: Vec<Arc<Replica>> = self.view.replicas().map(Arc::clone).collect();
        for replica in replicas {
            match replica.state {
                ReplicaState::Requested => {
                    if self.placed() < self.capacity {
                        let takes_ms = self.rng.u64(0..6_000);
                        self.starts
                            .insert(Arc::clone(&replica.id), self.now_ms + takes_ms);
                        self.set(&replica.id, ReplicaState::Starting);
                        self.place(&replica.id);
                    }
                }
                ReplicaState::Starting => {
                    if self
                        .starts
                        .get(&replica.id)
                        .is_some_and(|at| *at <= self.now_ms)
                    {
                        let share = self.fails.get(&replica.generation).copied().unwrap_or(0.0);
                        let fails = self.rng.f64() < share;
                        self.set(
                            &replica.id,
                            if fails {
                                ReplicaState::Failed
                            } else {
                                ReplicaState::Ready
                            },
                        );
                    }
                }
                ReplicaState::Ready => {
                    if self.rng.f64() < self.crashes {
                        self.set(&replica.id, ReplicaState::Failed);
                    }
                }
                ReplicaState::Stopping => {
                    if self
                        .ends
                        .get(&replica.id)
                        .is_none_or(|at| *at <= self.now_ms)
                    {
                        self.view.replicas.remove(&replica.id);
                    }
                }
                ReplicaState::Draining | ReplicaState::Failed => {}
            }
        }
        let target = self.server().target.generation;
        let proven = self
            .view
            .replicas()
            .any(|replica| replica.generation == target && replica.state == ReplicaState::Ready);
        if proven && !self.server().proven {
            self.edit(|server| server.proven = true);
        }
    }

    /// Clients spread over the ready replicas; without any, they ask in vain.
    fn load(&mut self) -> (Load, HashMap<Arc<str>, u64>) {
        let ready: Vec<Arc<str>> = self
            .view
            .replicas()
            .filter(|replica| replica.state == ReplicaState::Ready)
            .map(|replica| Arc::clone(&replica.id))
            .collect();
        if ready.is_empty() {
            let load = Load {
                unserved: u64::from(self.clients > 0.0),
                ..Load::default()
            };
            return (load, HashMap::new());
        }
        let each = self.clients / ready.len() as f64;
        let in_flight: HashMap<_, _> = ready
            .into_iter()
            .map(|id| (id, each as u64 + self.rng.u64(..2)))
            .collect();
        let load = Load {
            average: self.clients,
            in_flight: self.clients as u64,
            replicas: in_flight.clone(),
            ..Load::default()
        };
        (load, in_flight)
    }

    fn act(&mut self, action: &Action, in_flight: &HashMap<Arc<str>, u64>) {
        match action {
            Action::Request { generation, count } => {
                assert!(self.server().version(*generation).is_some());
                for _ in 0..*count {
                    self.born += 1;
                    let replica = self.replica(*generation);
                    self.view.put(Arc::new(replica), Revision(1));
                }
            }
            Action::Drain(ids) => {
                self.assert_least_loaded(ids, in_flight);
                for id in ids {
                    let late_ms = if self.acknowledges_late { 60_000 } else { 600 };
                    let after_ms = self.rng.u64(0..late_ms);
                    self.ends.insert(Arc::clone(id), self.now_ms + after_ms);
                    self.set(id, ReplicaState::Draining);
                }
            }
            Action::Stop(ids) => {
                for id in ids {
                    let since = self.view.replicas.get(id).expect("it exists").since_unix_ms;
                    let acknowledged = self.ends[id] <= self.now_ms;
                    assert!(acknowledged || self.unix_ms() - since >= 5_000);
                    let takes_ms = self.rng.u64(0..3_000);
                    self.ends.insert(Arc::clone(id), self.now_ms + takes_ms);
                    self.set(id, ReplicaState::Stopping);
                }
            }
            Action::Delete(ids) => {
                for id in ids {
                    let gone = self.view.replicas.remove(id).expect("it exists");
                    assert!(matches!(
                        gone.state,
                        ReplicaState::Requested | ReplicaState::Failed
                    ));
                }
            }
        }
    }

    /// Nothing busier is drained while something of the same generation, on the same worker as far
    /// as one drains, stays.
    fn assert_least_loaded(&self, drained: &[Arc<str>], in_flight: &HashMap<Arc<str>, u64>) {
        let load = |id: &Arc<str>| in_flight.get(id).copied().unwrap_or(0);
        for id in drained {
            let gone = self.view.replicas.get(id).expect("it exists");
            let stays = self.view.replicas().filter(|other| {
                other.state == ReplicaState::Ready
                    && other.generation == gone.generation
                    && leaves(self.drains, other) == leaves(self.drains, gone)
                    && !drained.contains(&other.id)
            });
            for other in stays {
                assert!(
                    load(id) <= load(&other.id),
                    "{id} drained, {} stays",
                    other.id
                );
            }
        }
    }

    fn replica(&self, generation: u64) -> Replica {
        Replica {
            id: format!("s-{generation}-{}", self.born).into(),
            server: "s".into(),
            generation,
            state: ReplicaState::Requested,
            worker: None,
            address: None,
            since_unix_ms: self.unix_ms(),
            reason: String::new(),
            startup_ms: 0,
            weight: 1,
            egress: "".into(),
        }
    }

    fn set(&mut self, id: &Arc<str>, state: ReplicaState) {
        let mut replica = Replica::clone(self.view.replicas.get(id).expect("it exists"));
        replica.state = state;
        replica.since_unix_ms = self.unix_ms();
        self.view.put(Arc::new(replica), Revision(1));
    }

    fn place(&mut self, id: &Arc<str>) {
        let mut replica = Replica::clone(self.view.replicas.get(id).expect("it exists"));
        let other = self.drains || self.rng.bool();
        replica.worker = Some(if other { "other" } else { DRAINS }.into());
        self.view.put(Arc::new(replica), Revision(1));
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Server)) {
        let mut server = Server::clone(self.server());
        edit(&mut server);
        self.view.server = Some(Arc::new(server));
    }

    fn server(&self) -> &Server {
        self.view.server.as_ref().expect("deployed")
    }

    fn count(&self, state: ReplicaState) -> usize {
        let replicas = self.view.replicas();
        replicas.filter(|replica| replica.state == state).count()
    }

    /// Replicas of a generation that serve or will.
    fn pool(&self, generation: u64) -> usize {
        let replicas = self.view.replicas();
        replicas
            .filter(|replica| replica.generation == generation)
            .filter(|replica| !leaves(self.drains, replica))
            .filter(|replica| {
                matches!(
                    replica.state,
                    ReplicaState::Requested | ReplicaState::Starting | ReplicaState::Ready
                )
            })
            .count()
    }

    /// Replicas that occupy a worker.
    fn placed(&self) -> usize {
        let replicas = self.view.replicas();
        replicas
            .filter(|replica| {
                !matches!(
                    replica.state,
                    ReplicaState::Requested | ReplicaState::Failed
                )
            })
            .count()
    }

    const fn unix_ms(&self) -> Millis {
        START_UNIX_MS + self.now_ms
    }
}

/// Whether a replica is on a worker that drains.
fn leaves(drains: bool, replica: &Replica) -> bool {
    drains && replica.worker.as_deref() == Some(DRAINS)
}

fn scaling(rng: &mut fastrand::Rng) -> Scaling {
    let min_replicas = [0, 0, 1, 2][rng.usize(..4)];
    Scaling {
        target_concurrency: Some([1.0, 1.5, 4.0, 10.0][rng.usize(..4)]),
        min_replicas,
        max_replicas: min_replicas + rng.u32(1..8),
        buffer_replicas: [0, 0, 1, 2][rng.usize(..4)],
        scaleup_window: Duration::from_secs([0, 0, 2][rng.usize(..3)]),
        scaledown_window: Duration::from_secs([0, 2, 10, 20][rng.usize(..4)]),
        scaleup_rate_limit: None,
        scaledown_rate_limit: None,
        paused: false,
    }
}

fn version(generation: u64) -> Arc<Version> {
    Arc::new(samples::version(generation))
}

fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).expect("small")
}
