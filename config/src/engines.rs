//! Real engines for tests: the Spanner emulator and etcd, each on ports of its own, ended with its
//! guard. Where one is not installed, a test says so and is skipped, unless the environment says that
//! it has to be there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what starts engines for tests fails by panicking"
)]

mod etcd;
#[cfg(all(test, feature = "spanner"))]
pub(crate) mod faults;
mod spanner;

pub use etcd::Etcd;
pub use spanner::Emulator;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for an engine to serve; they take about a second.
const STARTING: Duration = Duration::from_secs(30);
/// An engine whose port was taken between finding and using it is started again this often.
const TRIES: usize = 5;

/// A process and everything it started.
#[derive(Debug)]
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> Self {
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().expect("an engine that is there starts"))
    }

    /// Sends a signal to all of it.
    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} -- -{}", self.0.id());
        let sent = Command::new("sh")
            .args(["-c", &kill])
            .stderr(Stdio::null())
            .status();
        sent.expect("a shell runs");
    }

    /// Waits until it serves; false if it ended instead.
    fn serves(&mut self, ready: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + STARTING;
        while Instant::now() < deadline {
            if ready() {
                return true;
            }
            if self.0.try_wait().expect("a child can be asked").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("an engine does not serve within {STARTING:?}");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal("KILL");
        self.0.wait().ok();
    }
}

/// The program, or `None` after saying that its tests are skipped.
///
/// # Panics
/// It is missing and the environment variable `require` is set.
fn find(program: &str, places: &[PathBuf], require: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join(program));
    let found = places
        .iter()
        .cloned()
        .chain(on_path)
        .find(|place| place.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os(require).is_none(),
            "{program} is missing and {require} is set"
        );
        eprintln!("SKIPPED: {program} is not installed (set {require} to make that a failure)");
    }
    found
}

/// A port that was free just now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
    listener.local_addr().expect("it has an address").port()
}

/// The answer to a small HTTP request; `None` if nobody answers with success.
fn post(port: u16, path: &str, body: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.to_owned();
    status.starts_with('2').then_some(answer)
}
