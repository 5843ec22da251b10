//! A small internet in network namespaces: a server, two gateways, a worker with two containers, all
//! but the containers on one link, and the real `fprs` in each. What is made is gone when it is dropped.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fprs_testkit::TempDir;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::{Domain, Protocol, Socket, Type};

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
/// Runs a program that sees no WireGuard sockets but its own: names of devices are another namespace's,
/// too.
const OWN_SOCKETS: &str = "mkdir -p /var/run/wireguard && mount -t tmpfs own /var/run/wireguard && \
                           exec \"$@\"";
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

/// The binary that is tried: this build's, or another one, as where speed is measured.
pub(crate) fn fprs() -> &'static str {
    static BINARY: OnceLock<String> = OnceLock::new();
    BINARY.get_or_init(|| {
        let given = std::env::var("FPRS_EGRESS_BINARY");
        given.unwrap_or_else(|_| env!("CARGO_BIN_EXE_fprs").to_owned())
    })
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

    /// Settings and certificates of everything.
    fn settings(&self) {
        for (n, node) in GATEWAYS.iter().enumerate() {
            let name = format!("g{}", n + 1);
            self.certificate(&name, *node);
            std::fs::write(self.path(&format!("{name}.toml")), gateway(n, *node)).unwrap();
        }
        std::fs::write(self.path("secret"), "agent-secret\n").unwrap();
        std::fs::write(self.path("admin"), "admin-secret\n").unwrap();
        std::fs::write(self.path("w.toml"), agent("w1")).unwrap();
        std::fs::write(self.path("rec.toml"), reconciler("")).unwrap();
    }

    /// A certificate that the world's authority signed.
    pub(crate) fn certificate(&self, name: &str, address: Ipv4Addr) {
        let dir = self.path("");
        let made = Command::new(fprs())
            .args(["egress", "certificate", name, &address.to_string(), "--dir"])
            .arg(dir)
            .status();
        assert!(made.unwrap().success());
    }

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

    /// Starts control, in the reconciler's namespace.
    pub(crate) fn start_control(&mut self) {
        let (data, admin) = (self.path("control"), STORE.to_string());
        let data = data.to_str().unwrap();
        std::fs::write(self.path("token"), TOKEN).unwrap();
        let args = ["control", "--data-dir", data, "--admin", &admin];
        self.start_in("control", "rec", &args);
    }

    /// What users type, beside control; what it prints.
    pub(crate) fn fprs(&self, args: &[&str]) -> String {
        let output = self
            .command("rec", fprs())
            .env("FPRS_ADMIN_TOKEN", TOKEN)
            .env("FPRS_ADMIN", STORE.to_string())
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "fprs {}: {said}", args.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Both static IPs as pools of the store.
    pub(crate) fn add_pools(&self) {
        let [g1, g2] = GATEWAYS;
        for (pool, ip) in POOLS.iter().zip(STATIC) {
            self.fprs(&[
                "egress",
                "pool",
                "add",
                pool,
                "--ip",
                &ip.to_string(),
                "--gateway",
                &format!("g1={g1}:{CONTROL}"),
                "--gateway",
                &format!("g2={g2}:{CONTROL}"),
            ]);
        }
    }

    /// Starts a reconciler that has its pools and its lease in the store, in that namespace.
    pub(crate) fn start_candidate(&mut self, name: &str, netns: &str, more: &str) {
        let settings = self.path(&format!("{name}.toml"));
        let text = format!(
            "admin_secret_file = \"admin\"\nauthority = \"ca.pem\"\ncontrol = [\"{STORE}\"]\n\
             token_file = \"token\"\nholder = \"{name}\"\n{more}"
        );
        std::fs::write(&settings, text).unwrap();
        let settings = settings.to_str().unwrap().to_owned();
        self.start_in(name, netns, &["egress", "reconciler", &settings]);
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

    /// Ends a process of ours at once, as a crash does.
    pub(crate) fn kill(&mut self, name: &str) {
        let running = self.running.iter_mut().find(|(running, _)| running == name);
        let (_, child) = running.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.running.retain(|(running, _)| running != name);
    }

    /// Which gateway owns that static IP, as its kernel has it.
    pub(crate) fn owner(&self, static_ip: Ipv4Addr) -> Option<usize> {
        (0..GATEWAYS.len()).find(|n| self.holds(*n, static_ip))
    }

    /// Whether that gateway's kernel has that static IP.
    pub(crate) fn holds(&self, gateway: usize, static_ip: Ipv4Addr) -> bool {
        let all = self.inside(&format!("g{}", gateway + 1), || {
            getifaddrs()
                .unwrap()
                .filter_map(|found| Some(found.address?.as_sockaddr_in()?.ip()))
                .collect::<Vec<Ipv4Addr>>()
        });
        all.contains(&static_ip)
    }

    /// What the agent keeps of a pool.
    pub(crate) fn pool(&self, pool: &str) -> serde_json::Value {
        let path = self.state_dir().join("pools").join(format!("{pool}.json"));
        let text = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Binds a container to a pool as a container runtime does.
    pub(crate) fn bind(&self, n: usize, pool: &str) {
        let (printed, done) = self.cni("ADD", &container(n), pool, Some(previous(n)));
        assert!(done, "{printed}");
    }

    /// From now on so many bound containers have a rule each, and more a map.
    pub(crate) fn map_above(&mut self, map_above: usize) {
        self.map_above = map_above;
    }

    /// Calls the plugin.
    pub(crate) fn cni(
        &self,
        verb: &str,
        id: &str,
        pool: &str,
        previous: Option<serde_json::Value>,
    ) -> (String, bool) {
        let mut child = self.cni_start(verb, id, pool, previous, &[]);
        let mut printed = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut printed)
            .unwrap();
        (printed, child.wait().unwrap().success())
    }

    /// Calls the plugin and doesn't wait.
    pub(crate) fn cni_start(
        &self,
        verb: &str,
        id: &str,
        pool: &str,
        previous: Option<serde_json::Value>,
        valid: &[&str],
    ) -> Child {
        let valid: Vec<_> = valid
            .iter()
            .map(|id| serde_json::json!({ "containerID": id, "ifname": "eth0" }))
            .collect();
        let mut config = serde_json::json!({
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "fprs-egress",
            "pool": pool,
            "stateDir": self.state_dir(),
            "mapAbove": self.map_above,
            "cni.dev/valid-attachments": valid,
        });
        if let Some(previous) = previous {
            config["prevResult"] = previous;
        }
        let mut child = self
            .command("w", fprs())
            .args(["egress", "cni"])
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", id)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_NETNS", "/run/netns/x")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(config.to_string().as_bytes()).ok();
        child
    }

    /// Does something with that namespace's network; sockets stay in it.
    pub(crate) fn inside<T: Send>(&self, name: &str, act: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.netns(name));
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            inside.join().unwrap()
        })
    }

    /// A listener of that namespace.
    pub(crate) fn listen(&self, name: &str, address: Ipv4Addr) -> (TcpListener, SocketAddr) {
        let listener = self.inside(name, move || TcpListener::bind((address, 0)).unwrap());
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A server of that namespace that tells each who connects as whom it sees it.
    pub(crate) fn whoami(&self, name: &str, address: Ipv4Addr) -> SocketAddr {
        let (listener, address) = self.listen(name, address);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Ok(peer) = stream.peer_addr() else {
                    continue;
                };
                writeln!(stream, "{}", peer.ip()).ok();
            }
        });
        address
    }

    /// Connects from that namespace.
    pub(crate) fn connect(
        &self,
        name: &str,
        to: SocketAddr,
        patience: Duration,
    ) -> Option<TcpStream> {
        self.inside(name, move || TcpStream::connect_timeout(&to, patience).ok())
    }

    /// As whom `whoami` sees that namespace; none if it doesn't get there.
    pub(crate) fn seen_as(&self, name: &str, whoami: SocketAddr) -> Option<String> {
        let stream = self.connect(name, whoami, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    }

    /// Every frame on the link, from now on.
    pub(crate) fn capture(&self) -> Socket {
        // All protocols, in network order.
        let all = Protocol::from(i32::from(0x0003_u16.to_be()));
        self.inside("lan", move || {
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
    }

    /// Runs a program in that namespace and gives back what it printed.
    pub(crate) fn output(&self, name: &str, program: &str, args: &[&str]) -> String {
        let output = self.command(name, program).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
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

    /// What that process has logged.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
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

/// The name of a container's namespace.
pub(crate) fn container(n: usize) -> String {
    format!("c{}", n + 1)
}

/// The worker's end of its link.
pub(crate) fn port(n: usize) -> String {
    format!("vc{}", n + 1)
}

/// What the plugin before ours made.
pub(crate) fn previous(n: usize) -> serde_json::Value {
    result(&port(n), CONTAINERS[n])
}

/// The result of a plugin that gave a container that address behind that port.
pub(crate) fn result(port: &str, address: Ipv4Addr) -> serde_json::Value {
    serde_json::json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": port },
            { "name": "eth0", "sandbox": "/run/netns/x" },
        ],
        "ips": [{ "address": format!("{address}/32"), "interface": 1 }],
    })
}

/// Settings of the gateway of that number.
fn gateway(n: usize, node: Ipv4Addr) -> String {
    let mut text = format!(
        r#"
        name = "g{number}"
        number = {number}
        node = "{node}"
        uplink = "eth0"
        control = "{node}:{CONTROL}"
        state_dir = "g{number}-state"
        certificate = "g{number}.pem"
        key = "g{number}.key"
        admin_sha256 = "{admin}"
        "#,
        number = n + 1,
        admin = sha256("admin-secret"),
    );
    for (n, ip) in STATIC.iter().enumerate() {
        let n = n + 1;
        text.push_str(&format!(
            "[[static_ips]]\nip = \"{ip}\"\nblock = \"100.64.{n}.0/25\"\nport = {}\n",
            50_100 + n
        ));
    }
    for identity in ["w1", "w2"] {
        let hash = sha256("agent-secret");
        text.push_str(&format!(
            "[[agents]]\nidentity = \"{identity}\"\nsecret_sha256 = \"{hash}\"\n"
        ));
    }
    text
}

/// Settings of an agent.
fn agent(identity: &str) -> String {
    let mut text = format!(
        "identity = \"{identity}\"\nsecret_file = \"secret\"\nauthority = \"ca.pem\"\n\
         state_dir = \"agent\"\n"
    );
    let [g1, g2] = GATEWAYS;
    for (n, (pool, ip)) in POOLS.iter().zip(STATIC).enumerate() {
        text.push_str(&format!(
            "[[pools]]\nname = \"{pool}\"\nstatic_ip = \"{ip}\"\ntable = {}\n\
             direct = [\"10.0.0.0/8\"]\ngateways = [\"{g1}:{CONTROL}\", \"{g2}:{CONTROL}\"]\n",
            51_901 + n
        ));
    }
    text
}

/// Settings of the reconciler; `drained` is a gateway that is to own nothing.
pub(crate) fn reconciler(drained: &str) -> String {
    let mut text = "admin_secret_file = \"admin\"\nauthority = \"ca.pem\"\n".to_owned();
    for ip in STATIC {
        text.push_str(&format!(
            "[[static_ips]]\nip = \"{ip}\"\ngateways = [\"g1\", \"g2\"]\n"
        ));
    }
    for (n, node) in GATEWAYS.iter().enumerate() {
        let name = format!("g{}", n + 1);
        let draining = name == drained;
        text.push_str(&format!(
            "[gateways.{name}]\nnode = \"{node}\"\ncontrol = \"{node}:{CONTROL}\"\n\
             draining = {draining}\n"
        ));
    }
    text
}

pub(crate) fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
