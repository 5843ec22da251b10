//! etcd, one member, in a directory of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Group, TRIES, find, free_port, post};

/// A running etcd. Its data is gone with it.
#[derive(Debug)]
pub struct Etcd {
    group: Group,
    port: u16,
    directory: PathBuf,
}

impl Etcd {
    /// Starts one with the limits that fprs needs. `None` where it is not installed.
    ///
    /// # Panics
    /// It does not serve, or is missing and `FPRS_REQUIRE_ETCD` is set.
    pub fn start() -> Option<Self> {
        let named = std::env::var_os("FPRS_ETCD_BIN").map(PathBuf::from);
        let places: Vec<_> = named.into_iter().collect();
        let program = find("etcd", &places, "FPRS_REQUIRE_ETCD")?;
        let started = (0..TRIES).find_map(|_| Self::try_start(&program));
        Some(started.expect("etcd finds a port"))
    }

    /// The address of a store in it.
    pub fn store(&self, prefix: &str) -> String {
        format!("etcd://127.0.0.1:{}/{prefix}", self.port)
    }

    /// Where it serves clients.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Stops it where it is: it takes connections and answers nothing.
    pub fn freeze(&self) {
        self.group.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.group.signal("CONT");
    }

    fn try_start(program: &Path) -> Option<Self> {
        let (port, peers) = (free_port(), free_port());
        let directory =
            std::env::temp_dir().join(format!("fprs-etcd-{}-{port}", std::process::id()));
        let client = format!("http://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{peers}");
        let mut command = Command::new(program);
        command
            .arg("--data-dir")
            .arg(&directory)
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("default={peer}")])
            .args(["--max-request-bytes", "33554432", "--max-txn-ops", "20480"]);
        let mut group = Group::start(&mut command);
        let ready = || post(port, "/v3/maintenance/status", "{}").is_some();
        let served = group.serves(ready);
        served.then_some(Self {
            group,
            port,
            directory,
        })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.group.signal("KILL");
        // A leftover in the temporary directory is all that a failure leaves.
        std::fs::remove_dir_all(&self.directory).ok();
    }
}
