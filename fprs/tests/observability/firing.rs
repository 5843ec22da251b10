//! Promise: an alert fires when what it is about really happens: a Prometheus scrapes a plane that is
//! hurt on purpose, by the rules as they are but for their durations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use fprs_config::feed::FeedClient;
use fprs_config::{Change, Key, Kind, Record, Store, samples};
use fprs_testkit::client::{H1, H2, get};
use fprs_testkit::fault::Fault;
use fprs_testkit::{Cli, FaultProxy, Process, Role, TempDir, ports, program, until};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{SOON, alerts, has_promtool, read};

const FPRS: &str = env!("CARGO_BIN_EXE_fprs");
const TOKEN: &str = "0123456789abcdef";
/// For every alert to fire, with the durations that tests have.
const PATIENCE: Duration = Duration::from_secs(90);

/// Nothing that is known to happen makes them fire: docs/runbook.md says so of each.
const MADE_UP: [&str; 1] = ["FprsConfigPanic"];
/// Its threshold is a minute's silence.
const SLOW: &str = "FprsConfigStale";
/// Control's store is hurt last, since the others need it.
const LAST: &str = "FprsStoreWrites";

/// More servers than may be deleted at once.
const DELETED: usize = 16;
/// Servers whose programs fail at once.
const BROKEN: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_fire_when_what_they_are_about_happens() {
    if !has_promtool() {
        return;
    }
    let mut plane = Hurt::start().await;
    let prometheus = Prometheus::start(&plane).await;
    assert_eq!(
        prometheus.firing().await,
        BTreeMap::new(),
        "a healthy plane"
    );
    let mut wanted = alerts::alerts();
    wanted.retain(|alert| !MADE_UP.contains(&alert.as_str()) && alert != SLOW && alert != LAST);

    let trouble = plane.hurt().await;
    prometheus.fire(wanted).await;
    drop(trouble);

    plane.fill_the_disk();
    prometheus.fire([LAST.to_owned()].into()).await;
    if soak() {
        plane.control.process().freeze();
        prometheus.fire([SLOW.to_owned()].into()).await;
        plane.control.process().thaw();
    }
}

#[test]
fn the_runbook_says_which_alerts_nothing_known_provokes() {
    let runbook = read("docs/runbook.md");
    let pages = runbook.split("\n## ").skip(1);
    let made_up = pages.filter(|page| page.contains("made-up series"));
    let made_up: Vec<&str> = made_up.map(|page| page.lines().next().unwrap()).collect();
    assert_eq!(made_up, MADE_UP);
}

#[test]
fn shortening_changes_durations_and_nothing_else() {
    let rule = "expr: rate(a_5m_total[5m]) > 0.05 # of 5m\nfor: 10m\nchanges(b[1h])";
    let short = "expr: rate(a_5m_total[5000ms]) > 0.05 # of 5m\nfor: 10000ms\nchanges(b[60000ms])";
    assert_eq!(shortened(rule, 60), short);
}

/// A plane of several processes, which is going to be hurt.
struct Hurt {
    control: Role,
    /// The first one decides.
    autoscalers: Vec<Role>,
    /// The second one loses control.
    relays: Vec<Role>,
    /// The second one loses control.
    proxies: Vec<Role>,
    /// Between control and who loses it.
    paths: Vec<FaultProxy>,
    // Last: removed after the processes are gone.
    dir: TempDir,
}

impl Hurt {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let control = control(&dir).await;
        let admin = control.address("admin");
        let paths = vec![
            FaultProxy::start(admin).await,
            FaultProxy::start(admin).await,
        ];
        let (near, far) = (admin.to_string(), paths[0].address().to_string());
        let listen = ["--listen", "127.0.0.1:0"];
        let small = [&listen[..], &["--buffer-limit", "2MiB"]].concat();
        let proxies = vec![
            follower(&dir, "proxy", 0, &near, &small).await,
            follower(&dir, "proxy", 1, &far, &listen).await,
        ];
        let mut autoscalers = vec![follower(&dir, "autoscaler", 0, &near, &[]).await];
        until("the first one decides", SOON, async || {
            (metric(&autoscalers[0], "fprs_autoscaler_leads").await == 1.0).then_some(())
        })
        .await;
        autoscalers.push(follower(&dir, "autoscaler", 1, &near, &[]).await);
        let mut plane = Self {
            control,
            autoscalers,
            relays: vec![follower(&dir, "relay", 0, &near, &[]).await],
            proxies,
            paths,
            dir,
        };
        let limits = ["--requests-per-second", "1", "--burst", "1"];
        let tenant = [&["tenant", "create", "acme"][..], &limits].concat();
        plane.cli().run(&tenant).await.succeeded();
        plane.deploy("web", "min_replicas = 1", &[]).await;
        plane.deploy("hog", "min_replicas = 1", &[]).await;
        let more = "min_replicas = 1\ntenant = \"acme\"";
        plane.deploy("limited", more, &[]).await;
        for server in ["web", "hog", "limited"] {
            plane.answers(server).await;
        }
        let far = plane.paths[1].address().to_string();
        let relay = follower(&plane.dir, "relay", 1, &far, &[]).await;
        plane.relays.push(relay);
        until("every proxy is heard", SOON, async || {
            let heard = metric(&plane.autoscalers[0], "fprs_autoscaler_proxies").await;
            (heard == 2.0).then_some(())
        })
        .await;
        plane
    }

    /// Does everything bad that goes together. What is returned goes on until it is dropped.
    async fn hurt(&mut self) -> JoinSet<()> {
        // Behind, and unheard by the next autoscaler, whose address it doesn't get to know.
        self.paths[0].set(Fault::Cut);
        // Away, and then lost.
        self.paths[1].set(Fault::Cut);
        self.autoscalers[0].process().kill9();
        for number in 0..BROKEN {
            let name = format!("broken-{number}");
            self.deploy(&name, "min_replicas = 1", &[("EXIT_CODE", "3")])
                .await;
        }
        self.delete_many().await;
        let mut trouble = JoinSet::new();
        // What floods one proxy would be refused there before it failed at its program.
        for (proxy, server, path, clients) in [
            (0, "nobody", "/", 8),
            (0, "limited", "/", 1),
            (0, "broken-0", "/", 1),
            (1, "web", "/die/head", 1),
        ] {
            for _ in 0..clients {
                trouble.spawn(ask(self.proxies[proxy].address("listen"), server, path));
            }
        }
        trouble.spawn(stall(self.proxies[0].address("listen")));
        trouble
    }

    /// Deletes more servers in one commit than is likely to be meant.
    async fn delete_many(&self) {
        let addresses = [self.control.address("admin").to_string()];
        let store = FeedClient::new(&addresses, TOKEN, "test").unwrap();
        let names = || (0..DELETED).map(|number| format!("spare-{number}"));
        let made = names().map(|name| Record::Server(samples::server(&name)).change());
        store.commit(made.collect(), Vec::new()).await.unwrap();
        let deleted = names().map(|name| Change {
            key: Key::new(Kind::Server, &name),
            value: None,
        });
        store.commit(deleted.collect(), Vec::new()).await.unwrap();
    }

    /// Nothing that control writes is kept from now on. The autoscaler renews its lease all the time.
    fn fill_the_disk(&mut self) {
        let pid = self.control.process().pid().to_string();
        let limited = std::process::Command::new("prlimit")
            .args(["--pid", &pid, "--fsize=1"])
            .status();
        assert!(limited.unwrap().success());
    }

    async fn deploy(&self, name: &str, more: &str, env: &[(&str, &str)]) {
        let manifest = program::manifest(name, more, env);
        let deployed = self.cli().deploy(&manifest, self.dir.path()).await;
        deployed.succeeded();
    }

    async fn answers(&self, server: &str) {
        for proxy in &self.proxies {
            let address = proxy.address("listen");
            until("it answers", SOON, async || {
                let mut client = H1::connect(address).await.ok()?;
                let answer = client.get(&host(server), "/").await.ok()?;
                ([200, 429].contains(&answer.status)).then_some(())
            })
            .await;
        }
    }

    fn cli(&self) -> Cli {
        Cli::new(FPRS)
            .arg("--data-dir", self.dir.path().join("control"))
            .env("FPRS_ADMIN_TOKEN", TOKEN)
    }

    fn processes(&self) -> impl Iterator<Item = &Role> {
        let fleet = self.autoscalers.iter().chain(&self.relays);
        std::iter::once(&self.control)
            .chain(fleet)
            .chain(&self.proxies)
    }
}

/// A Prometheus that scrapes the plane.
struct Prometheus {
    address: std::net::SocketAddr,
    _process: Process,
    _dir: TempDir,
}

impl Prometheus {
    async fn start(plane: &Hurt) -> Self {
        let dir = TempDir::new().unwrap();
        let (every, divisor) = if soak() { ("1s", 6) } else { ("500ms", 60) };
        let rules = shortened(&read("observability/alerts.yaml"), divisor);
        std::fs::write(dir.path().join("alerts.yaml"), rules).unwrap();
        let targets: Vec<String> = plane
            .processes()
            .map(|role| role.address("admin").to_string())
            .collect();
        let config = format!(
            "global: {{ scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every} }}\n\
             rule_files: [alerts.yaml]\n\
             scrape_configs:\n  - job_name: fprs-plane\n    static_configs: [{{ targets: {targets:?} }}]\n"
        );
        let file = dir.path().join("prometheus.yaml");
        std::fs::write(&file, config).unwrap();
        let address = ports::unused();
        let mut command = std::process::Command::new("prometheus");
        command
            .arg("--config.file")
            .arg(file)
            .arg("--storage.tsdb.path")
            .arg(dir.path().join("data"))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn");
        let process = Process::spawn("prometheus", command, &dir.path().join("log"));
        let prometheus = Self {
            address,
            _process: process,
            _dir: dir,
        };
        until("everything is scraped", SOON, async || {
            let up = prometheus.ask("/api/v1/query?query=sum(up)").await?;
            let up = up["result"][0]["value"][1].as_str()?.to_owned();
            (up == targets.len().to_string()).then_some(())
        })
        .await;
        prometheus
    }

    /// Waits until each of them has fired.
    async fn fire(&self, mut wanted: BTreeSet<String>) {
        let mut fired = BTreeMap::new();
        let deadline = tokio::time::Instant::now() + patience();
        while !wanted.is_empty() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{wanted:?} don't fire; these do: {fired:#?}"
            );
            fired.extend(self.firing().await);
            wanted.retain(|alert| !fired.contains_key(alert));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for (alert, summary) in fired {
            println!("{alert}: {summary}");
        }
    }

    /// The alerts that fire now, with a summary of each.
    async fn firing(&self) -> BTreeMap<String, String> {
        let alerts = until("its alerts", SOON, async || {
            self.ask("/api/v1/alerts").await
        })
        .await;
        let alerts = alerts["alerts"].as_array().unwrap().clone().into_iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing
            .map(|alert| {
                let summary = alert["annotations"]["summary"].as_str().unwrap();
                let broken = ["{{", "<error", "<no value>"];
                assert!(!broken.iter().any(|word| summary.contains(word)), "{alert}");
                let name = alert["labels"]["alertname"].as_str().unwrap();
                (name.to_owned(), summary.to_owned())
            })
            .collect()
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let mut client = H1::connect(self.address).await.ok()?;
        let answer = client.get(&self.address.to_string(), path).await.ok()?;
        let mut answer: Value = serde_json::from_str(&answer.text()).ok()?;
        Some(answer["data"].take())
    }
}

/// The rules with every duration divided.
fn shortened(rules: &str, divisor: u64) -> String {
    let mut short = String::new();
    let mut rest = rules;
    // Only there is a number with a unit a duration.
    while let Some(at) = ["for: ", "["]
        .iter()
        .filter_map(|it| rest.find(it).map(|at| at + it.len()))
        .min()
    {
        let (before, after) = rest.split_at(at);
        short += before;
        let digits = after.find(|letter: char| !letter.is_ascii_digit());
        let (number, unit) = after.split_at(digits.unwrap_or(0));
        let seconds = match unit.chars().next() {
            Some('h') => 3600,
            Some('m') => 60,
            _ => 0,
        };
        rest = after;
        if let (Ok(number), 1..) = (number.parse::<u64>(), seconds) {
            short += &format!("{}ms", number * seconds * 1000 / divisor);
            rest = &unit[1..];
        }
    }
    short + rest
}

/// Control, which a full disk doesn't kill: the system's signal for that is ignored.
async fn control(dir: &TempDir) -> Role {
    let script = dir.path().join("control.sh");
    let text = format!("#!/bin/sh\ntrap '' XFSZ\nexec '{FPRS}' \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, runs).unwrap();
    let data = dir.path().join("control");
    let args = [
        "--admin",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    role(&script, "control", &args).await
}

async fn follower(dir: &TempDir, name: &str, number: usize, control: &str, more: &[&str]) -> Role {
    let data = dir.path().join(format!("{name}-{number}"));
    let args = ["--control", control, "--data-dir", data.to_str().unwrap()];
    role(FPRS.as_ref(), name, &[&args, more].concat()).await
}

async fn role(binary: &Path, name: &str, args: &[&str]) -> Role {
    Role::start(binary, name, args, &[("FPRS_ADMIN_TOKEN", TOKEN)]).await
}

async fn metric(role: &Role, name: &str) -> f64 {
    let mut client = H1::connect(role.address("admin")).await.unwrap();
    let text = client.get("admin", "/metrics").await.unwrap().text();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn host(server: &str) -> String {
    format!("{server}.region.localhost")
}

/// Asks for ever, about a hundred times a second.
async fn ask(address: std::net::SocketAddr, server: &'static str, path: &'static str) {
    let host = host(server);
    loop {
        let Ok(client) = H2::connect(address).await else {
            continue;
        };
        while client.get(&host, path).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Asks for ever for more than is ever read: what that holds soon is all there is room for.
async fn stall(address: std::net::SocketAddr) {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(64 * 1024)
        .initial_connection_window_size(64 << 20);
    let hog = host("hog");
    let client = H2::connect_with(address, &builder).await.unwrap();
    let mut stalled = std::collections::VecDeque::new();
    loop {
        let stream = client.open(get(&hog, "/bytes/1073741824"), true).await;
        let mut stream = stream.unwrap();
        if stream
            .receiver
            .head()
            .await
            .is_ok_and(|head| head.status == 200)
        {
            stalled.push_back(stream);
        }
        // Most of the oldest were ended.
        if stalled.len() > 100 {
            stalled.pop_front();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn patience() -> Duration {
    if soak() { 5 * PATIENCE } else { PATIENCE }
}

fn soak() -> bool {
    std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1")
}
