//! Promise: an alert fires when what it is about really happens: a Prometheus scrapes a plane that is
//! hurt on purpose, by the rules as they are but for their durations.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fprs_config::feed::FeedClient;
use fprs_config::{Change, Key, Kind, Record, Store, samples};
use fprs_testkit::client::{H1, H2, get};
use fprs_testkit::fault::Fault;
use fprs_testkit::{Cli, FaultProxy, Role, TempDir, program, until};
use tokio::task::JoinSet;

use crate::prometheus::Prometheus;
use crate::{SOON, alerts, has_promtool, provoked};

pub(crate) const FPRS: &str = env!("CARGO_BIN_EXE_fprs");
pub(crate) const TOKEN: &str = "0123456789abcdef";
/// A process of its own, which panics: panics.rs.
pub(crate) const PANIC: &str = "FprsConfigPanic";
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
    let targets = plane.processes().map(|role| role.address("admin"));
    let prometheus = Prometheus::start(targets.collect()).await;
    assert_eq!(
        prometheus.firing().await,
        BTreeMap::new(),
        "a healthy plane"
    );
    let mut wanted = alerts::alerts();
    wanted.retain(|alert| alert != PANIC && alert != LAST);

    let trouble = plane.hurt().await;
    prometheus.fire(wanted).await;
    until("every metric above zero", SOON, async || {
        let missing = provoked::missing_of_a_fleet(&prometheus.above_zero().await);
        println!("not yet: {missing:?}");
        missing.is_empty().then_some(())
    })
    .await;
    drop(trouble);

    plane.fill_the_disk();
    prometheus.fire([LAST.to_owned()].into()).await;
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
        // Its relay counts it, and no proxy that the next autoscaler hears.
        trouble.spawn(hang(self.proxies[1].address("listen")));
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

/// Control, which a full disk doesn't kill: the system's signal for that is ignored.
pub(crate) async fn control(dir: &TempDir) -> Role {
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

/// Has one exchange in flight for ever.
async fn hang(address: std::net::SocketAddr) {
    let client = H2::connect(address).await.unwrap();
    let hog = host("hog");
    let _held = client.open(get(&hog, "/hang"), true).await.unwrap();
    std::future::pending().await
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
