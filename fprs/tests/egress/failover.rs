//! What live connections notice when the gateway they go by dies, or is drained: a pause, and no more.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::world::{PATIENCE, SERVER, STATIC, World, container, reconciler, wait, world};

/// The longest pause that is allowed: three lost probes, and what the worst tick adds.
const LONGEST: Duration = Duration::from_secs(1);
/// A machine with other work is measured again, so often.
const AGAIN: usize = 4;
/// Pause between what the server pushes, and between requests.
const BEAT: Duration = Duration::from_millis(10);

/// How often a gateway is killed.
fn runs() -> usize {
    if std::env::var_os("FPRS_SOAK").is_some() {
        20
    } else {
        2
    }
}

#[test]
fn connections_survive_the_death_of_their_gateway() {
    let Some(mut world) = world() else { return };
    world.start_all();
    world.bind(0, "one");
    let (mut outages, mut again) = (Vec::new(), AGAIN);
    let mut connected = 4;
    while outages.len() < runs() {
        let owner = settled(&world);
        let live = Live::start(&world);
        let name = format!("g{}", owner + 1);
        world.kill(&name);
        wait("the address to move", || {
            world.owner(STATIC[0]) == Some(1 - owner)
        });
        let (asked, pushed) = live.stop();
        eprintln!("{name} killed; requests paused {asked:?}, pushes {pushed:?}");
        if asked.max(pushed) < LONGEST || again == 0 {
            outages.push(asked.max(pushed));
        } else {
            again -= 1;
        }
        world.start(&name, "gateway");
        connected += 2;
        wait("the dead one's tunnels", || {
            world.log("w").matches("INFO connected").count() >= connected
        });
        assert_eq!(settled(&world), 1 - owner, "nothing moves back by itself");
    }
    outages.sort_unstable();
    let (median, longest) = (outages[outages.len() / 2], outages[outages.len() - 1]);
    eprintln!(
        "{} runs: median {median:?}, longest {longest:?}",
        outages.len()
    );
    assert!(longest < LONGEST, "longest {longest:?}");
}

#[test]
fn a_drained_gateway_gives_its_addresses_away_unnoticed() {
    let Some(mut world) = world() else { return };
    world.start_all();
    world.bind(0, "one");
    let mut paused = Duration::MAX;
    for _ in 0..=AGAIN {
        let owner = settled(&world);
        let live = Live::start(&world);
        let name = format!("g{}", owner + 1);
        std::fs::write(world.path("rec.toml"), reconciler(&name)).unwrap();
        wait("the address to move", || {
            world.owner(STATIC[0]) == Some(1 - owner)
        });
        assert_eq!(settled(&world), 1 - owner);
        let (asked, pushed) = live.stop();
        eprintln!("drained: requests paused {asked:?}, pushes {pushed:?}");
        paused = asked.max(pushed);
        if paused < LONGEST {
            break;
        }
    }
    assert!(paused < LONGEST, "{paused:?}");
}

#[test]
fn connections_survive_a_restart_of_their_agent() {
    let Some(mut world) = world() else { return };
    world.start_all();
    world.bind(0, "one");
    settled(&world);
    let live = Live::start(&world);
    world.kill("w");
    world.start("w", "agent");
    wait("the tunnels", || {
        world.log("w").matches("INFO connected").count() >= 8
    });
    settled(&world);
    let (asked, pushed) = live.stop();
    eprintln!("agent restarted: requests paused {asked:?}, pushes {pushed:?}");
    assert!(asked.max(pushed) < PATIENCE, "both flow again");
}

#[test]
fn what_a_reconciler_left_undone_the_next_one_does() {
    let Some(mut world) = world() else { return };
    world.start_all();
    world.bind(0, "one");
    let owner = settled(&world);
    let live = Live::start(&world);
    world.kill("rec");
    world.kill(&format!("g{}", owner + 1));
    world.start("rec", "reconciler");
    wait("the address to move", || {
        world.owner(STATIC[0]) == Some(1 - owner)
    });
    assert_eq!(settled(&world), 1 - owner);
    let (asked, pushed) = live.stop();
    eprintln!("reconciler killed, too: requests paused {asked:?}, pushes {pushed:?}");
    // The rest is where it was.
    wait("the other address", || {
        world.owner(STATIC[1]) == Some(1 - owner)
    });
}

/// The gateway that owns the first static IP and has the route, once the internet sees it so.
pub(crate) fn settled(world: &World) -> usize {
    let whoami = world.whoami("srv", SERVER);
    let c1 = container(0);
    let mut found = None;
    wait("one gateway to own the address and the route", || {
        let owner = world.owner(STATIC[0]);
        let active = world.pool("one")["active"].as_u64();
        found = owner;
        owner.is_some_and(|owner| active == Some(owner as u64))
            && world.seen_as(&c1, whoami) == Some(STATIC[0].to_string())
    });
    found.unwrap()
}

/// Two connections of the bound container that never stop: one asks and is answered, on the other
/// only the server sends. Each ends with the longest pause it saw.
pub(crate) struct Live {
    asks: JoinHandle<Duration>,
    pushes: JoinHandle<Duration>,
    stop: TcpStream,
    stopped: TcpStream,
}

impl Live {
    pub(crate) fn start(world: &World) -> Self {
        let (listener, address) = world.listen("srv", SERVER);
        let c1 = container(0);
        let asks = world.connect(&c1, address, PATIENCE).unwrap();
        let (answers, _) = listener.accept().unwrap();
        let pushed = world.connect(&c1, address, PATIENCE).unwrap();
        let (pushing, _) = listener.accept().unwrap();
        let stop = asks.try_clone().unwrap();
        let stopped = pushed.try_clone().unwrap();
        std::thread::spawn(move || echo(answers));
        std::thread::spawn(move || push(pushing));
        let live = Self {
            asks: std::thread::spawn(move || ask(asks)),
            pushes: std::thread::spawn(move || receive(pushed)),
            stop,
            stopped,
        };
        // Both have to flow before anything is measured.
        std::thread::sleep(10 * BEAT);
        live
    }

    /// Waits until both flow again, and gives their longest pauses.
    pub(crate) fn stop(self) -> (Duration, Duration) {
        // Long enough that a connection that never comes back is seen as such.
        std::thread::sleep(2 * LONGEST);
        self.stop.shutdown(std::net::Shutdown::Both).unwrap();
        self.stopped.shutdown(std::net::Shutdown::Both).unwrap();
        (self.asks.join().unwrap(), self.pushes.join().unwrap())
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn push(mut stream: TcpStream) {
    while stream.write_all(b"tick").is_ok() {
        std::thread::sleep(BEAT);
    }
}

/// The longest time without an answer, the last wait included.
fn ask(mut stream: TcpStream) -> Duration {
    let mut longest = Duration::ZERO;
    let mut buffer = [0; 64];
    loop {
        let asked = Instant::now();
        let answered = stream.write_all(b"ping").is_ok()
            && matches!(stream.read(&mut buffer), Ok(read) if read > 0);
        longest = longest.max(asked.elapsed());
        if !answered {
            return longest;
        }
        std::thread::sleep(BEAT);
    }
}

fn receive(mut stream: TcpStream) -> Duration {
    let mut longest = Duration::ZERO;
    let mut buffer = [0; 4096];
    loop {
        let waited = Instant::now();
        let received = matches!(stream.read(&mut buffer), Ok(read) if read > 0);
        longest = longest.max(waited.elapsed());
        if !received {
            return longest;
        }
    }
}
