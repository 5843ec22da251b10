//! The real `fprs` in the namespaces of a world: how its processes are started, stopped and killed, and
//! what they log.

use std::fs::File;
use std::process::Command;
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{POOLS, STATIC, TOKEN, World, wait};

/// Runs a program that sees no WireGuard sockets but its own: names of devices are another namespace's,
/// too.
const OWN_SOCKETS: &str = "mkdir -p /var/run/wireguard && mount -t tmpfs own /var/run/wireguard && \
                           exec \"$@\"";

/// The binary that is tried: this build's, or another one, as where speed is measured.
pub(crate) fn fprs() -> &'static str {
    static BINARY: OnceLock<String> = OnceLock::new();
    BINARY.get_or_init(|| {
        let given = std::env::var("FPRS_EGRESS_BINARY");
        given.unwrap_or_else(|_| env!("CARGO_BIN_EXE_fprs").to_owned())
    })
}

impl World {
    /// Starts a process of egress and waits until it serves.
    pub(crate) fn start(&mut self, name: &str, role: &str) {
        let settings = self.path(&format!("{name}.toml"));
        self.start_in(name, name, &["egress", role, settings.to_str().unwrap()]);
    }

    /// Starts a process in that namespace and waits until it serves.
    pub(crate) fn start_in(&mut self, name: &str, netns: &str, args: &[&str]) {
        let ready = self.path(&format!("{name}.ready"));
        std::fs::remove_file(&ready).ok();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))
            .unwrap();
        let child = self
            .command(netns, "sh")
            .args(["-c", OWN_SOCKETS, "sh", fprs()])
            .env("FPRS_ADMIN_TOKEN", TOKEN)
            .args(args)
            .arg("--ready-file")
            .arg(&ready)
            .stderr(log)
            .spawn()
            .unwrap();
        self.running.push((name.to_owned(), child));
        wait(&format!("{name} to serve"), || ready.exists());
    }

    /// Everything, with the first container bound to the first pool and traffic flowing.
    pub(crate) fn start_all(&mut self) {
        self.start("g1", "gateway");
        self.start("g2", "gateway");
        self.start("rec", "reconciler");
        self.start("w", "agent");
        self.settle();
    }

    /// Everything, where no kernel shows who owns what.
    pub(crate) fn start_all_but_owners(&mut self) {
        self.start("g1", "gateway");
        self.start("g2", "gateway");
        self.start("rec", "reconciler");
        self.start("w", "agent");
        wait("a route", || self.pool(POOLS[0])["active"].is_number());
    }

    /// Waits until what was started carries traffic.
    pub(crate) fn settle(&self) {
        wait("both tunnels of both pools", || {
            self.log("w").matches("INFO connected").count() >= 4
        });
        wait("routes", || {
            POOLS
                .iter()
                .all(|pool| self.pool(pool)["active"].is_number())
        });
        wait("owners", || {
            STATIC.iter().all(|ip| self.owner(*ip).is_some())
        });
    }

    /// Stops a process of ours where it is, or lets it go on.
    pub(crate) fn signal(&self, name: &str, signal: Signal) {
        let running = self.running.iter().find(|(running, _)| running == name);
        let pid = running.unwrap().1.id().cast_signed();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Gives a process of ours its part of the machine, however many others there are: it would be alone
    /// on one.
    pub(crate) fn hurry(&self, name: &str) {
        let (_, child) = self
            .running
            .iter()
            .find(|(running, _)| running == name)
            .unwrap();
        // Each thread has a priority of its own.
        let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        let threads = threads.map(|thread| thread.unwrap().file_name());
        let reniced = Command::new("renice")
            .args(["-n", "-10", "-p"])
            .args(threads)
            .output();
        assert!(reniced.unwrap().status.success());
    }

    /// Ends a process of ours as an operator does.
    pub(crate) fn end(&mut self, name: &str) {
        self.signal(name, Signal::SIGTERM);
        let (_, child) = self
            .running
            .iter_mut()
            .find(|(running, _)| running == name)
            .unwrap();
        wait("it to end", || child.try_wait().unwrap().is_some());
        self.running.retain(|(running, _)| running != name);
    }

    /// Ends a process of ours at once, as a crash does.
    pub(crate) fn kill(&mut self, name: &str) {
        let running = self.running.iter_mut().find(|(running, _)| running == name);
        let (_, child) = running.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.running.retain(|(running, _)| running != name);
    }

    /// What that process has logged.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }
}
