//! A small internet in network namespaces: a server, two gateways, a worker with two containers, all
//! but the containers on one link, and the real `fprs` in each. What is made is gone when it is dropped.

mod bound;
mod plane;
mod processes;
mod seen;
mod settings;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fprs_testkit::TempDir;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) use self::bound::{container, port, previous, result};
pub(crate) use self::processes::fprs;
pub(crate) use self::seen::{KERNEL, PROCESS};
pub(crate) use self::settings::{reconciler, sha256};

/// Where the server is.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The worker's own address.
pub(crate) const WORKER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
/// The static IPs.
pub(crate) const STATIC: [Ipv4Addr; 2] = [
    Ipv4Addr::new(203, 0, 113, 101),
    Ipv4Addr::new(203, 0, 113, 102),
];
/// The gateways' nodes.
pub(crate) const GATEWAYS: [Ipv4Addr; 2] =
    [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2)];
/// The containers.
pub(crate) const CONTAINERS: [Ipv4Addr; 2] =
    [Ipv4Addr::new(10, 88, 0, 2), Ipv4Addr::new(10, 88, 0, 3)];
/// Where gateways' control listens.
pub(crate) const CONTROL: u16 = 8443;
/// Where control of the plane is.
pub(crate) const STORE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 30)), 9090);
/// Its admin token.
pub(crate) const TOKEN: &str = "fprs-egress-tests";
/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The pools of the worker's agent, one for each static IP.
pub(crate) const POOLS: [&str; 2] = ["one", "two"];

/// The namespaces, what runs in them, and their files.
pub(crate) struct World {
    prefix: String,
    dir: TempDir,
    running: Vec<(String, Child)>,
    /// Namespaces beside those that every world has.
    more: Vec<String>,
    /// Bound containers that have a rule each.
    map_above: usize,
}

/// A world, or none where there can't be one: said loudly, and a failure where it is required.
pub(crate) fn world() -> Option<World> {
    let missing = if !nix::unistd::geteuid().is_root() {
        Some("this is not root".to_owned())
    } else {
        let tools = ["ip", "nft"];
        let missing = tools.iter().find(|tool| !installed(tool));
        missing.map(|tool| format!("`{tool}` is not installed; `.ci/need {tool}` does it"))
    };
    let Some(why) = missing else {
        return Some(World::new());
    };
    assert!(
        std::env::var_os("FPRS_REQUIRE_NETNS").is_none(),
        "FPRS_REQUIRE_NETNS is set, and {why}"
    );
    eprintln!("SKIPPED: no network namespaces: {why}");
    None
}

/// Whether that program is where programs are.
pub(crate) fn installed(tool: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(tool).exists())
}

impl World {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let world = Self {
            prefix: format!("fpe{}-{count}-", std::process::id()),
            dir: TempDir::new().unwrap(),
            running: Vec::new(),
            more: Vec::new(),
            map_above: 256,
        };
        for name in ["lan", "srv", "g1", "g2", "w", "rec", "c1", "c2"] {
            ip(&["netns", "add", &world.netns(name)]);
            world.ip(name, "link set lo up");
        }
        world.ip("lan", "link add br0 type bridge");
        world.ip("lan", "link set br0 up");
        let [g1, g2] = GATEWAYS;
        for (name, address) in [("srv", SERVER), ("g1", g1), ("g2", g2), ("w", WORKER)] {
            world.plug(name, address);
        }
        world.plug("rec", Ipv4Addr::new(203, 0, 113, 30));
        for (n, address) in CONTAINERS.iter().enumerate() {
            world.container(n, *address);
        }
        world.write("/proc/sys/net/ipv4/ip_forward", "w", "1");
        // As every container network does: what is not bound leaves by the worker's address.
        world.nft(
            "w",
            "table ip host {\n chain post {\n type nat hook postrouting priority srcnat;\n \
             ip saddr 10.88.0.0/24 oifname != \"vc*\" masquerade\n }\n}\n",
        );
        world.settings();
        world
    }

    /// One more namespace on the link.
    pub(crate) fn add_namespace(&mut self, name: &str, address: Ipv4Addr) {
        ip(&["netns", "add", &self.netns(name)]);
        self.more.push(name.to_owned());
        self.ip(name, "link set lo up");
        self.plug(name, address);
    }

    /// A namespace on the link.
    fn plug(&self, name: &str, address: Ipv4Addr) {
        let (lan, own) = (self.netns("lan"), self.netns(name));
        let port = format!("p-{name}");
        ip(&[
            "link", "add", &port, "netns", &lan, "type", "veth", "peer", "name", "eth0", "netns",
            &own,
        ]);
        self.ip("lan", &format!("link set {port} master br0 up"));
        self.ip(name, &format!("addr add {address}/24 dev eth0"));
        self.ip(name, "link set eth0 up");
    }

    /// A container of the worker, routed, with IPv6 too.
    fn container(&self, n: usize, address: Ipv4Addr) {
        let (name, port) = (container(n), port(n));
        let (worker, own) = (self.netns("w"), self.netns(&name));
        ip(&[
            "link", "add", &port, "netns", &worker, "type", "veth", "peer", "name", "eth0",
            "netns", &own,
        ]);
        self.ip("w", &format!("addr add 10.88.0.1/32 dev {port}"));
        self.ip("w", &format!("link set {port} up"));
        self.ip("w", &format!("route add {address} dev {port}"));
        self.ip(&name, &format!("addr add {address}/32 dev eth0"));
        self.ip(&name, "link set eth0 up");
        self.ip(&name, "route add 10.88.0.1 dev eth0");
        self.ip(&name, "route add default via 10.88.0.1");
    }

    /// `ip` in that namespace.
    pub(crate) fn ip(&self, name: &str, line: &str) {
        let netns = self.netns(name);
        let mut args = vec!["-n", netns.as_str()];
        args.extend(line.split(' '));
        ip(&args);
    }

    pub(crate) fn nft(&self, name: &str, text: &str) {
        let path = self.path("host.nft");
        std::fs::write(&path, text).unwrap();
        let nft = self.command(name, "nft").arg("-f").arg(path).status();
        assert!(nft.unwrap().success());
    }

    fn write(&self, path: &str, name: &str, value: &str) {
        let (path, value) = (path.to_owned(), value.to_owned());
        self.inside(name, move || std::fs::write(path, value).unwrap());
    }

    /// A program in that namespace.
    pub(crate) fn command(&self, name: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns(name), program]);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin");
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("agent")
    }

    fn netns(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (name, child) in &mut self.running {
            child.kill().ok();
            child.wait().ok();
            if std::thread::panicking() {
                let path = self.dir.path().join(format!("{name}.log"));
                let log = std::fs::read_to_string(path).unwrap_or_default();
                eprintln!("--- {name}\n{log}");
            }
        }
        let all = ["lan", "srv", "g1", "g2", "w", "rec", "c1", "c2"];
        for name in all.into_iter().chain(self.more.iter().map(String::as_str)) {
            let netns = format!("{}{name}", self.prefix);
            // What those that were killed have left: programs of tunnels and of replicas.
            let left = Command::new("ip").args(["netns", "pids", &netns]).output();
            let left = left.map(|output| output.stdout).unwrap_or_default();
            for pid in String::from_utf8_lossy(&left).lines() {
                if let Ok(pid) = pid.trim().parse() {
                    kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
                }
            }
            Command::new("ip")
                .args(["netns", "del", &netns])
                .status()
                .ok();
        }
    }
}

/// Polls until it holds.
#[track_caller]
pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", args.join(" "));
}
