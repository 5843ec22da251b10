//! `fprs-bench`: parses the command line and runs what it says.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use fprs_benches::{
    arguments::{BackendArgs, LoadArgs},
    backend::{Backend, Serve},
    cases::{self, Case, Effort},
    churn,
    count::Subject,
    gate,
    harness::Comparison,
    load::{self, Plan, session::Protocol},
    peer::{h2_relay, pingora},
    process::descriptors,
    proxy::{self, Proxy},
    records::million,
    report::{Report, machine::Machine, text},
};
use nix::sys::resource::{Resource, setrlimit};

/// Measures fprs beside its peers.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare the proxies that are installed.
    Run {
        /// Under two minutes: the main cases only, shorter windows, fewer rounds.
        #[arg(long)]
        quick: bool,
        /// Only these cases.
        #[arg(long, value_delimiter = ',')]
        cases: Vec<String>,
        /// Only these proxies.
        #[arg(long, value_delimiter = ',')]
        proxies: Vec<String>,
        /// Times that each proxy has its turn.
        #[arg(long)]
        rounds: Option<u32>,
        /// Where the report goes.
        #[arg(long, default_value = "target/bench")]
        out: PathBuf,
    },
    /// List the cases and the proxies, with what is missing for each.
    List,
    /// Count instructions and allocations per request under valgrind.
    Count {
        /// Only these proxies.
        #[arg(long, alias = "proxy", value_delimiter = ',')]
        proxies: Vec<String>,
        /// What is counted: tiny requests, events (-sse) or messages (-ws).
        #[arg(long, default_value = "h2-h2")]
        case: String,
        /// How many in the shorter of the two runs.
        #[arg(long, default_value_t = 2_000)]
        requests: u64,
        /// How many at a time, on one connection.
        #[arg(long, default_value_t = 32)]
        streams: u32,
    },
    /// Count what fprs spends and compare it with the baseline.
    Gate {
        /// Where the baseline is.
        #[arg(long, default_value = "benches/baseline.json")]
        baseline: PathBuf,
        /// Write the baseline instead.
        #[arg(long)]
        write: bool,
    },
    /// Change a plane's table ten thousand times a second.
    Churn {
        /// The control process.
        #[arg(long)]
        control: SocketAddr,
        /// Its admin token.
        #[arg(long, env = "FPRS_ADMIN_TOKEN")]
        admin_token: String,
        /// In a store of `million`, of so many servers.
        #[arg(long)]
        million: Option<usize>,
    },
    /// A million domains in one proxy: memory, boots, and latency while they change.
    Million {
        /// Servers that they belong to.
        #[arg(long, default_value_t = million::SERVERS)]
        servers: usize,
        /// Times that the latency is measured.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Where the report goes.
        #[arg(long, default_value = "target/bench-million")]
        out: PathBuf,
    },
    /// Serve the feed of a store.
    Feed {
        /// Its file.
        #[arg(long)]
        store: PathBuf,
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Run the load generator alone and print what it saw as JSON.
    Load(LoadArgs),
    /// Run the origin alone; prints its port.
    Backend(BackendArgs),
    /// Run a bare proxy of our own making.
    #[command(subcommand)]
    Peer(Peer),
}

#[derive(Subcommand)]
enum Peer {
    /// The smallest pingora-proxy forwarder.
    Pingora {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
        /// How to speak to the origin.
        #[arg(long, value_enum, default_value = "h2")]
        protocol: Protocol,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Current-thread runtimes instead of tokio's work-stealing scheduler.
        #[arg(long)]
        no_steal: bool,
    },
    /// The smallest relay on the h2 crate.
    H2Relay {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
    },
}

/// File descriptors for ten thousand exchanges and both their connections.
const DESCRIPTORS: u64 = 65_536;
/// What a proxy needs beside them.
const SPARE_DESCRIPTORS: u64 = 500;

fn main() -> Result<()> {
    // Where that is not allowed, the largest cases hold fewer; their figures say how many.
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS).ok();
    match Cli::parse().command {
        Command::Run {
            quick,
            cases,
            proxies,
            rounds,
            out,
        } => {
            let mut effort = if quick { QUICK } else { FULL };
            let pairs = descriptors().saturating_sub(SPARE_DESCRIPTORS) / 2;
            effort.most_held = u32::try_from(pairs).unwrap_or(u32::MAX);
            if let Some(rounds) = rounds {
                (effort.rounds, effort.costly_rounds) = (rounds, rounds);
            }
            compare(
                &choose_cases(quick, &cases)?,
                choose_proxies(&proxies)?,
                effort,
                &out,
            )
        }
        Command::List => list(),
        Command::Count {
            proxies,
            case,
            requests,
            streams,
        } => {
            let Some(case) = Case::named(&case) else {
                bail!("no case is named {case}")
            };
            count_all(choose_proxies(&proxies)?, case, requests, streams)
        }
        Command::Gate { baseline, write } => {
            if write {
                gate::write(&baseline, QUICK)
            } else {
                gate::check(&baseline, QUICK)
            }
        }
        Command::Churn {
            control,
            admin_token,
            million,
        } => churn::run(control, &admin_token, million),
        Command::Million {
            servers,
            rounds,
            out,
        } => measure_million(servers, rounds, &out),
        Command::Feed { store, listen } => fprs_benches::million::feed(&store, listen),
        Command::Load(args) => {
            let outcome = load::run(&Plan::from(args))?;
            println!("{}", serde_json::to_string_pretty(&outcome)?);
            Ok(())
        }
        Command::Backend(args) => {
            let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
            let ticks = args.tick_port.map(at);
            let mut backend = Backend::bind(at(args.port), Serve::from(args))?;
            ticks.map(|ticks| backend.tick_at(ticks)).transpose()?;
            println!("{}", backend.address()?.port());
            Ok(backend.run()?)
        }
        Command::Peer(Peer::Pingora {
            listen,
            upstream,
            protocol,
            threads,
            no_steal,
        }) => pingora::run(pingora::Setup {
            listen,
            upstream,
            protocol,
            threads,
            steal: !no_steal,
        }),
        Command::Peer(Peer::H2Relay { listen, upstream }) => h2_relay::run(listen, upstream),
    }
}

const QUICK: Effort = Effort {
    rounds: 2,
    costly_rounds: 2,
    warm_up: Duration::from_millis(150),
    window: Duration::from_millis(500),
    bulk: 256 << 20,
    held: 1_000,
    most_held: u32::MAX,
};
const FULL: Effort = Effort {
    rounds: 5,
    costly_rounds: 5,
    warm_up: Duration::from_millis(150),
    window: Duration::from_millis(500),
    bulk: 256 << 20,
    held: 1_000,
    most_held: u32::MAX,
};

fn choose_cases(quick: bool, names: &[String]) -> Result<Vec<Case>> {
    if names.is_empty() {
        return Ok(cases::all(quick));
    }
    let known = || {
        cases::all(false)
            .into_iter()
            .map(Case::name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let find = |name: &String| match Case::named(name) {
        Some(case) => Ok(case),
        None => bail!("no case is named {name}; there are: {}", known()),
    };
    names.iter().map(find).collect()
}

fn choose_proxies(names: &[String]) -> Result<Vec<&'static dyn Proxy>> {
    let all = proxy::all();
    if let Some(name) = names
        .iter()
        .find(|name| all.iter().all(|proxy| proxy.name() != *name))
    {
        let known: Vec<&str> = all.iter().map(|proxy| proxy.name()).collect();
        bail!("no proxy is named {name}; there are: {}", known.join(", "));
    }
    let wanted = |proxy: &&dyn Proxy| names.is_empty() || names.iter().any(|n| n == proxy.name());
    Ok(all.into_iter().filter(wanted).collect())
}

fn compare(
    cases: &[Case],
    proxies: Vec<&'static dyn Proxy>,
    effort: Effort,
    out: &std::path::Path,
) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("built without optimisation: figures of our own proxies mean nothing");
    }
    let effort_text = format!(
        "{} rounds, windows of {:?} after {:?}; medians (min–max).",
        effort.rounds, effort.window, effort.warm_up
    );
    let mut report = Report {
        machine: Machine::here(),
        effort: effort_text,
        ..Report::default()
    };
    let mut installed = Vec::new();
    for proxy in proxies {
        match proxy.version() {
            Ok(version) => {
                report.versions.push((proxy.name().to_owned(), version));
                installed.push(proxy);
            }
            Err(error) => report.note(format!("{}: {error:#}", proxy.name())),
        }
    }
    Comparison {
        cases: cases.to_vec(),
        proxies: installed,
        effort,
    }
    .run(&mut report)?;
    let headline = |name: &str| Case::named(name).map_or("", Case::headline);
    report.write(out, headline)?;
    println!("{}", text::markdown(&report, &headline));
    eprintln!("written to {}", out.display());
    Ok(())
}

fn measure_million(servers: usize, rounds: u32, out: &std::path::Path) -> Result<()> {
    let effort = Effort {
        rounds,
        window: Duration::from_secs(2),
        ..FULL
    };
    let mut report = Report {
        machine: Machine::here(),
        effort: format!("{servers} servers; {rounds} rounds; medians (min–max)."),
        ..Report::default()
    };
    fprs_benches::million::run(servers, effort, &mut report)?;
    let headline = |_: &str| fprs_benches::million::HEADLINE;
    report.write(out, headline)?;
    println!("{}", text::markdown(&report, &headline));
    Ok(())
}

fn list() -> Result<()> {
    for case in cases::all(false) {
        println!("case   {}", case.name());
    }
    for proxy in proxy::all() {
        let version = proxy
            .version()
            .unwrap_or_else(|error| format!("missing: {error:#}"));
        println!("proxy  {:<12} {version}", proxy.name());
    }
    Ok(())
}

fn count_all(proxies: Vec<&'static dyn Proxy>, case: Case, count: u64, streams: u32) -> Result<()> {
    println!(
        "| {} | instructions | allocations |\n|---|---|---|",
        case.name()
    );
    let supported = proxies.into_iter().filter(|proxy| proxy.supports(case));
    for proxy in supported {
        let subject = Subject {
            proxy,
            case,
            streams,
            count,
        };
        match subject.cost(QUICK) {
            Ok(per) => {
                let (name, k) = (proxy.name(), per.instructions / 1_000.0);
                println!("| {name} | {k:.1} k | {:.1} |", per.allocations);
            }
            Err(error) => eprintln!("left out: {}: {error:#}", proxy.name()),
        }
    }
    Ok(())
}
