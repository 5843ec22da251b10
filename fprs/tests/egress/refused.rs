//! What must never leave, or never arrive: everything else than a bound container's own packets, by
//! its static IP, to the internet.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::world::{CONTAINERS, GATEWAYS, SERVER, STATIC, WORKER, World, container, wait, world};

/// How long nothing has to happen to be taken for never: several retransmissions of a SYN.
const NEVER: Duration = Duration::from_secs(3);

#[test]
fn with_every_gateway_down_nothing_of_a_bound_container_reaches_the_link() {
    let Some(mut world) = world() else { return };
    world.start_all();
    let whoami = world.whoami("srv", SERVER);
    let c1 = container(0);
    world.bind(0, "one");
    wait("the static IP", || {
        world.seen_as(&c1, whoami) == Some(STATIC[0].to_string())
    });
    for gateway in ["g1", "g2"] {
        world.kill(gateway);
        world.ip(gateway, "link set eth0 down");
    }
    assert_eq!(
        leaked(&world, whoami),
        Vec::<String>::new(),
        "gateways down"
    );
    world.kill("w");
    assert_eq!(
        leaked(&world, whoami),
        Vec::<String>::new(),
        "the agent, too"
    );
    // What makes the test one: a neighbour that isn't bound is seen.
    let capture = world.capture();
    assert!(world.seen_as(&container(1), whoami).is_some());
    assert!(frames(&capture, WORKER, SERVER) > 0);
}

#[test]
fn a_container_that_forges_a_bound_address_is_stopped() {
    let Some(mut world) = world() else { return };
    world.start_all();
    let whoami = world.whoami("srv", SERVER);
    world.bind(0, "one");
    wait("the static IP", || {
        world.seen_as(&container(0), whoami) == Some(STATIC[0].to_string())
    });
    let [bound, own] = CONTAINERS;
    world.ip("c2", &format!("addr add {bound}/32 dev eth0"));
    let capture = world.capture();
    send(&world, "c2", bound, whoami);
    // Sent after, so it is seen after.
    send(&world, "c2", own, whoami);
    let mut seen = Vec::new();
    wait("its own", || {
        seen.extend(datagrams(&capture));
        seen.contains(&(WORKER, SERVER))
    });
    assert!(!seen.contains(&(STATIC[0], SERVER)), "{seen:?}");
    // And one that is bound sends with no other address than its own.
    world.ip("c1", "addr add 10.88.0.99/32 dev eth0");
    let capture = world.capture();
    send(&world, "c1", Ipv4Addr::new(10, 88, 0, 99), whoami);
    send(&world, "c2", own, whoami);
    let mut seen = Vec::new();
    wait("the neighbour's", || {
        seen.extend(datagrams(&capture));
        seen.contains(&(WORKER, SERVER))
    });
    let others = seen
        .iter()
        .filter(|(from, to)| *from != WORKER && *to == SERVER);
    assert_eq!(others.count(), 0, "{seen:?}");
}

#[test]
fn a_client_reaches_the_internet_and_nothing_else() {
    let Some(mut world) = world() else { return };
    world.start_all();
    let whoami = world.whoami("srv", SERVER);
    // What a gateway's host offers: metadata, its own services, other tenants' tunnels.
    world.ip("g1", "addr add 169.254.169.254/32 dev lo");
    world.ip("g2", "addr add 169.254.169.254/32 dev lo");
    let metadata = "169.254.169.254".parse().unwrap();
    let (mut targets, mut nodes) = (Vec::new(), Vec::new());
    for (n, node) in (1..).zip(GATEWAYS) {
        let on_all = world.whoami(&format!("g{n}"), Ipv4Addr::UNSPECIFIED);
        let tunnels = [1, 2].map(|pool| Ipv4Addr::new(100, 64, pool, n));
        targets.extend(
            [metadata, tunnels[0], tunnels[1]].map(|to| SocketAddr::from((to, on_all.port()))),
        );
        nodes.push(SocketAddr::from((node, on_all.port())));
    }
    world.bind(0, "one");
    world.bind(1, "two");
    let [c1, c2] = [container(0), container(1)];
    wait("both", || {
        [&c1, &c2].iter().all(|c| {
            let seen = world.seen_as(c, whoami);
            STATIC.iter().any(|ip| seen == Some(ip.to_string()))
        })
    });
    let owner = world.owner(STATIC[0]).unwrap();
    wait("the route", || world.pool("one")["active"] == owner);
    // The other gateway is a part of the internet like any.
    targets.push(nodes[owner]);
    // Its own address, as another client's tunnel sees it, and as the internet does.
    let inward = world.whoami(&c2, CONTAINERS[1]);
    let two = world.pool("two")["tunnels"]["address"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    for address in [two, STATIC[1]] {
        targets.push(SocketAddr::from((address, inward.port())));
        let range = world.pool("two")["tunnels"]["ports"]["first"]
            .as_u64()
            .unwrap();
        targets.push(SocketAddr::from((address, u16::try_from(range).unwrap())));
    }
    for target in targets {
        assert_eq!(world.seen_as(&c1, target), None, "{target}");
    }
    assert_eq!(
        world.seen_as(&c1, whoami),
        Some(STATIC[0].to_string()),
        "still"
    );
}

#[test]
fn ipv6_of_a_bound_container_does_not_leave() {
    let Some(mut world) = world() else { return };
    world.start_all();
    for (name, device, address) in [
        ("srv", "eth0", "fd00:1::10/64"),
        ("w", "eth0", "fd00:1::20/64"),
        ("w", "vc1", "fd00:2::1/64"),
        ("c1", "eth0", "fd00:2::2/64"),
    ] {
        world.ip(name, &format!("addr add {address} dev {device} nodad"));
    }
    world.inside("w", || {
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    });
    world.ip("c1", "route add default via fd00:2::1");
    world.ip("srv", "route add fd00:2::/64 via fd00:1::20");
    let listener = world.inside("srv", || TcpListener::bind("[fd00:1::10]:0").unwrap());
    let server = listener.local_addr().unwrap();
    let reaches = || {
        world
            .connect("c1", server, Duration::from_secs(1))
            .is_some()
    };
    wait("IPv6 before it is bound", reaches);
    world.bind(0, "one");
    assert!(!reaches());
}

/// Sends a datagram from that address.
fn send(world: &World, name: &str, from: Ipv4Addr, to: SocketAddr) {
    world.inside(name, move || {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.send_to(b"datagram", to).ok();
    });
}

/// Tries to get out in every way, and says what of it was seen on the link.
fn leaked(world: &World, whoami: SocketAddr) -> Vec<String> {
    let c1 = container(0);
    let capture = world.capture();
    let until = Instant::now() + NEVER;
    while Instant::now() < until {
        assert_eq!(world.seen_as(&c1, whoami), None);
        send(world, &c1, CONTAINERS[0], whoami);
        let ping = ["-c", "1", "-W", "1", "203.0.113.10"];
        world.output(&c1, "ping", &ping);
    }
    let sources = [CONTAINERS[0], WORKER, STATIC[0]];
    let counted = sources.map(|from| (from, frames(&capture, from, SERVER)));
    let seen = counted.iter().filter(|(_, frames)| *frames > 0);
    seen.map(|(from, frames)| format!("{frames} frames from {from}"))
        .collect()
}

/// IPv4 frames from there to there among those captured and not yet read.
fn frames(capture: &Socket, from: Ipv4Addr, to: Ipv4Addr) -> usize {
    let seen = captured(capture);
    seen.iter().filter(|(_, seen)| *seen == (from, to)).count()
}

/// From where to where, of each datagram that was captured and not yet read. Tunnels' own are between
/// nodes.
fn datagrams(capture: &Socket) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    const UDP: u8 = 17;
    let seen = captured(capture);
    let udp = seen.into_iter().filter(|(protocol, _)| *protocol == UDP);
    udp.map(|(_, addresses)| addresses).collect()
}

/// Protocol and addresses of each IPv4 frame.
fn captured(capture: &Socket) -> Vec<(u8, (Ipv4Addr, Ipv4Addr))> {
    let mut capture = capture;
    let mut buffer = [0; 2048];
    let mut seen = Vec::new();
    while let Ok(length) = capture.read(&mut buffer) {
        let frame = &buffer[..length];
        if length < 34 || frame[12..14] != [8, 0] {
            continue;
        }
        let address =
            |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
        seen.push((frame[23], (address(26), address(30))));
    }
    seen
}
