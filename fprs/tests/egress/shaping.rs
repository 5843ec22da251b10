//! That a static IP with a rate sends and is sent to at that rate, and one without is not slowed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::world::{PATIENCE, SERVER, STATIC, World, container, wait, world};

/// The rate of the first static IP.
const MEGABITS: f64 = 20.0;
/// What is measured, after the start of a connection, which is faster by the queue's burst.
const WARM: Duration = Duration::from_millis(700);
const MEASURED: Duration = Duration::from_secs(2);
/// A machine with other work is measured again.
const MEASUREMENTS: usize = 5;

#[test]
fn a_static_ip_with_a_rate_has_that_rate_both_ways() {
    let Some(mut world) = world() else { return };
    for gateway in ["g1.toml", "g2.toml"] {
        let path = world.path(gateway);
        let text = std::fs::read_to_string(&path).unwrap();
        let port = "port = 50101\n";
        std::fs::write(
            &path,
            text.replace(port, &format!("{port}megabits = {MEGABITS}\n")),
        )
        .unwrap();
    }
    world.start_all();
    let whoami = world.whoami("srv", SERVER);
    for (n, pool) in ["one", "two"].iter().enumerate() {
        world.bind(n, pool);
        wait("the static IP", || {
            world.seen_as(&container(n), whoami) == Some(STATIC[n].to_string())
        });
    }
    for up in [true, false] {
        let within = |rate: f64| (0.9 * MEGABITS..1.1 * MEGABITS).contains(&rate);
        let measured = measured(&world, 0, up, within);
        eprintln!("up {up}: {measured:.1} Mbit/s of {MEGABITS}");
        assert!(within(measured), "{measured} Mbit/s, up {up}");
        let free = self::measured(&world, 1, up, |rate| rate > 1.5 * MEGABITS);
        eprintln!("up {up}: {free:.1} Mbit/s without a rate");
        assert!(
            free > 1.5 * MEGABITS,
            "{free} Mbit/s without a rate, up {up}"
        );
    }
}

/// The first measurement that fits, or the last.
fn measured(world: &World, n: usize, up: bool, fits: impl Fn(f64) -> bool) -> f64 {
    let mut rate = 0.0;
    for _ in 0..MEASUREMENTS {
        rate = transfer(world, n, up);
        if fits(rate) {
            break;
        }
    }
    rate
}

/// Megabits a second that a container sends, or is sent.
fn transfer(world: &World, n: usize, up: bool) -> f64 {
    let (listener, address) = world.listen("srv", SERVER);
    let client = world.connect(&container(n), address, PATIENCE).unwrap();
    let (server, _) = listener.accept().unwrap();
    let (from, to) = if up {
        (client, server)
    } else {
        (server, client)
    };
    let sends = std::thread::spawn(move || send(from));
    let rate = receive(&to);
    to.shutdown(std::net::Shutdown::Both).unwrap();
    drop(to);
    sends.join().unwrap();
    rate
}

fn send(mut to: TcpStream) {
    to.set_write_timeout(Some(PATIENCE)).unwrap();
    while to.write_all(&[0; 16 * 1024]).is_ok() {}
}

fn receive(mut from: &TcpStream) -> f64 {
    let mut buffer = [0; 64 * 1024];
    let began = Instant::now();
    let mut counted = 0;
    while began.elapsed() < WARM + MEASURED {
        let read = from.read(&mut buffer).unwrap();
        if began.elapsed() > WARM {
            counted += read;
        }
    }
    counted as f64 * 8.0 / 1e6 / MEASURED.as_secs_f64()
}
