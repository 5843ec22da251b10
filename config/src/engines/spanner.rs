//! Google's Cloud Spanner emulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Group, TRIES, find, free_port, post};

/// A running emulator with an instance in it.
#[derive(Debug)]
pub struct Emulator {
    group: Group,
    grpc: u16,
    http: u16,
}

/// Where Debian's package puts it.
const DEBIAN: &str = "/usr/lib/google-cloud-sdk/bin/cloud_spanner_emulator/gateway_main";

impl Emulator {
    /// Starts one; `partition_seconds`: partitions of change streams split and merge after one to
    /// two times as long, 20 s unless said. `None` where it is not installed.
    ///
    /// # Panics
    /// It does not serve, or is missing and `FPRS_REQUIRE_SPANNER` is set.
    pub fn start(partition_seconds: Option<u32>) -> Option<Self> {
        let named = std::env::var_os("FPRS_SPANNER_EMULATOR_BIN").map(PathBuf::from);
        let places: Vec<_> = named.into_iter().chain([PathBuf::from(DEBIAN)]).collect();
        let program = find("gateway_main", &places, "FPRS_REQUIRE_SPANNER")?;
        let started = (0..TRIES).find_map(|_| Self::try_start(&program, partition_seconds));
        Some(started.expect("the emulator finds a port"))
    }

    /// The address of a database in it, to be prepared or opened.
    pub fn database(&self, name: &str) -> String {
        format!(
            "spanner://projects/fprs/instances/tests/databases/{name}\
             ?endpoint=http://127.0.0.1:{}&admin=http://127.0.0.1:{}",
            self.grpc, self.http
        )
    }

    /// The same, with gRPC through another address.
    pub fn database_through(&self, name: &str, address: SocketAddr) -> String {
        self.database(name)
            .replace(&format!("127.0.0.1:{}&", self.grpc), &format!("{address}&"))
    }

    /// Where it serves gRPC.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.grpc).into()
    }

    /// Stops it where it is: it takes connections and answers nothing.
    pub fn freeze(&self) {
        self.group.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.group.signal("CONT");
    }

    fn try_start(program: &Path, partition_seconds: Option<u32>) -> Option<Self> {
        let (grpc, http) = (free_port(), free_port());
        let mut command = Command::new(program);
        command
            .args(["--hostname", "127.0.0.1"])
            .args(["--grpc_port", &grpc.to_string()])
            .args(["--http_port", &http.to_string()]);
        if let Some(seconds) = partition_seconds {
            command
                .arg("--override_change_stream_partition_token_alive_seconds")
                .arg(seconds.to_string());
        }
        let mut group = Group::start(&mut command);
        let instance = r#"{"instanceId":"tests","instance":{"config":"projects/fprs/instanceConfigs/emulator-config","displayName":"tests","nodeCount":1}}"#;
        let ready = || post(http, "/v1/projects/fprs/instances", instance).is_some();
        group.serves(ready).then_some(Self { group, grpc, http })
    }
}
