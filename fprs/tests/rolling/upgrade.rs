//! Promise: every role of a plane can be rolled from one build to the next, and back, in either order,
//! under load of every kind, and no exchange fails. As docs/upgrade.md has it.
//!
//! `FPRS_REHEARSE_FROM` is the binary to begin with (`make rehearse` builds that of the commit before);
//! without it the same build stands for both.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use fprs_testkit::client::H1;
use fprs_testkit::{Role, eventually, until};
use serde_json::Value;

use crate::edge::Edge;
use crate::front::Front;
use crate::load::Load;
use crate::world::{Done, World, metric, role};
use crate::{FPRS, SOON, soak};

const PROXIES: usize = 3;

/// A whole plane, each role a process of its own, and an edge before its proxies.
struct Plane {
    world: World,
    proxies: Vec<Role>,
    // Without Envoy, a tiny one of our own.
    front: Option<Front>,
    edge: Arc<Edge>,
    done: Done,
    /// Counts data directories.
    rolled: usize,
}

/// Which roles go first.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Who reads records before who writes them: an upgrade.
    ReadersFirst,
    /// The other way round: a way back.
    WritersFirst,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_is_rolled_to_the_next_build_and_no_exchange_fails() {
    let before = std::env::var_os("FPRS_REHEARSE_FROM").map(PathBuf::from);
    let next = PathBuf::from(FPRS);
    if let Some(before) = &before {
        assert_ne!(version(before), version(&next), "twice the same build");
    }
    let before = before.unwrap_or_else(|| next.clone());
    let mut plane = Plane::start(&before).await;
    let load = Load::start(&plane.edge);
    plane.roll(&next, Order::ReadersFirst, &load).await;
    if soak() {
        plane.roll(&before, Order::WritersFirst, &load).await;
        plane.roll(&next, Order::WritersFirst, &load).await;
        plane.roll(&before, Order::ReadersFirst, &load).await;
        plane.roll(&next, Order::ReadersFirst, &load).await;
    }
    let seen = load.end().await;
    plane.end(seen.begun).await;
}

impl Plane {
    async fn start(build: &Path) -> Self {
        let world = World::start_of(build, &[]).await;
        let mut proxies = Vec::new();
        for number in 0..PROXIES {
            proxies.push(proxy(&world, build, number, &["--listen", "127.0.0.1:0"]).await);
        }
        let addresses: Vec<SocketAddr> = proxies.iter().map(|it| it.address("listen")).collect();
        let front = Front::start(world.path("edge"), &addresses).await;
        let edge = match &front {
            Some(front) => Edge::at(front.address()),
            None => Edge::start(&addresses),
        };
        Self {
            world,
            proxies,
            front,
            edge,
            done: Done::default(),
            rolled: 0,
        }
    }

    /// Every role to that build, one after the other.
    async fn roll(&mut self, build: &Path, order: Order, load: &Load) {
        let began = Instant::now();
        self.rolled += 1;
        match order {
            Order::ReadersFirst => {
                self.roll_proxies(build, load).await;
                self.roll_relay(build, load).await;
                self.roll_autoscaler(build, load).await;
                self.roll_control(build, load).await;
            }
            Order::WritersFirst => {
                self.roll_control(build, load).await;
                self.roll_autoscaler(build, load).await;
                self.roll_relay(build, load).await;
                self.roll_proxies(build, load).await;
            }
        }
        let wanted = version(build);
        let world = &self.world;
        let roles = [&world.control, &world.autoscaler, &world.relay];
        for role in roles.into_iter().chain(&self.proxies) {
            assert_eq!(runs(role.address("admin")).await, wanted);
        }
        println!("{order:?} to {wanted}: {:?}", began.elapsed());
    }

    /// One relieves the other at its address; the last one ends first, as where listeners can't be
    /// handed over, and edges see that.
    async fn roll_proxies(&mut self, build: &Path, load: &Load) {
        for number in 0..PROXIES {
            go_on(load).await;
            let listen = self.proxies[number].address("listen").to_string();
            let admin = self.proxies[number].address("admin").to_string();
            let hand_over = number + 1 < PROXIES || !soak();
            if !hand_over {
                self.ended(number).await;
            }
            let mut args = vec!["--listen", &listen, "--admin", &admin];
            args.extend(hand_over.then_some("--take-over"));
            let next = proxy(&self.world, build, number, &args).await;
            let old = std::mem::replace(&mut self.proxies[number], next);
            if hand_over {
                self.done += ended(old).await;
            }
            let admin = self.proxies[number].address("admin");
            until("clients use it", SOON, async || {
                let exchanges = metric(admin, "fprs_proxy_exchanges_in_flight").await;
                (exchanges > 0).then_some(())
            })
            .await;
        }
    }

    /// Tells a proxy to end and waits for it.
    async fn ended(&mut self, number: usize) {
        let proxy = self.proxies[number].process();
        proxy.terminate();
        assert_eq!(proxy.exited(SOON).await.code(), Some(0));
        self.done += Done::read(&proxy.log());
    }

    /// The next one is a worker beside the one before, which is emptied before it ends.
    async fn roll_relay(&mut self, build: &Path, load: &Load) {
        go_on(load).await;
        let leaves = self.worker().await;
        let next = self.follower(build, "relay").await;
        let mut old = std::mem::replace(&mut self.world.relay, next);
        self.worker().await;
        let cli = self.world.cli();
        cli.run(&["worker", "drain", &leaves]).await.succeeded();
        assert!(old.process().descendants().is_empty(), "it is not empty");
        old.process().terminate();
        assert_eq!(old.process().exited(SOON).await.code(), Some(0));
    }

    /// The next one stands by, and decides once the one before has gone.
    async fn roll_autoscaler(&mut self, build: &Path, load: &Load) {
        go_on(load).await;
        let next = self.follower(build, "autoscaler").await;
        let mut old = std::mem::replace(&mut self.world.autoscaler, next);
        old.process().terminate();
        assert_eq!(old.process().exited(SOON).await.code(), Some(0));
        let admin = self.world.autoscaler.address("admin");
        until("the next one decides", SOON, async || {
            (metric(admin, "fprs_autoscaler_leads").await == 1).then_some(())
        })
        .await;
    }

    /// One process holds the store's file: it ends, and the next one begins at its address. Others go on
    /// by what they have.
    async fn roll_control(&mut self, build: &Path, load: &Load) {
        go_on(load).await;
        let control = &mut self.world.control;
        let admin = control.address("admin").to_string();
        control.process().terminate();
        assert_eq!(control.process().exited(SOON).await.code(), Some(0));
        go_on(load).await;
        let data = self.world.path("control");
        let args = ["--admin", &admin, "--data-dir", data.to_str().unwrap()];
        self.world.control = role(build, "control", &args).await;
        self.worker().await;
    }

    async fn follower(&self, build: &Path, name: &str) -> Role {
        let control = self.world.control.address("admin").to_string();
        let data = self.world.path(&format!("{name}-{}", self.rolled));
        let args = ["--control", &control, "--data-dir", data.to_str().unwrap()];
        role(build, name, &args).await
    }

    /// The name of the relay's worker, once it is attached.
    async fn worker(&self) -> String {
        let address = self.world.relay.address("listen").to_string();
        until("the relay is attached", SOON, async || {
            let ran = self.world.cli().run(&["worker", "list", "--json"]).await;
            let workers: Vec<Value> = serde_json::from_str(&ran.stdout).ok()?;
            let worker = workers
                .iter()
                .find(|worker| worker["address"] == *address)?;
            Some(worker["id"].as_str().unwrap().to_owned())
        })
        .await
    }

    /// Everybody has counted the same, and nothing is left of anything.
    async fn end(mut self, begun: u64) {
        // Programs that were stopped with a WebSocket just closed have not all seen its end.
        self.world.idle().await;
        for proxy in &mut self.proxies {
            proxy.process().terminate();
        }
        for proxy in std::mem::take(&mut self.proxies) {
            self.done += ended(proxy).await;
        }
        let (programs, _) = self.world.seen();
        let done = self.done;
        // The edge's first request, which said that it serves.
        let begun = begun + u64::from(self.front.is_some());
        assert_eq!((done.cut, done.answers), (0, 0), "{done:?}");
        assert_eq!(
            (done.exchanges, programs),
            (begun, begun),
            "proxies, programs and clients count the same"
        );
        println!("{begun} exchanges, 0 failed");
        self.world.assert_unhurt();
    }
}

async fn go_on(load: &Load) {
    let more = load.least() + 2;
    eventually("all kinds of load go on", SOON, || load.least() >= more).await;
}

async fn proxy(world: &World, build: &Path, number: usize, more: &[&str]) -> Role {
    // In a soak one ends that isn't relieved: what edges need to see that.
    let delay = if soak() { "5s" } else { "300ms" };
    let drain = ["--drain-delay", delay, "--drain-timeout", "1s"];
    let trust = ["--trusted-edges", "127.0.0.1"];
    let args = [&drain[..], &trust, more].concat();
    world
        .proxy_of(build, &format!("proxy-{number}"), &args)
        .await
}

async fn ended(mut proxy: Role) -> Done {
    assert_eq!(proxy.process().exited(SOON).await.code(), Some(0));
    Done::read(&proxy.process().log())
}

/// What a build says it is: release and commit.
fn version(build: &Path) -> String {
    let output = Command::new(build).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().trim_start_matches("fprs ").to_owned()
}

/// The build that a process runs, by its metrics.
async fn runs(admin: SocketAddr) -> String {
    let mut client = H1::connect(admin).await.unwrap();
    let text = client.get("admin", "/metrics").await.unwrap().text();
    let info = text
        .lines()
        .find(|line| line.starts_with("fprs_build_info{"));
    let parts: Vec<&str> = info.unwrap().split('"').collect();
    let label = |name: &str| {
        let at = parts.iter().position(|part| part.ends_with(name));
        parts[at.unwrap() + 1]
    };
    format!("{} ({})", label("version="), label("commit="))
}
