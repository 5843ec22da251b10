//! The command lines of the generator and the origin, both ways: people write them, and the
//! harness writes them for the processes it starts.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    backend::Serve,
    load::{Plan, Stop, pace::Pace, session::Protocol},
    wire::AUTHORITY,
};

/// `fprs-bench load …`: prints one JSON object.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// The proxy or the origin.
    #[arg(long)]
    target: SocketAddr,
    /// How to speak to it.
    #[arg(long, value_enum, default_value = "h2")]
    protocol: Protocol,
    /// Who is asked.
    #[arg(long, default_value = AUTHORITY)]
    authority: String,
    /// Connections.
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Exchanges at a time on each connection (1 with h1).
    #[arg(long, default_value_t = 1)]
    streams: u32,
    /// Requests a second, on a fixed schedule; without it each slot starts again at once.
    #[arg(long)]
    rate: Option<u32>,
    /// Stop after exactly so many exchanges instead of after the window.
    #[arg(long)]
    requests: Option<u64>,
    /// Stop after so many events.
    #[arg(long, conflicts_with = "requests", requires = "event")]
    events: Option<u64>,
    /// Stop when every slot holds an exchange whose first event has arrived.
    #[arg(long, conflicts_with = "requests")]
    hold: bool,
    /// Milliseconds before counting begins.
    #[arg(long, default_value_t = 300)]
    warm_up_ms: u64,
    /// Milliseconds that are counted.
    #[arg(long, default_value_t = 1_000)]
    window_ms: u64,
    /// A request header, `name: value`; may be repeated.
    #[arg(long = "header", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Send a body of one byte.
    #[arg(long)]
    post: bool,
    /// Open WebSockets and send a message at a time on each.
    #[arg(long)]
    websocket: bool,
    /// Never give back flow-control windows.
    #[arg(long)]
    stall: bool,
    /// The body size that a right answer has, in bytes.
    #[arg(long)]
    expect: Option<u64>,
    /// The size of the server-sent events that bodies are made of, in bytes.
    #[arg(long)]
    event: Option<usize>,
    /// Where the origin is asked for the next event whenever one has arrived (its --tick-port).
    #[arg(long, requires = "event")]
    tick: Option<SocketAddr>,
    /// A process whose CPU time, context switches and memory are read; may be repeated.
    #[arg(long)]
    watch: Vec<u32>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `name: value`")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

impl From<LoadArgs> for Plan {
    fn from(args: LoadArgs) -> Self {
        Self {
            target: args.target,
            protocol: args.protocol,
            authority: args.authority,
            connections: args.connections,
            streams: if args.protocol == Protocol::H1 {
                1
            } else {
                args.streams
            },
            pace: args.rate.map_or(Pace::Closed, |rate| Pace::Open { rate }),
            stop: match (args.requests, args.events) {
                (Some(count), _) => Stop::Requests(count),
                (None, Some(count)) => Stop::Events(count),
                (None, None) if args.hold => Stop::Held,
                (None, None) => Stop::After {
                    warm_up: Duration::from_millis(args.warm_up_ms),
                    window: Duration::from_millis(args.window_ms),
                },
            },
            headers: args.headers,
            post: args.post,
            websocket: args.websocket,
            stall: args.stall,
            expect: args.expect,
            event: args.event,
            tick: args.tick,
            watch: args.watch,
        }
    }
}

/// The arguments of `fprs-bench load` that make this plan.
#[must_use]
pub fn of_plan(plan: &Plan) -> Vec<String> {
    let mut words = Vec::new();
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([format!("--{name}"), value]);
        }
    };
    flag("target", Some(plan.target.to_string()));
    flag("protocol", Some(plan.protocol.name().to_owned()));
    flag("authority", Some(plan.authority.clone()));
    flag("connections", Some(plan.connections.to_string()));
    flag("streams", Some(plan.streams.to_string()));
    if let Pace::Open { rate } = plan.pace {
        flag("rate", Some(rate.to_string()));
    }
    match plan.stop {
        Stop::Requests(count) => flag("requests", Some(count.to_string())),
        Stop::Events(count) => flag("events", Some(count.to_string())),
        Stop::Held => {}
        Stop::After { warm_up, window } => {
            flag("warm-up-ms", Some(warm_up.as_millis().to_string()));
            flag("window-ms", Some(window.as_millis().to_string()));
        }
    }
    for (name, value) in &plan.headers {
        flag("header", Some(format!("{name}: {value}")));
    }
    flag("expect", plan.expect.map(|bytes| bytes.to_string()));
    flag("event", plan.event.map(|bytes| bytes.to_string()));
    flag("tick", plan.tick.map(|origin| origin.to_string()));
    for pid in &plan.watch {
        flag("watch", Some(pid.to_string()));
    }
    let hold = matches!(plan.stop, Stop::Held);
    for (set, word) in [
        (plan.post, "--post"),
        (plan.websocket, "--websocket"),
        (plan.stall, "--stall"),
        (hold, "--hold"),
    ] {
        if set {
            words.push(word.to_owned());
        }
    }
    words
}

/// `fprs-bench backend …`: serves until it is stopped.
#[derive(Args, Clone, Debug)]
pub struct BackendArgs {
    /// The loopback port; 0 asks for a free one, which is printed.
    #[arg(long, env = "PORT", default_value_t = 0)]
    pub port: u16,
    /// What every request is answered with.
    #[arg(long, value_enum, default_value = "tiny")]
    serve: Kind,
    /// events: microseconds from one to the next. sleep: microseconds before the answer.
    #[arg(long, default_value_t = 5_000)]
    every_us: u64,
    /// hold: a second loopback port, where each byte is a wish for another event.
    #[arg(long)]
    pub tick_port: Option<u16>,
    /// events, hold: bytes of an event. bulk, mixed: bytes of the body.
    #[arg(long, default_value_t = 200)]
    bytes: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// 13 bytes.
    Tiny,
    /// 13 bytes after a delay.
    Sleep,
    /// 13 bytes after a delay that varies by a third of it.
    Around,
    /// Endless server-sent events.
    Events,
    /// One event and then nothing.
    Hold,
    /// Zeros.
    Bulk,
    /// Zeros if the request has a body, 13 bytes if not.
    Mixed,
    /// WebSockets, each message answered with one.
    Echo,
}

impl From<BackendArgs> for Serve {
    fn from(args: BackendArgs) -> Self {
        let time = Duration::from_micros(args.every_us);
        let size = args.bytes as usize;
        match args.serve {
            Kind::Tiny => Self::Tiny,
            Kind::Sleep => Self::Sleep { after: time },
            Kind::Around => Self::Around { about: time },
            Kind::Events => Self::Events { every: time, size },
            Kind::Hold => Self::Hold { size },
            Kind::Bulk => Self::Bulk { bytes: args.bytes },
            Kind::Mixed => Self::Mixed { bytes: args.bytes },
            Kind::Echo => Self::Echo,
        }
    }
}

/// The arguments of `fprs-bench backend` that make this origin.
#[must_use]
pub fn of_serve(serve: Serve) -> Vec<String> {
    let (kind, every, bytes) = match serve {
        Serve::Tiny => ("tiny", Duration::ZERO, 0),
        Serve::Sleep { after } => ("sleep", after, 0),
        Serve::Around { about } => ("around", about, 0),
        Serve::Events { every, size } => ("events", every, size as u64),
        Serve::Hold { size } => ("hold", Duration::ZERO, size as u64),
        Serve::Bulk { bytes } => ("bulk", Duration::ZERO, bytes),
        Serve::Mixed { bytes } => ("mixed", Duration::ZERO, bytes),
        Serve::Echo => ("echo", Duration::ZERO, 0),
    };
    let every = every.as_micros().to_string();
    [
        "--serve",
        kind,
        "--every-us",
        &every,
        "--bytes",
        &bytes.to_string(),
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches as _, parser::ValueSource};

    use super::*;

    #[test]
    fn a_plan_survives_its_command_line() {
        let plan = Plan {
            target: "127.0.0.1:1".parse().expect("an address"),
            protocol: Protocol::H2,
            authority: "a.b".to_owned(),
            connections: 3,
            streams: 4,
            pace: Pace::Open { rate: 5 },
            stop: Stop::After {
                warm_up: Duration::from_millis(6),
                window: Duration::from_millis(7),
            },
            headers: vec![("a".to_owned(), "b: c".to_owned())],
            post: true,
            websocket: true,
            stall: true,
            expect: Some(8),
            event: Some(200),
            tick: Some("127.0.0.1:2".parse().expect("an address")),
            watch: vec![9, 10],
        };
        let command = LoadArgs::augment_args(clap::Command::new("load").no_binary_name(true));
        let matches = command.get_matches_from(of_plan(&plan));
        assert_eq!(
            matches.value_source("watch"),
            Some(ValueSource::CommandLine)
        );
        let again = Plan::from(LoadArgs::from_arg_matches(&matches).expect("parses"));
        assert_eq!(format!("{again:?}"), format!("{plan:?}"));
    }

    #[test]
    fn an_origin_survives_its_command_line() {
        for serve in [
            Serve::Tiny,
            Serve::Events {
                every: Duration::from_millis(5),
                size: 200,
            },
            Serve::Bulk { bytes: 1 << 30 },
        ] {
            let command = BackendArgs::augment_args(clap::Command::new("b").no_binary_name(true));
            let matches = command.get_matches_from(of_serve(serve));
            let args = BackendArgs::from_arg_matches(&matches).expect("parses");
            assert_eq!(Serve::from(args), serve);
        }
    }
}
