//! Control, autoscaler and a relay with two servers that are up; proxies come and go.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fprs_testkit::client::H1;
use fprs_testkit::{Cli, Role, TempDir, program, until};
use serde_json::Value;

use crate::{FPRS, SOON};

/// The host of the server whose program speaks HTTP/1.1.
pub(crate) const WEB: &str = "web.region.localhost";
/// The host of the server whose program speaks h2c: it echoes calls and WebSockets.
pub(crate) const ECHO: &str = "echo.region.localhost";

pub(crate) const TOKEN: &str = "0123456789abcdef";

pub(crate) struct World {
    pub(crate) control: Role,
    pub(crate) autoscaler: Role,
    pub(crate) relay: Role,
    // Last: removed after the processes are gone.
    dir: TempDir,
}

/// What proxies that ended said they had done, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Exchanges with a replica, however they ended.
    pub(crate) exchanges: u64,
    /// Exchanges cut because a replica failed.
    pub(crate) cut: u64,
    /// Requests that proxies answered themselves.
    pub(crate) answers: u64,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more that control is started with.
    pub(crate) async fn start_with(more: &[&str]) -> Self {
        Self::start_of(FPRS.as_ref(), more).await
    }

    /// Of that build, with more that control is started with.
    pub(crate) async fn start_of(build: &Path, more: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let args = ["--admin", "127.0.0.1:0", "--data-dir", &path("control")];
        let control = role(build, "control", &[&args, more].concat()).await;
        let admin = control.address("admin").to_string();
        let follower = async |name: &str| {
            let args = ["--control", &admin, "--data-dir", &path(name)];
            role(build, name, &args).await
        };
        let (autoscaler, relay) = (follower("autoscaler").await, follower("relay").await);
        let world = Self {
            control,
            autoscaler,
            relay,
            dir,
        };
        world.deploy("web", "").await;
        world.deploy("echo", "h2 = true").await;
        world
    }

    pub(crate) async fn deploy(&self, name: &str, more: &str) {
        let record = self.record();
        let env = [("RECORD", record.to_str().unwrap())];
        let pool = "min_replicas = 2\nmax_replicas = 2\nexit_grace_period = \"2s\"";
        let more = format!("{pool}\n{more}");
        let manifest = program::manifest(name, &more, &env);
        self.cli()
            .deploy(&manifest, self.dir.path())
            .await
            .succeeded();
        until("its replicas are ready", SOON, async || {
            let replicas = self.cli().replicas(name).await;
            let ready = replicas
                .iter()
                .filter(|replica| replica["state"] == "ready");
            (ready.count() == 2).then_some(())
        })
        .await;
    }

    /// Starts a proxy in a data dir of that name.
    pub(crate) async fn proxy(&self, data: &str, args: &[&str]) -> Role {
        self.proxy_of(FPRS.as_ref(), data, args).await
    }

    /// The same, of that build.
    pub(crate) async fn proxy_of(&self, build: &Path, data: &str, args: &[&str]) -> Role {
        let args = self.proxy_args(data, args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        role(build, "proxy", &args).await
    }

    /// What `fprs proxy` is started with, after its role.
    pub(crate) fn proxy_args(&self, data: &str, args: &[&str]) -> Vec<String> {
        let data = self.path(data);
        let control = self.control.address("admin").to_string();
        let always = [
            "--control",
            &control,
            "--data-dir",
            data.to_str().unwrap(),
            "--cores",
            "2",
            "--log-format",
            "json",
        ];
        let all = always.iter().chain(args);
        all.map(|arg| (*arg).to_owned()).collect()
    }

    /// Runs commands, also proxies that are to be refused.
    pub(crate) fn cli(&self) -> Cli {
        Cli::new(FPRS)
            .arg("--data-dir", self.path("control"))
            .env("FPRS_ADMIN_TOKEN", TOKEN)
    }

    /// A path of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn record(&self) -> PathBuf {
        self.path("record")
    }

    /// Exchanges the programs saw begin, and those they saw end.
    pub(crate) fn seen(&self) -> (u64, u64) {
        let events = program::events(&self.record());
        let begun = events.iter().filter(|event| event["event"] == "begin");
        let begun = begun.count();
        (begun as u64, (events.len() - begun) as u64)
    }

    /// Waits until the relay and the autoscaler count nothing in flight, and programs have seen the
    /// end of all they saw begin.
    pub(crate) async fn settled(&self) {
        self.idle().await;
        until("programs saw the end of all", SOON, async || {
            let (begun, ended) = self.seen();
            (begun == ended).then_some(())
        })
        .await;
    }

    /// Waits until the relay and the autoscaler count nothing in flight.
    pub(crate) async fn idle(&self) {
        until("nothing is in flight at the relay", SOON, async || {
            let mut in_flight = 0;
            for server in ["web", "echo"] {
                for replica in self.cli().replicas(server).await {
                    in_flight += replica["in_flight"].as_u64().unwrap();
                }
            }
            (in_flight == 0).then_some(())
        })
        .await;
        let autoscaler = self.autoscaler.address("admin");
        until("the autoscaler counts nothing", SOON, async || {
            (metric(autoscaler, "fprs_autoscaler_in_flight").await == 0).then_some(())
        })
        .await;
    }

    /// How many proxies the autoscaler hears.
    pub(crate) async fn heard(&self) -> i64 {
        metric(self.autoscaler.address("admin"), "fprs_autoscaler_proxies").await
    }

    /// The processes that must outlive every proxy.
    pub(crate) fn assert_unhurt(&mut self) {
        for role in [&mut self.control, &mut self.autoscaler, &mut self.relay] {
            assert!(role.process().is_running());
        }
    }
}

impl Done {
    /// Reads the last word of a proxy that ended, which must have nothing in flight.
    pub(crate) fn read(log: &str) -> Self {
        let last = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|line| line["fields"].clone())
            .find(|fields| fields["message"] == "drained")
            .unwrap_or_else(|| panic!("it never said that it drained: {log}"));
        let number = |name: &str| last[name].as_u64().unwrap();
        assert_eq!(number("in_flight"), 0, "{last}");
        Self {
            exchanges: number("complete") + number("left") + number("cut"),
            cut: number("cut"),
            answers: number("answers"),
        }
    }
}

impl std::ops::AddAssign for Done {
    fn add_assign(&mut self, other: Self) {
        self.exchanges += other.exchanges;
        self.cut += other.cut;
        self.answers += other.answers;
    }
}

/// One value of a process's metrics.
pub(crate) async fn metric(admin: SocketAddr, name: &str) -> i64 {
    let mut client = H1::connect(admin).await.unwrap();
    let text = client.get("admin", "/metrics").await.unwrap().text();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Starts a role of that build.
pub(crate) async fn role(build: &Path, name: &str, args: &[&str]) -> Role {
    Role::start(build, name, args, &[("FPRS_ADMIN_TOKEN", TOKEN)]).await
}

/// The processes' binary and environment, for those that never get ready.
pub(crate) fn command(args: &[String], log: &Path) -> fprs_testkit::Process {
    let mut command = std::process::Command::new(FPRS);
    command.arg("proxy").args(args);
    command.env("FPRS_ADMIN_TOKEN", TOKEN);
    fprs_testkit::Process::spawn("fprs proxy", command, log)
}

/// A process with those listeners as its descriptors 3 and 4, told where to say how far it is: as a
/// service manager starts it.
pub(crate) fn activated(
    args: &[String],
    [listen, admin]: [&TcpListener; 2],
    notify: &Path,
    log: &Path,
) -> fprs_testkit::Process {
    let pass = |listener: &TcpListener| OwnedFd::from(listener.try_clone().unwrap());
    // Only the first three descriptors can be given to a child; the shell moves them.
    let script = "exec 3<&0 4>&1 0</dev/null 1>&2; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, FPRS, "proxy"]).args(args);
    command
        .env("FPRS_ADMIN_TOKEN", TOKEN)
        .env("NOTIFY_SOCKET", notify);
    fprs_testkit::Process::spawn_with("fprs proxy", command, log, [pass(listen), pass(admin)])
}
