//! The side-by-side comparison: every case, all its proxies at once on one core, measured in
//! turns so that whatever else the machine does meets them alike.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Read as _},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{
    arguments::{of_plan, of_serve},
    cases::{Case, Effort, Kind, figures::Measured},
    load::{Outcome, Plan, Stop, pace::Pace},
    proxy::{
        OTHER_CORE, PROXY_CORE, Proxy, Running, Site, before_others, beside,
        fprs::{ADMIN_TOKEN, copies, seed},
        pinned, pinned_to_first,
    },
    report::{Report, Row},
};

/// How long an aggressor is at work before its victim is measured.
const LEAD: Duration = Duration::from_millis(300);
/// How long a proxy may take from listening to its first right answer.
const FIRST_ANSWER: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// The store's file while nobody has it.
const STORE: &str = "store.redb";

/// The name that runs straight to the origin have in reports.
pub const DIRECT: &str = "direct";

/// What to compare.
#[derive(Debug)]
pub struct Comparison {
    /// The cases.
    pub cases: Vec<Case>,
    /// The proxies that are installed.
    pub proxies: Vec<&'static dyn Proxy>,
    /// How long and how often.
    pub effort: Effort,
}

impl Comparison {
    /// Runs everything and adds rows to `report`; a proxy that fails in a case is noted there and
    /// left out of that case.
    ///
    /// # Errors
    /// When the harness itself can't work: no temporary folder, no `taskset`.
    pub fn run(&self, report: &mut Report) -> Result<()> {
        let begun = Instant::now();
        let store = self.store()?;
        for (done, case) in self.cases.iter().enumerate() {
            let left = self.cases.len() - done;
            eprintln!(
                "== {} ({left} cases left, {:?} so far)",
                case.name(),
                begun.elapsed()
            );
            self.case(*case, store.as_ref(), report)?;
        }
        Ok(())
    }

    /// The store that whoever has one begins with, made once.
    fn store(&self) -> Result<Option<TempDir>> {
        if !self.proxies.iter().any(|proxy| proxy.has_store()) {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        seed(&folder.path().join(STORE))?;
        Ok(Some(folder))
    }

    fn case(&self, case: Case, store: Option<&TempDir>, report: &mut Report) -> Result<()> {
        // Stores are in memory where there is such a folder: their syncs would be somebody's latency.
        let folder = tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir())?;
        let arguments = of_serve(case.serve(self.effort));
        let [generator, of_origin] = ends(case);
        let origin = Origin::start_by(of_origin, &arguments)?;
        let stage = Stage {
            case,
            effort: self.effort,
            generator,
            origin,
            arguments,
            folder,
            store: store.map(|folder| folder.path().join(STORE)),
        };
        let mut entrants = stage.enter_all(&self.proxies, report);
        let _awake = case.leaves_cores_idle().then(awake).transpose()?;
        let control = entrants.iter().find_map(|(_, running)| running.control);
        let mut rows: BTreeMap<(usize, usize), Row> = BTreeMap::new();
        for round in 0..case.rounds(self.effort) as usize {
            let direct = case.has_direct().then(|| stage.direct()).transpose()?;
            if let Some(direct) = &direct {
                let measured = Measured {
                    main: direct.clone(),
                    ..Measured::default()
                };
                collect(&mut rows, case, (usize::MAX, DIRECT), &measured, None);
            }
            for turn in 0..entrants.len() {
                // Another one begins each round, so that no one is always after the same one.
                let place = (turn + round) % entrants.len();
                let (proxy, running) = &mut entrants[place];
                let name = proxy.name();
                if round > 0 && case.needs_fresh_process() {
                    *running = stage.enter(*proxy)?;
                }
                match stage.measure(running, control, round) {
                    Ok(measured) => {
                        let at = (place, name);
                        let figures = collect(&mut rows, case, at, &measured, direct.as_ref());
                        eprintln!("   round {} {name:<12} {figures}", round + 1);
                    }
                    Err(error) => report.note(format!("{} {name}: {error:#}", case.name())),
                }
            }
        }
        report.rows.extend(rows.into_values());
        Ok(())
    }
}

/// Where files are in memory, on Linux.
const IN_MEMORY: &str = "/dev/shm";

/// What all entrants of a case share.
struct Stage {
    case: Case,
    effort: Effort,
    /// What starts the generator.
    generator: Vec<String>,
    origin: Origin,
    arguments: Vec<String>,
    folder: TempDir,
    store: Option<PathBuf>,
}

impl Stage {
    /// Starts a proxy and waits for its first right answer.
    fn enter(&self, proxy: &dyn Proxy) -> Result<Running> {
        // One of its own each time: a process that is about to end may still use its last one.
        let folder = tempfile::tempdir_in(&self.folder)?.keep();
        let wrapper = pinned_to_first(self.case.cores());
        // Ports that thousands of closed connections still keep are only kept towards one origin.
        let own = (self.case.needs_fresh_process() && !proxy.has_origin(self.case.pair))
            .then(|| Origin::start(&self.arguments))
            .transpose()?;
        let origin = own.as_ref().unwrap_or(&self.origin);
        let mut running = proxy.start(&Site {
            pair: self.case.pair,
            upstream: origin.address,
            folder: &folder,
            backend: &self.arguments,
            wrapper: &wrapper,
            cores: self.case.cores(),
            store: self.store.as_deref().filter(|_| self.case.has_table()),
            replicas: self.case.replicas(),
            shadow: self.case.shadow(),
        })?;
        if let Some(own) = own {
            running.kept.push(Box::new(own));
        }
        if self.case.kind == Kind::Cold {
            // The first request is what is measured.
            return Ok(running);
        }
        let mut plan = self.case.plan(running.address, self.effort);
        plan.headers.extend(running.headers.iter().cloned());
        (plan.connections, plan.streams, plan.pace) = (1, 1, Pace::Closed);
        plan.stop = if plan.expect.is_some() {
            Stop::Requests(1)
        } else {
            Stop::Held
        };
        let deadline = Instant::now() + FIRST_ANSWER;
        loop {
            match load_by(&self.generator, &plan) {
                Ok(_) => return Ok(running),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(POLL),
            }
        }
    }

    /// Starts all that can take part, at the same time: most of a start is waiting.
    fn enter_all(
        &self,
        proxies: &[&'static dyn Proxy],
        report: &mut Report,
    ) -> Vec<(&'static dyn Proxy, Running)> {
        let supporting = proxies.iter().filter(|proxy| proxy.supports(self.case));
        let started: Vec<_> = thread::scope(|scope| {
            let starting: Vec<_> = supporting
                .map(|proxy| (*proxy, scope.spawn(|| self.enter(*proxy))))
                .collect();
            let done = starting.into_iter();
            done.map(|(proxy, start)| (proxy, start.join())).collect()
        });
        let mut entrants = Vec::new();
        for (proxy, start) in started {
            let why = match start {
                Ok(Ok(running)) => {
                    entrants.push((proxy, running));
                    continue;
                }
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "its start broke off".to_owned(),
            };
            report.note(format!("{} {}: {why}", self.case.name(), proxy.name()));
        }
        entrants
    }

    fn direct(&self) -> Result<Outcome> {
        let plan = self.case.plan(self.origin.address, self.effort);
        load_by(&self.generator, &plan).context("straight to the origin")
    }

    /// One run of the case through one proxy. Tables are changed at that control process, whosever it is.
    fn measure(
        &self,
        running: &Running,
        control: Option<SocketAddr>,
        round: usize,
    ) -> Result<Measured> {
        let plan = self.case.plan(running.address, self.effort);
        let base = self.case.base_plan(running.address, self.effort);
        if let Some(base) = &base
            && let Some(metrics) = running.metrics.filter(|_| self.case.shadow().is_some())
        {
            return self.beside_mirror(running, metrics, (base, &plan), round);
        }
        let base = base.map(|base| self.run(running, base)).transpose()?;
        let aggressor = self
            .case
            .aggressor(running.address, self.effort)
            .map(|plan| load_command(&pinned(OTHER_CORE), &finish(running, plan)))
            .transpose()?
            .map(|command| Started::spawn(&command, Stdio::null()))
            .transpose()?;
        let churn = (self.case.kind == Kind::Churn)
            .then(|| control.map(churn))
            .flatten()
            .transpose()?;
        if aggressor.is_some() || churn.is_some() {
            thread::sleep(LEAD);
        }
        Ok(Measured {
            main: self.run(running, plan)?,
            base,
            changes_per_s: churn.map(Started::last_number).transpose()?,
            copied: None,
        })
    }

    /// Without a mirror and with one, or the other way round: what comes second must not always be the same.
    fn beside_mirror(
        &self,
        running: &Running,
        metrics: SocketAddr,
        (base, plan): (&Plan, &Plan),
        round: usize,
    ) -> Result<Measured> {
        let before = copies(metrics)?;
        let run = |plan: &Plan| self.run(running, plan.clone());
        let (base, main) = if round.is_multiple_of(2) {
            let base = run(base)?;
            (base, run(plan)?)
        } else {
            let main = run(plan)?;
            (run(base)?, main)
        };
        Ok(Measured {
            main,
            base: Some(base),
            changes_per_s: None,
            copied: Some(copies(metrics)?.since(before)),
        })
    }

    fn run(&self, running: &Running, plan: Plan) -> Result<Outcome> {
        let plan = finish(running, plan);
        if self.case.tolerates_errors() {
            attempt(&self.generator, &plan)
        } else {
            load_by(&self.generator, &plan)
        }
    }
}

/// The plan for that proxy: what it wants to be told, and what is watched of it.
fn finish(running: &Running, plan: Plan) -> Plan {
    let mut plan = Plan {
        watch: running.pids(),
        ..plan
    };
    plan.headers.extend(running.headers.iter().cloned());
    plan
}

/// Adds a run's figures to the rows; returns them in words.
fn collect(
    rows: &mut BTreeMap<(usize, usize), Row>,
    case: Case,
    (place, proxy): (usize, &str),
    measured: &Measured,
    direct: Option<&Outcome>,
) -> String {
    let mut words = Vec::new();
    for (order, figure) in case.figures(measured, direct).into_iter().enumerate() {
        words.push(format!("{} {:.2}", figure.metric, figure.value));
        let row = rows.entry((place, order)).or_insert_with(|| Row {
            case: case.name(),
            proxy: proxy.to_owned(),
            metric: figure.metric.to_owned(),
            unit: figure.unit.to_owned(),
            rounds: Vec::new(),
        });
        row.rounds.push(figure.value);
    }
    words.join("  ")
}

/// Runs the generator on its core; an error in any exchange is an error.
///
/// # Errors
/// When it could not run, or an exchange went wrong.
pub fn load(plan: &Plan) -> Result<Outcome> {
    load_by(&pinned(OTHER_CORE), plan)
}

/// The same, that `wrapper` starts.
fn load_by(wrapper: &[String], plan: &Plan) -> Result<Outcome> {
    let outcome = attempt(wrapper, plan)?;
    if outcome.errors > 0 {
        bail!(
            "{} errors, the first: {}",
            outcome.errors,
            outcome.error.unwrap_or_default()
        );
    }
    let (done, wanted) = match plan.stop {
        Stop::Requests(count) => (outcome.requests, count),
        Stop::Events(count) => (outcome.event_us.count, count),
        Stop::Held | Stop::After { .. } => (0, 0),
    };
    if done < wanted {
        bail!("given up after {done} of {wanted}");
    }
    if let Stop::Held = plan.stop
        && outcome.event_us.count < u64::from(plan.slots())
    {
        bail!(
            "only {} of {} exchanges began",
            outcome.event_us.count,
            plan.slots()
        );
    }
    Ok(outcome)
}

/// Runs the generator, whatever comes back.
fn attempt(wrapper: &[String], plan: &Plan) -> Result<Outcome> {
    let command = load_command(wrapper, plan)?;
    let (program, rest) = command.split_first().context("an empty command")?;
    let output = Command::new(program)
        .args(rest)
        .output()
        .context("taskset can't be run: install util-linux")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the generator: {}", said.lines().next().unwrap_or_default());
    }
    serde_json::from_slice(&output.stdout).context("the generator printed no outcome")
}

fn load_command(wrapper: &[String], plan: &Plan) -> Result<Vec<String>> {
    let mut command = wrapper.to_vec();
    command.push(env::current_exe()?.display().to_string());
    command.push("load".to_owned());
    command.extend(of_plan(plan));
    Ok(command)
}

/// What starts a case's generator and its origin. At fixed rates they go before whatever else is on their
/// core, such as a flood's generator: to wait for it would be nothing of the proxy's.
fn ends(case: Case) -> [Vec<String>; 2] {
    match case.leaves_cores_idle() {
        true => [2, 1].map(|rank| before_others(OTHER_CORE, rank)),
        false => [pinned(OTHER_CORE), pinned(OTHER_CORE)],
    }
}

/// Changes the table of the plane with that control process.
fn churn(control: SocketAddr) -> Result<Started> {
    let mut command = beside(OTHER_CORE);
    command.push(env::current_exe()?.display().to_string());
    command.extend([
        "churn".to_owned(),
        "--control".to_owned(),
        control.to_string(),
    ]);
    command.extend(["--admin-token", ADMIN_TOKEN].map(str::to_owned));
    Started::spawn(&command, Stdio::piped())
}

/// Keeps both cores awake when nobody has work for them: to wake a virtual one takes its host up to
/// milliseconds, which would be somebody's p99.
fn awake() -> Result<[Started; 2]> {
    let on = |core| {
        let mut command = beside(core);
        command.extend(["sh", "-c", "while :; do :; done"].map(str::to_owned));
        Started::spawn(&command, Stdio::null())
    };
    Ok([on(PROXY_CORE)?, on(OTHER_CORE)?])
}

/// A process that ends with this value.
#[derive(Debug)]
pub struct Started(Child);

impl Started {
    pub(crate) fn spawn(command: &[String], stdout: Stdio) -> Result<Self> {
        let (program, rest) = command.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command
            .args(rest)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null());
        Ok(Self(
            command
                .spawn()
                .context("taskset can't be run: install util-linux")?,
        ))
    }
}

impl Started {
    /// Ends it; returns the number on the last line that it printed.
    pub(crate) fn last_number(mut self) -> Result<f64> {
        let stdout = self.0.stdout.take();
        drop(self);
        let mut said = String::new();
        stdout
            .context("no output was kept")?
            .read_to_string(&mut said)?;
        let last = said.lines().next_back();
        last.and_then(|line| line.parse().ok())
            .context("it ended before it had anything to say")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The origin of a case, on the generator's core.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Started,
}

impl Origin {
    /// Starts `fprs-bench backend` with these arguments on a free port.
    ///
    /// # Errors
    /// When it does not say its port.
    pub fn start(arguments: &[String]) -> Result<Self> {
        Self::start_by(pinned(OTHER_CORE), arguments)
    }

    /// The same, that `wrapper` starts.
    fn start_by(wrapper: Vec<String>, arguments: &[String]) -> Result<Self> {
        let mut command = wrapper;
        command.push(env::current_exe()?.display().to_string());
        command.extend(["backend", "--port", "0"].map(str::to_owned));
        command.extend(arguments.iter().cloned());
        let mut process = Started::spawn(&command, Stdio::piped())?;
        let stdout = process.0.stdout.take().context("no output of the origin")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line
            .trim()
            .parse()
            .context("the origin did not say its port")?;
        Ok(Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            _process: process,
        })
    }
}
