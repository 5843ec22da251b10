//! The roles as processes of their own on this machine, each with its data directory: what a fleet
//! is, in small.

use std::net::SocketAddr;
use std::path::PathBuf;

use fprs_testkit::client::{H1, H2};
use fprs_testkit::plane::Ran;
use fprs_testkit::{Cli, Role, TempDir, until};
use serde_json::Value;

use crate::{FPRS, SOON};

/// One control and one autoscaler with some proxies and relays.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) control: Role,
    pub(crate) autoscaler: Role,
    pub(crate) proxies: Vec<Role>,
    pub(crate) relays: Vec<Role>,
    /// Killed ones: what they started ends with the test.
    past: Vec<Role>,
    // Last: removed after the processes are gone.
    dir: TempDir,
}

/// The admin token of fleets in tests.
pub(crate) const TOKEN: &str = "0123456789abcdef";

impl Fleet {
    pub(crate) async fn start(proxies: usize, relays: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let control = control(&dir, "127.0.0.1:0").await;
        let admin = control.address("admin");
        let autoscaler = follower(&dir, "autoscaler", 0, admin).await;
        let mut fleet = Self {
            control,
            autoscaler,
            proxies: Vec::new(),
            relays: Vec::new(),
            past: Vec::new(),
            dir,
        };
        for n in 0..relays {
            let relay = follower(&fleet.dir, "relay", n, admin).await;
            fleet.relays.push(relay);
        }
        for n in 0..proxies {
            let proxy = follower(&fleet.dir, "proxy", n, admin).await;
            fleet.proxies.push(proxy);
        }
        fleet
    }

    /// One more proxy, in that cell.
    pub(crate) async fn proxy_in(&mut self, cell: &str) {
        let number = self.proxies.len();
        let admin = self.control.address("admin");
        let env = [("FPRS_ADMIN_TOKEN", TOKEN), ("FPRS_CELL", cell)];
        let proxy = follower_with(&self.dir, "proxy", number, admin, &env).await;
        self.proxies.push(proxy);
    }

    /// Starts control again where it was.
    pub(crate) async fn restart_control(&mut self) {
        let address = self.control.address("admin").to_string();
        let control = control(&self.dir, &address).await;
        self.past
            .push(std::mem::replace(&mut self.control, control));
    }

    /// Starts the autoscaler again.
    pub(crate) async fn restart_autoscaler(&mut self) {
        let admin = self.control.address("admin");
        let autoscaler = follower(&self.dir, "autoscaler", 0, admin).await;
        self.past
            .push(std::mem::replace(&mut self.autoscaler, autoscaler));
    }

    /// Kills that proxy and starts it again, as a supervisor does.
    pub(crate) async fn replace_proxy(&mut self, number: usize) {
        self.proxies[number].process().kill9();
        let admin = self.control.address("admin");
        let proxy = follower(&self.dir, "proxy", number, admin).await;
        self.past
            .push(std::mem::replace(&mut self.proxies[number], proxy));
    }

    /// One more autoscaler, which stands by.
    pub(crate) async fn standby(&self, number: usize) -> Role {
        follower(
            &self.dir,
            "autoscaler",
            number,
            self.control.address("admin"),
        )
        .await
    }

    /// Where each proxy listens.
    pub(crate) fn listen(&self) -> Vec<SocketAddr> {
        let listen = |proxy: &Role| proxy.address("listen");
        self.proxies.iter().map(listen).collect()
    }

    pub(crate) fn cli(&self) -> Cli {
        Cli::new(FPRS)
            .arg("--data-dir", data(&self.dir, "control", 0))
            .env("FPRS_ADMIN_TOKEN", TOKEN)
    }

    pub(crate) async fn deploy(&self, manifest: &str) -> Ran {
        self.cli()
            .deploy(manifest, self.dir.path())
            .await
            .succeeded()
    }

    /// Waits until every proxy has heard of the server and it answers.
    pub(crate) async fn answers(&self, host: &str) {
        for address in self.listen() {
            until("it answers", SOON, async || {
                let mut client = H1::connect(address).await.ok()?;
                let answer = client.get(host, "/").await.ok()?;
                (answer.status == 200).then_some(())
            })
            .await;
        }
    }

    pub(crate) async fn replicas(&self, server: &str) -> Vec<Value> {
        self.cli().replicas(server).await
    }

    /// The ids of a server's replicas in that state, in order.
    pub(crate) async fn replicas_in(&self, server: &str, state: &str) -> Vec<String> {
        let replicas = self.replicas(server).await.into_iter();
        let mut ids: Vec<String> = replicas
            .filter(|replica| replica["state"] == state)
            .map(|replica| replica["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }

    pub(crate) async fn h1(&self, proxy: usize) -> H1 {
        let address = self.proxies[proxy].address("listen");
        H1::connect(address).await.unwrap()
    }

    pub(crate) async fn h2(&self, proxy: usize) -> H2 {
        let address = self.proxies[proxy].address("listen");
        H2::connect(address).await.unwrap()
    }

    /// A path of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// One value of a process's metrics.
pub(crate) async fn metric(role: &Role, name: &str) -> i64 {
    let mut client = H1::connect(role.address("admin")).await.unwrap();
    let text = client.get("admin", "/metrics").await.unwrap().text();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

async fn control(dir: &TempDir, admin: &str) -> Role {
    let data = data(dir, "control", 0);
    let data = data.to_str().unwrap();
    let args = ["--admin", admin, "--data-dir", data];
    Role::start(FPRS, "control", args, &[("FPRS_ADMIN_TOKEN", TOKEN)]).await
}

async fn follower(dir: &TempDir, role: &str, number: usize, admin: SocketAddr) -> Role {
    follower_with(dir, role, number, admin, &[("FPRS_ADMIN_TOKEN", TOKEN)]).await
}

async fn follower_with(
    dir: &TempDir,
    role: &str,
    number: usize,
    admin: SocketAddr,
    env: &[(&str, &str)],
) -> Role {
    let data = data(dir, role, number);
    let data = data.to_str().unwrap();
    let admin = admin.to_string();
    let mut args = vec!["--control", &admin, "--data-dir", data];
    if role == "proxy" {
        args.extend(["--listen", "127.0.0.1:0"]);
    }
    Role::start(FPRS, role, args, env).await
}

fn data(dir: &TempDir, role: &str, number: usize) -> PathBuf {
    dir.path().join(format!("{role}-{number}"))
}
