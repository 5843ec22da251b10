//! One program twice: deployed on a plane, and started by the test itself, so that a client can talk
//! to it with and without fprs between. Both leave notes of what they saw; at the end fprs must have
//! counted the same.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fprs_testkit::client::H1;
use fprs_testkit::{Plane, Process, ports, until};
use serde_json::Value;

use crate::client::Client;
use crate::seen::Seen;

/// The plane, with the server `it` deployed, and the same program beside it.
pub(crate) struct Stage {
    pub(crate) plane: Plane,
    /// What the deployed program saw.
    pub(crate) seen: Seen,
    direct: SocketAddr,
    seen_direct: Seen,
    _program: Process,
}

/// Longest a program may take to listen or to end: an interpreter that starts on a busy machine is
/// slow.
const LONGEST: Duration = Duration::from_secs(40);

/// Longest for the last exchange to be seen to end, on either side.
const SOON: Duration = Duration::from_secs(10);

/// Longest for a plane with nothing in flight to end.
const AT_ONCE: Duration = Duration::from_secs(10);

/// What programs are told: to leave no files here, and to be quick.
const ENV: &[(&str, &str)] = &[("PYTHONDONTWRITEBYTECODE", "1"), ("TOKEN_DELAY_MS", "5")];

/// The deployed program's name.
pub(crate) const SERVER: &str = "it";

impl Stage {
    /// Starts both; `more` is TOML for the manifest.
    pub(crate) async fn set(interpreter: &Path, program: &Path, more: &str) -> Self {
        let plane = Plane::start(env!("CARGO_BIN_EXE_fprs")).await;
        Self::set_on(plane, interpreter, program, more).await
    }

    /// [`Stage::set`] on that plane; with an edge, clients go through it.
    pub(crate) async fn set_on(
        plane: Plane,
        interpreter: &Path,
        program: &Path,
        more: &str,
    ) -> Self {
        let seen = Seen::new(plane.dir().join("seen"));
        let seen_direct = Seen::new(plane.dir().join("seen-direct"));
        let command = Value::from([text(interpreter), text(program)].as_slice());
        // So long waits a relay that counts one exchange too many; the test has failed before.
        let mut manifest = format!(
            "name = \"{SERVER}\"\ncommand = {command}\nauth = \"public\"\nmin_replicas = 1\n\
             exit_grace_period = \"120s\"\n{more}\n[env]\n"
        );
        for (name, value) in environment(&seen) {
            manifest += &format!("{name} = {}\n", Value::from(value));
        }
        plane.deploy(&manifest).await;
        let (process, direct) = start(interpreter, program, &seen_direct, plane.dir()).await;
        until("a ready replica", LONGEST, async || {
            (plane.replicas_in(SERVER, "ready").await > 0).then_some(())
        })
        .await;
        Self {
            plane,
            seen,
            direct,
            seen_direct,
            _program: process,
        }
    }

    /// Runs the client with and without fprs between; what it said must be the same, and not nothing.
    pub(crate) async fn compare(&self, client: &Client) {
        self.compare_two(client, client).await;
    }

    /// [`Stage::compare`], where the client behind fprs speaks another version of HTTP than the
    /// program can.
    pub(crate) async fn compare_two(&self, direct: &Client, through: &Client) {
        let before = (self.seen_direct.begun(), self.seen.begun());
        let expected = self.run_direct(direct).await;
        let seen = self.run(through).await;
        same(&expected, &seen);
        let asked = self.seen_direct.begun() - before.0;
        assert_eq!(
            self.seen.begun() - before.1,
            asked,
            "requests of {through:?}"
        );
    }

    /// Runs the client against the plane; what it said.
    pub(crate) async fn run(&self, client: &Client) -> Vec<u8> {
        let edge = self.plane.ready()["edge"].as_str();
        let Some(edge) = edge.and_then(|edge| edge.parse().ok()) else {
            return client.run(self.plane.listen(), &self.authority()).await;
        };
        let ca = self.plane.data_dir().join("edge/ca.pem");
        let client = client.clone().env("CA", &ca);
        client.run(edge, &self.authority()).await
    }

    /// Runs the client against the program itself; what it said.
    pub(crate) async fn run_direct(&self, client: &Client) -> Vec<u8> {
        client.run(self.direct, &self.authority()).await
    }

    /// Where the program itself listens.
    pub(crate) const fn direct(&self) -> SocketAddr {
        self.direct
    }

    /// The deployed server's authority.
    pub(crate) fn authority(&self) -> String {
        self.plane.host(SERVER)
    }

    /// Ends the test: nothing is in flight any more, and fprs counted what the program saw.
    pub(crate) async fn end(self) {
        let exchanges = self.seen.begun();
        assert!(exchanges > 0, "the program saw nothing");
        until(
            "the program saw the end of every exchange",
            SOON,
            async || (self.seen.ended() == exchanges).then_some(()),
        )
        .await;
        self.end_after(exchanges).await;
    }

    /// [`Stage::end`] for a program that leaves no notes.
    pub(crate) async fn end_after(mut self, exchanges: u64) {
        until(
            "the proxy saw the end of every exchange",
            SOON,
            async || (self.exchanges().await >= exchanges).then_some(()),
        )
        .await;
        assert_eq!(self.exchanges().await, exchanges, "exchanges that ended");
        // Neither the proxy nor the relay ends before what it counts as in flight has, or its time
        // is up: later than this.
        let status = self.plane.terminate(AT_ONCE).await;
        assert!(status.success(), "{status}");
    }

    /// How many exchanges with a replica have ended, as the proxy counts.
    async fn exchanges(&self) -> u64 {
        let mut admin = H1::connect(self.plane.admin()).await.unwrap();
        let metrics = admin.get("admin", "/metrics").await.unwrap().text();
        metrics
            .lines()
            .filter(|line| line.starts_with("fprs_proxy_exchanges_total{"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }
}

/// Fails unless both said the same, and not nothing.
#[track_caller]
pub(crate) fn same(direct: &[u8], through: &[u8]) {
    assert!(!direct.is_empty(), "the client said nothing");
    assert!(
        direct == through,
        "without fprs:\n{}\nwith fprs:\n{}",
        String::from_utf8_lossy(direct),
        String::from_utf8_lossy(through)
    );
}

/// A file of this directory.
pub(crate) fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

async fn start(
    interpreter: &Path,
    program: &Path,
    seen: &Seen,
    dir: &Path,
) -> (Process, SocketAddr) {
    let address = ports::unused();
    let mut command = Command::new(interpreter);
    command.arg(program).env("PORT", address.port().to_string());
    command.envs(environment(seen));
    let mut process = Process::spawn("the program", command, &dir.join("direct.log"));
    until("the program listens", LONGEST, async || {
        assert!(process.is_running(), "the program ended");
        TcpStream::connect(address).ok()
    })
    .await;
    (process, address)
}

fn environment(seen: &Seen) -> impl Iterator<Item = (&str, &str)> {
    let seen = ("SEEN", seen.path().to_str().expect("a path that is text"));
    ENV.iter().copied().chain([seen])
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path that is text").to_owned()
}
