//! PURE. The cases: what the origin serves and what the generator sends; [`figures`] says what
//! comes of it.

pub mod figures;

use std::{net::SocketAddr, time::Duration};

use crate::{
    backend::Serve,
    load::{Plan, Stop, pace::Pace, session::Protocol},
    proxy::Pair,
    wire::{AUTHORITY, TINY, UNMIRRORED, websocket},
};

/// Connections and streams at saturation: enough outstanding to keep the proxy's core busy.
const BUSY_CONNECTIONS: u32 = 4;
const BUSY_STREAMS: u32 = 32;
/// HTTP/1.1 has one exchange a connection.
const BUSY_H1: u32 = 64;
/// The low rate: far below what any peer can do, so that queues stay empty.
const LOW_RATE: u32 = 2_000;
const LOW_CONNECTIONS: u32 = 2;
const LOW_SLOTS: u32 = 32;
/// Server-sent events: streams, period and size.
const EVENT_STREAMS: u32 = 50;
const EVENT_PERIOD: Duration = Duration::from_millis(5);
const EVENT_SIZE: usize = 200;
const EVENT_CONNECTIONS: u32 = 5;
const BULK_CONNECTIONS: u32 = 2;
/// WebSockets that carry a message each at a time.
const SOCKETS: u32 = 64;
const SOCKET_CONNECTIONS: u32 = 4;
/// Held exchanges in the first look at memory, so that what is allocated once is not counted.
const HELD_BEFORE: u32 = 100;
const HELD_STREAMS: u32 = 100;
/// Interference: the victim's rate, and a body that a stalled reader never takes whole.
const VICTIM_RATE: u32 = 1_000;
const STALLED: u32 = 8;
const STALLED_BODY: u64 = 64 << 20;
/// Requests at once to a cold server.
const BURST: u32 = 200;
const BURST_CONNECTIONS: u32 = 4;
const FLOOD_STREAMS: u32 = 64;
/// An aggressor is stopped when its victim has been measured; at the latest after this.
const AGGRESSION: Duration = Duration::from_secs(60);

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Times that each proxy has its turn.
    pub rounds: u32,
    /// The most for cases that take long.
    pub costly_rounds: u32,
    /// Not counted at the start of each run.
    pub warm_up: Duration,
    /// Counted.
    pub window: Duration,
    /// Bytes of one bulk run, over all its responses.
    pub bulk: u64,
    /// Exchanges held for the memory case, and ten times as many in the largest.
    pub held: u32,
    /// The most that can be held: a proxy needs two descriptors for each.
    pub most_held: u32,
}

/// What is asked of the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Tiny requests as fast as they go.
    Saturation,
    /// Tiny requests at a low fixed rate.
    LowRate,
    /// Streams of small events.
    Events,
    /// Messages on WebSockets, as fast as they are answered.
    WebSocket,
    /// Large bodies.
    Bulk,
    /// Tiny requests as fast as they go, on two cores that the proxy shares with both ends.
    TwoCores,
    /// Exchanges that are held open: a thousand, or ten.
    Memory {
        /// Ten thousand.
        tenfold: bool,
    },
    /// Connections that have had one exchange and wait for another.
    Idle {
        /// Ten thousand.
        tenfold: bool,
    },
    /// Requests all at once to a server without a replica.
    Cold,
    /// A victim at a low rate while others stop reading.
    Stalled,
    /// A victim at a low rate while another sends as fast as it can.
    Flood,
    /// A victim at a low rate while the routing table changes ten thousand times a second.
    Churn,
    /// Tiny requests without a mirror and then with one of all of them, as fast as they go or at a low
    /// rate.
    Mirror {
        /// Who gets the copies.
        shadow: Shadow,
        /// At the victim's rate.
        low: bool,
    },
}

/// Who gets copies of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shadow {
    /// The origin, once more.
    Healthy,
    /// It has no replica.
    Absent,
    /// Nobody listens.
    Refusing,
    /// Every connection is reset.
    Resetting,
    /// It accepts, and reads nothing.
    Stuck,
    /// It reads a KiB a second.
    Trickling,
    /// It answers after ten times as long as the origin through a proxy.
    Slow,
    /// It resets every answer in its body.
    Dying,
}

impl Shadow {
    const ALL: [Self; 8] = [
        Self::Healthy,
        Self::Stuck,
        Self::Absent,
        Self::Refusing,
        Self::Resetting,
        Self::Trickling,
        Self::Slow,
        Self::Dying,
    ];

    /// Those of a full run; the others are run by their names.
    const IN_FULL: usize = 2;

    const fn suffixes(self) -> (&'static str, &'static str) {
        match self {
            Self::Healthy => ("-mirror", "-mirror-low"),
            Self::Absent => ("-mirror-absent", "-mirror-absent-low"),
            Self::Refusing => ("-mirror-refusing", "-mirror-refusing-low"),
            Self::Resetting => ("-mirror-resetting", "-mirror-resetting-low"),
            Self::Stuck => ("-mirror-stuck", "-mirror-stuck-low"),
            Self::Trickling => ("-mirror-trickling", "-mirror-trickling-low"),
            Self::Slow => ("-mirror-slow", "-mirror-slow-low"),
            Self::Dying => ("-mirror-dying", "-mirror-dying-low"),
        }
    }

    fn cases() -> impl Iterator<Item = Case> {
        Self::ALL.into_iter().flat_map(|shadow| {
            [false, true].map(|low| Case {
                pair: Pair::H2_H2,
                kind: Kind::Mirror { shadow, low },
            })
        })
    }
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The protocols.
    pub pair: Pair,
    /// The rest.
    pub kind: Kind,
}

/// Every case, in the order of reports; those in a quick run come with `quick`.
#[must_use]
pub fn all(quick: bool) -> Vec<Case> {
    let case = |pair, kind| Case { pair, kind };
    let mut cases = vec![
        case(Pair::H2_H2, Kind::Saturation),
        case(Pair::H1_H1, Kind::Saturation),
        case(Pair::H2_H1, Kind::Saturation),
        case(Pair::H2_H2, Kind::LowRate),
        case(Pair::H2_H2, Kind::Events),
        case(Pair::H2_H2, Kind::Bulk),
    ];
    if !quick {
        cases.extend([
            case(Pair::H1_H2, Kind::Saturation),
            case(Pair::H1_H1, Kind::LowRate),
            case(Pair::H2_H1, Kind::LowRate),
            case(Pair::H2_H1, Kind::Events),
            case(Pair::H1_H2, Kind::WebSocket),
            case(Pair::H2_H1, Kind::WebSocket),
            case(Pair::H1_H1, Kind::WebSocket),
            case(Pair::H1_H1, Kind::Bulk),
            case(Pair::H2_H1, Kind::Bulk),
            case(Pair::H2_H2, Kind::TwoCores),
            case(Pair::H2_H2, Kind::Memory { tenfold: false }),
            case(Pair::H1_H1, Kind::Memory { tenfold: false }),
            case(Pair::H1_H1, Kind::Idle { tenfold: false }),
            case(Pair::H2_H2, Kind::Memory { tenfold: true }),
            case(Pair::H1_H1, Kind::Memory { tenfold: true }),
            case(Pair::H1_H1, Kind::Idle { tenfold: true }),
            case(Pair::H2_H2, Kind::Stalled),
            case(Pair::H2_H2, Kind::Flood),
            case(Pair::H2_H2, Kind::Churn),
            case(Pair::H2_H1, Kind::Cold),
        ]);
        cases.extend(Shadow::cases().take(2 * Shadow::IN_FULL));
    }
    cases
}

impl Case {
    /// Its name in reports and on the command line.
    #[must_use]
    pub fn name(self) -> String {
        let suffix = match self.kind {
            Kind::Saturation => "",
            Kind::LowRate => "-low",
            Kind::Events => "-sse",
            Kind::WebSocket => "-ws",
            Kind::Bulk => "-bulk",
            Kind::TwoCores => "-two-cores",
            Kind::Memory { tenfold: false } => "-memory",
            Kind::Memory { tenfold: true } => "-memory-10k",
            Kind::Idle { tenfold: false } => "-idle",
            Kind::Idle { tenfold: true } => "-idle-10k",
            Kind::Cold => "-cold",
            Kind::Stalled => "-stalled-readers",
            Kind::Flood => "-flood",
            Kind::Churn => "-churn",
            Kind::Mirror { shadow, low: false } => shadow.suffixes().0,
            Kind::Mirror { shadow, low: true } => shadow.suffixes().1,
        };
        format!("{}{suffix}", self.pair.name())
    }

    /// The case of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut cases = all(false).into_iter().chain(Shadow::cases());
        cases.find(|case| case.name() == name)
    }

    /// Who gets copies of the requests, if anybody.
    #[must_use]
    pub fn shadow(self) -> Option<Shadow> {
        match self.kind {
            Kind::Mirror { shadow, .. } => Some(shadow),
            _ => None,
        }
    }

    /// Whether a run straight to the origin says anything.
    #[must_use]
    pub fn has_direct(self) -> bool {
        matches!(self.kind, Kind::LowRate | Kind::Events)
    }

    /// Whether only fprs has what is measured.
    #[must_use]
    pub fn is_ours_alone(self) -> bool {
        matches!(self.kind, Kind::Churn | Kind::Cold | Kind::Mirror { .. })
    }

    /// Whether cores sleep between requests.
    #[must_use]
    pub fn leaves_cores_idle(self) -> bool {
        matches!(
            self.kind,
            Kind::LowRate
                | Kind::Events
                | Kind::Stalled
                | Kind::Flood
                | Kind::Churn
                | Kind::Mirror { low: true, .. }
        )
    }

    /// Whether it is about one process under pressure: no need for a second flavour of the same
    /// program.
    #[must_use]
    pub fn is_of_one_process(self) -> bool {
        matches!(
            self.kind,
            Kind::Memory { .. } | Kind::Idle { .. } | Kind::Stalled | Kind::Flood
        )
    }

    /// Whether our table is full. Reading a hundred thousand records leaves free memory behind, in
    /// which a thousand exchanges would not show.
    #[must_use]
    pub fn has_table(self) -> bool {
        !matches!(self.kind, Kind::Memory { .. } | Kind::Idle { .. })
    }

    /// Replicas of our server: one carries fewer exchanges from a core than are held at the most.
    #[must_use]
    pub fn replicas(self) -> u32 {
        match self.kind {
            Kind::Cold => 0,
            Kind::Memory { tenfold: true } => 2,
            _ => 1,
        }
    }

    /// Threads that a proxy gets.
    #[must_use]
    pub fn cores(self) -> u32 {
        if self.kind == Kind::TwoCores { 2 } else { 1 }
    }

    /// What the origin serves.
    #[must_use]
    pub fn serve(self, effort: Effort) -> Serve {
        match self.kind {
            Kind::Saturation
            | Kind::TwoCores
            | Kind::LowRate
            | Kind::Idle { .. }
            | Kind::Churn
            | Kind::Mirror { .. }
            | Kind::Cold => Serve::Tiny,
            Kind::Events => Serve::Events {
                every: EVENT_PERIOD,
                size: EVENT_SIZE,
            },
            Kind::WebSocket => Serve::Echo,
            Kind::Bulk => Serve::Bulk {
                bytes: bulk_body(effort),
            },
            Kind::Memory { .. } => Serve::Hold { size: EVENT_SIZE },
            Kind::Stalled | Kind::Flood => Serve::Mixed {
                bytes: STALLED_BODY,
            },
        }
    }

    /// What the generator sends.
    #[must_use]
    pub fn plan(self, target: SocketAddr, effort: Effort) -> Plan {
        let base = Plan {
            target,
            protocol: self.pair.down,
            authority: AUTHORITY.to_owned(),
            connections: 1,
            streams: 1,
            pace: Pace::Closed,
            stop: Stop::After {
                warm_up: effort.warm_up,
                window: effort.window,
            },
            headers: ordinary_headers(),
            post: false,
            websocket: false,
            stall: false,
            expect: Some(TINY.len() as u64),
            event: None,
            tick: None,
            watch: Vec::new(),
        };
        match self.kind {
            Kind::Saturation | Kind::TwoCores | Kind::Mirror { low: false, .. } => self.spread(
                base,
                BUSY_CONNECTIONS,
                BUSY_CONNECTIONS * BUSY_STREAMS,
                BUSY_H1,
            ),
            Kind::LowRate => Plan {
                pace: Pace::Open { rate: LOW_RATE },
                // A p99.9 needs thousands of requests.
                stop: Stop::After {
                    warm_up: effort.warm_up,
                    window: 2 * effort.window,
                },
                ..self.spread(base, LOW_CONNECTIONS, LOW_SLOTS, LOW_SLOTS)
            },
            Kind::Events => Plan {
                expect: None,
                event: Some(EVENT_SIZE),
                ..self.spread(base, EVENT_CONNECTIONS, EVENT_STREAMS, EVENT_STREAMS)
            },
            Kind::WebSocket => Plan {
                websocket: true,
                expect: Some(websocket::FROM_SERVER as u64),
                ..self.spread(base, SOCKET_CONNECTIONS, SOCKETS, SOCKETS)
            },
            Kind::Bulk => Plan {
                stop: Stop::Requests(BULK_RESPONSES),
                expect: Some(bulk_body(effort)),
                ..self.spread(base, BULK_CONNECTIONS, BULK_CONNECTIONS, BULK_CONNECTIONS)
            },
            Kind::Memory { tenfold } => self.hold(base, HELD_BEFORE + held(effort, tenfold)),
            Kind::Idle { tenfold } => idle(base, HELD_BEFORE + held(effort, tenfold)),
            Kind::Cold => Plan {
                stop: Stop::Requests(u64::from(BURST)),
                ..self.spread(base, BURST_CONNECTIONS, BURST, BURST)
            },
            Kind::Stalled | Kind::Flood | Kind::Churn | Kind::Mirror { low: true, .. } => Plan {
                pace: Pace::Open { rate: VICTIM_RATE },
                // A p99 of a few hundred requests is chance.
                stop: Stop::After {
                    warm_up: effort.warm_up,
                    window: effort.window * if self.is_ours_alone() { 4 } else { 2 },
                },
                ..self.spread(base, 1, LOW_SLOTS, LOW_SLOTS)
            },
        }
    }

    /// What is run before the plan to compare it with, on the same proxy.
    #[must_use]
    pub fn base_plan(self, target: SocketAddr, effort: Effort) -> Option<Plan> {
        let plan = self.plan(target, effort);
        match self.kind {
            Kind::Memory { .. } => Some(self.hold(plan, HELD_BEFORE)),
            Kind::Idle { .. } => Some(idle(plan, HELD_BEFORE)),
            Kind::Stalled | Kind::Flood | Kind::Churn => Some(plan),
            Kind::Mirror { .. } => Some(Plan {
                authority: UNMIRRORED.to_owned(),
                ..plan
            }),
            _ => None,
        }
    }

    /// Who disturbs the plan while it runs.
    #[must_use]
    pub fn aggressor(self, target: SocketAddr, effort: Effort) -> Option<Plan> {
        let plan = Plan {
            pace: Pace::Closed,
            expect: None,
            stop: Stop::After {
                warm_up: Duration::ZERO,
                window: AGGRESSION,
            },
            ..self.plan(target, effort)
        };
        match self.kind {
            Kind::Stalled => Some(Plan {
                post: true,
                stall: true,
                ..self.spread(plan, 1, STALLED, STALLED)
            }),
            Kind::Flood => Some(self.spread(plan, 1, FLOOD_STREAMS, FLOOD_STREAMS)),
            _ => None,
        }
    }

    fn hold(self, plan: Plan, count: u32) -> Plan {
        let plan = Plan {
            expect: None,
            event: Some(EVENT_SIZE),
            stop: Stop::Held,
            ..plan
        };
        // A hundred streams or so each, as clients do.
        self.spread(plan, count / HELD_STREAMS, count, count)
    }

    /// Spreads slots over connections as the client's protocol needs.
    fn spread(self, plan: Plan, connections: u32, h2_slots: u32, h1_slots: u32) -> Plan {
        match self.pair.down {
            Protocol::H1 => Plan {
                connections: h1_slots,
                streams: 1,
                ..plan
            },
            Protocol::H2 => Plan {
                connections,
                streams: h2_slots / connections,
                ..plan
            },
        }
    }

    /// Whether each round needs a process that has done nothing before: memory once taken is
    /// seldom given back.
    #[must_use]
    pub fn needs_fresh_process(self) -> bool {
        matches!(
            self.kind,
            Kind::Memory { .. } | Kind::Idle { .. } | Kind::Cold
        )
    }

    /// How often it is measured: what has wide gates or starts processes, at most so often.
    #[must_use]
    pub fn rounds(self, effort: Effort) -> u32 {
        match self.kind {
            Kind::Memory { tenfold: true } | Kind::Idle { tenfold: true } => 1,
            Kind::Memory { .. }
            | Kind::Idle { .. }
            | Kind::Cold
            | Kind::Stalled
            | Kind::Flood
            | Kind::Mirror { .. }
            | Kind::Churn => effort.rounds.min(effort.costly_rounds),
            _ => effort.rounds,
        }
    }

    /// Whether an error spoils the run; with interference it is what is measured.
    #[must_use]
    pub fn tolerates_errors(self) -> bool {
        matches!(self.kind, Kind::Stalled | Kind::Flood | Kind::Churn)
    }

    /// The figure that plots and ratios show, smaller being better.
    #[must_use]
    pub fn headline(self) -> &'static str {
        match self.kind {
            Kind::Saturation | Kind::TwoCores => "cpu_us_per_request",
            Kind::LowRate => "p50_us",
            Kind::Events => "cpu_us_per_chunk",
            Kind::WebSocket => "cpu_us_per_message",
            Kind::Bulk => "cpu_s_per_gib",
            Kind::Memory { .. } => "kib_per_held_exchange",
            Kind::Idle { .. } => "kib_per_connection",
            Kind::Cold => "p99_ms",
            Kind::Mirror { low: false, .. } => "cpu_ratio",
            Kind::Mirror { low: true, .. } => "victim_p99_us",
            Kind::Stalled | Kind::Flood | Kind::Churn => "victim_p99_us",
        }
    }
}

/// Responses that share a bulk run's bytes.
const BULK_RESPONSES: u64 = 8;

fn held(effort: Effort, tenfold: bool) -> u32 {
    let times = if tenfold { 10 } else { 1 };
    (times * effort.held).min(effort.most_held.saturating_sub(HELD_BEFORE))
}

/// A request on each of `count` HTTP/1.1 connections, which then stay.
fn idle(plan: Plan, count: u32) -> Plan {
    Plan {
        connections: count,
        streams: 1,
        stop: Stop::Requests(u64::from(count)),
        ..plan
    }
}

fn bulk_body(effort: Effort) -> u64 {
    effort.bulk / BULK_RESPONSES
}

/// What a plain client sends besides the request line.
fn ordinary_headers() -> Vec<(String, String)> {
    [("user-agent", "fprs-bench"), ("accept", "*/*")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back_to_their_case() {
        for case in all(false).into_iter().chain(Shadow::cases()) {
            assert_eq!(Case::named(&case.name()), Some(case));
        }
        assert!(all(true).iter().all(|case| all(false).contains(case)));
    }
}
