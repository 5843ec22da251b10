//! What a tunnel costs beside plain routing, and beside wireguard-go, as ratios of one interleaved run:
//! bulk TCP, and half the round trip of one byte.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::world::{PATIENCE, POOLS, SERVER, World, container, installed, wait, world};

/// The other implementation.
const OTHER: &str = "/usr/bin/wireguard-go";

/// Rounds, and for how long each path is measured in one.
fn size() -> (usize, Duration) {
    if std::env::var_os("FPRS_SOAK").is_some() {
        (5, Duration::from_secs(2))
    } else {
        (1, Duration::from_millis(300))
    }
}

/// A way to the server: the namespace, and the address that connections are made from.
#[derive(Clone)]
struct Way {
    name: &'static str,
    netns: String,
    from: Option<Ipv4Addr>,
}

#[test]
fn a_tunnel_is_measured_beside_plain_routing_and_wireguard_go() {
    let Some(mut world) = world() else { return };
    let other = installed("wireguard-go");
    world.say_of_pool(0, "engine = \"process\"");
    if other {
        world.say_of_pool(1, &format!("daemon = \"{OTHER}\""));
    } else {
        eprintln!(
            "SKIPPED: no comparison with wireguard-go: it is not installed; `.ci/need wireguard-go` does it"
        );
    }
    world.start_all();
    let mut ways = vec![
        // Each has one machine between: the worker, or a gateway.
        Way {
            name: "plain routing",
            netns: container(1),
            from: None,
        },
        tunnelled(&world, "in process", POOLS[0]),
    ];
    if other {
        ways.push(tunnelled(&world, "wireguard-go", POOLS[1]));
    }
    let (rounds, time) = size();
    let mut all: Vec<(Vec<f64>, Vec<f64>, Vec<Duration>)> = vec![Default::default(); ways.len()];
    for _ in 0..rounds {
        for (way, (up, down, half)) in ways.iter().zip(&mut all) {
            up.push(bulk(&world, way, true, time));
            down.push(bulk(&world, way, false, time));
            half.extend(half_round_trips(&world, way, time));
        }
    }
    let mut first = None;
    for (way, (up, down, half)) in ways.iter().zip(&mut all) {
        half.sort_unstable();
        let (p50, p99) = (half[half.len() / 2], half[half.len() * 99 / 100]);
        let (up, down) = (median(up), median(down));
        let (plain_up, plain_down, plain_half) = *first.get_or_insert((up, down, p50));
        eprintln!(
            "{:>14}: up {up:6.0} Mbit/s ({:.2}), down {down:6.0} ({:.2}), half round trip p50 {p50:?} ({:.1}) p99 {p99:?}",
            way.name,
            up / plain_up,
            down / plain_down,
            p50.as_secs_f64() / plain_half.as_secs_f64(),
        );
        assert!(up > 1.0 && down > 1.0, "{} carries", way.name);
    }
}

/// A way by that pool's tunnels, as a process on the host takes it.
fn tunnelled(world: &World, name: &'static str, pool: &str) -> Way {
    let address = world.pool(pool)["tunnels"]["address"].clone();
    let way = Way {
        name,
        netns: "w".to_owned(),
        from: Some(address.as_str().unwrap().parse().unwrap()),
    };
    let (_listener, to) = world.listen("srv", SERVER);
    wait(name, || connect(world, &way, to).is_some());
    way
}

fn connect(world: &World, way: &Way, to: SocketAddr) -> Option<TcpStream> {
    let from = way.from;
    world.inside(&way.netns, move || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(from) = from {
            socket.bind(&SocketAddrV4::new(from, 0).into()).ok()?;
        }
        socket
            .connect_timeout(&to.into(), Duration::from_secs(1))
            .ok()?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(stream)
    })
}

fn pair(world: &World, way: &Way) -> (TcpStream, TcpStream) {
    let (listener, to) = world.listen("srv", SERVER);
    let client = connect(world, way, to).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// Megabits a second, up or down.
fn bulk(world: &World, way: &Way, up: bool, time: Duration) -> f64 {
    let (client, server) = pair(world, way);
    let (mut from, mut to) = if up {
        (client, server)
    } else {
        (server, client)
    };
    let sends = std::thread::spawn(move || while from.write_all(&[0; 64 * 1024]).is_ok() {});
    let mut buffer = vec![0; 256 * 1024];
    // What a window takes to open is not what is measured.
    let warm = Instant::now();
    while warm.elapsed() < time / 4 {
        assert!(to.read(&mut buffer).unwrap() > 0, "it goes on");
    }
    let began = Instant::now();
    let mut counted = 0;
    while began.elapsed() < time {
        counted += to.read(&mut buffer).unwrap();
    }
    let rate = counted as f64 * 8.0 / 1e6 / began.elapsed().as_secs_f64();
    to.shutdown(std::net::Shutdown::Both).unwrap();
    drop(to);
    sends.join().unwrap();
    rate
}

fn half_round_trips(world: &World, way: &Way, time: Duration) -> Vec<Duration> {
    let (mut client, mut server) = pair(world, way);
    let echoes = std::thread::spawn(move || {
        let mut byte = [0];
        while server.read_exact(&mut byte).is_ok() && server.write_all(&byte).is_ok() {}
    });
    let mut all = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        let sent = Instant::now();
        client.write_all(&[1]).unwrap();
        client.read_exact(&mut [0]).unwrap();
        all.push(sent.elapsed() / 2);
    }
    client.shutdown(std::net::Shutdown::Both).unwrap();
    echoes.join().unwrap();
    all
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}
