//! A million domains and 1,200,000 replicas in one proxy: its memory, how long it takes to serve from the
//! feed and from its last-good file, and what its clients notice of ten thousand changes a second.
//!
//! The feed is served by a process of this program from an embedded store, as control does it, without
//! what control would do about 12,000 workers that are not there.

use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use fprs_config::store::{EmbeddedStore, Store as _};
use fprs_config::{Change, Entry, Record, Replica, ReplicaState, feed, samples};

use crate::{
    arguments::of_serve,
    backend::Serve,
    cases::{Case, Effort, Kind},
    harness::{Origin, Started, load},
    proxy::{
        OTHER_CORE, Pair, Running, Site, beside,
        fprs::{ADMIN_TOKEN, SERVER, program, wait_until_ready},
        free_address, launch, pinned_to_first,
    },
    records::million::entries,
    report::{Report, Row},
};

/// Its name in reports.
pub const CASE: &str = "million";
/// The figure that its plot shows.
pub const HEADLINE: &str = "churn_p99_ratio";
/// Writes of one commit of the seed.
const COMMIT: usize = 5_000;
/// How long an aggressor is at work before its victim is measured.
const LEAD: Duration = Duration::from_millis(500);

/// Measures it and adds the rows.
///
/// # Errors
/// When something does not start, or a request fails.
pub fn run(servers: usize, effort: Effort, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store.redb");
    let arguments = of_serve(Serve::Tiny);
    let origin = Origin::start(&arguments)?;
    eprintln!("== {CASE}: writing the store of {servers} servers");
    seed(&store, servers, origin.address)?;
    let scene = Scene {
        folder: folder.path(),
        arguments: &arguments,
        origin: origin.address,
    };
    let control = free_address()?;
    let _feed = serving(control, &store)?;
    let mut rows = Rows::default();

    let (proxy, seconds) = scene.start("feed", control)?;
    rows.add("boot_feed_s", "s", seconds);
    let memory = Memory::of(proxy.pid())?;
    rows.add("boot_feed_peak_mib", "MiB", memory.peak);
    rows.add("resident_mib", "MiB", memory.now);
    let case = Case {
        pair: Pair::H2_H2,
        kind: Kind::Churn,
    };
    let plan = case.plan(proxy.address, effort);
    for round in 0..effort.rounds {
        let quiet = load(&plan)?;
        let churn = churning(control, servers)?;
        std::thread::sleep(LEAD);
        let disturbed = load(&plan)?;
        let rate = churn.last_number()?;
        eprintln!(
            "   round {}: quiet p99 {:.0} us, churn p99 {:.0} us at {rate:.0} changes/s",
            round + 1,
            quiet.latency_us.p99,
            disturbed.latency_us.p99
        );
        rows.add("quiet_p50_us", "us", quiet.latency_us.p50);
        rows.add("quiet_p99_us", "us", quiet.latency_us.p99);
        rows.add("churn_p50_us", "us", disturbed.latency_us.p50);
        rows.add("churn_p99_us", "us", disturbed.latency_us.p99);
        let ratio = disturbed.latency_us.p99 / quiet.latency_us.p99;
        rows.add(HEADLINE, "", ratio);
        rows.add("changes_per_s", "1/s", rate);
    }
    rows.add("churned_mib", "MiB", Memory::of(proxy.pid())?.now);
    // What it writes at its end is what the next one finds.
    proxy.end(nix::sys::signal::Signal::SIGTERM)?;
    let (proxy, seconds) = scene.start("feed", free_address()?)?;
    rows.add("boot_file_s", "s", seconds);
    let memory = Memory::of(proxy.pid())?;
    rows.add("boot_file_peak_mib", "MiB", memory.peak);
    load(&case.plan(proxy.address, effort))?;
    report.rows.extend(rows.0);
    Ok(())
}

/// Serves the feed of that store until it is stopped.
///
/// # Errors
/// When the store can't be opened or the address not be listened at.
pub fn feed(store: &Path, listen: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let store = Arc::new(EmbeddedStore::open(store)?);
    runtime.block_on(async {
        let server = tonic::transport::Server::builder().add_service(feed::server::service(store));
        anyhow::Ok(server.serve(listen).await?)
    })
}

/// Where the proxy runs.
struct Scene<'a> {
    folder: &'a Path,
    arguments: &'a [String],
    origin: SocketAddr,
}

impl Scene<'_> {
    /// Starts the proxy in the data dir of that name; how long it took until it was ready.
    fn start(&self, data: &str, control: SocketAddr) -> Result<(Running, f64)> {
        let wrapper = pinned_to_first(1);
        let site = Site {
            pair: Pair::H2_H2,
            upstream: self.origin,
            folder: self.folder,
            backend: self.arguments,
            wrapper: &wrapper,
            cores: 1,
            store: None,
            replicas: 1,
            shadow: None,
        };
        let (listen, admin) = (free_address()?, free_address()?);
        let mut command = vec![program()?, "proxy".to_owned()];
        for (flag, value) in [
            ("--control", control.to_string()),
            ("--listen", listen.to_string()),
            ("--admin", admin.to_string()),
            ("--admin-token", ADMIN_TOKEN.to_owned()),
            ("--data-dir", self.folder.join(data).display().to_string()),
            ("--cores", "1".to_owned()),
            ("--drain-delay", "0s".to_owned()),
        ] {
            command.extend([flag.to_owned(), value]);
        }
        let begun = Instant::now();
        let running = launch(&site, &command, listen)?;
        wait_until_ready(admin)?;
        Ok((running, begun.elapsed().as_secs_f64()))
    }
}

/// One figure each, with all its rounds.
#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, metric: &str, unit: &str, value: f64) {
        if let Some(row) = self.0.iter_mut().find(|row| row.metric == metric) {
            row.rounds.push(value);
            return;
        }
        eprintln!("   {metric} {value:.2} {unit}");
        self.0.push(Row {
            case: CASE.to_owned(),
            proxy: "fprs".to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            rounds: vec![value],
        });
    }
}

/// Of a process, MiB.
struct Memory {
    now: f64,
    peak: f64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1));
            let kib: f64 = kib.context("a process without memory")?.parse()?;
            Ok(kib / 1024.0)
        };
        Ok(Self {
            now: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }
}

fn serving(control: SocketAddr, store: &Path) -> Result<Started> {
    let mut command = beside(OTHER_CORE);
    command.push(env::current_exe()?.display().to_string());
    command.extend([
        "feed".to_owned(),
        "--listen".to_owned(),
        control.to_string(),
    ]);
    command.extend(["--store".to_owned(), store.display().to_string()]);
    let started = Started::spawn(&command, Stdio::null())?;
    let deadline = Instant::now() + OPENED;
    while std::net::TcpStream::connect(control).is_err() {
        anyhow::ensure!(Instant::now() < deadline, "the store is not served");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(started)
}

/// A store of millions of records is read whole.
const OPENED: Duration = Duration::from_secs(180);

fn churning(control: SocketAddr, servers: usize) -> Result<Started> {
    let mut command = beside(OTHER_CORE);
    command.push(env::current_exe()?.display().to_string());
    command.extend([
        "churn".to_owned(),
        "--control".to_owned(),
        control.to_string(),
    ]);
    command.extend(["--admin-token", ADMIN_TOKEN].map(str::to_owned));
    command.extend(["--million".to_owned(), servers.to_string()]);
    Started::spawn(&command, Stdio::piped())
}

/// Makes the store's file: all of it, and the server that is asked, at the origin.
fn seed(file: &Path, servers: usize, origin: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let store = EmbeddedStore::open(file)?;
    let replica = samples::replica("asked-1", SERVER, ReplicaState::Ready);
    let asked = [
        Record::Server(samples::server(SERVER)).change(),
        Record::Replica(Replica {
            address: Some(origin),
            ..replica
        })
        .change(),
    ];
    let all = entries(servers).map(|Entry { key, value, .. }| Change {
        key,
        value: Some(value),
    });
    let mut all = asked.into_iter().chain(all).peekable();
    while all.peek().is_some() {
        let changes = all.by_ref().take(COMMIT).collect();
        runtime.block_on(store.commit(changes, Vec::new()))?;
    }
    Ok(())
}
