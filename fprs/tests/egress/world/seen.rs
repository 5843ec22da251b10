//! What is seen from inside a namespace: who owns what, as whom a server sees whoever connects, and every
//! frame on the link.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, Socket, Type};

use super::{GATEWAYS, World};

/// What `ip link` calls the device of an engine.
pub(crate) const KERNEL: &str = "wireguard";
pub(crate) const PROCESS: &str = "tun";

impl World {
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

    /// The devices of that kind in a namespace.
    pub(crate) fn devices(&self, name: &str, kind: &str) -> usize {
        let shown = self.output(name, "ip", &["-o", "link", "show", "type", kind]);
        let ours = |line: &&str| line.contains("fpg") || line.contains("fpa");
        shown.lines().filter(ours).count()
    }

    /// No tunnel is left in a namespace.
    pub(crate) fn no_devices(&self, name: &str) -> bool {
        [KERNEL, PROCESS]
            .iter()
            .all(|kind| self.devices(name, kind) == 0)
    }
}
