//! What a relay is given to run with.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fprs_config::MadeFor;

/// What a relay is given to run with.
#[derive(Clone)]
pub struct RelaySettings {
    /// Unique in the plane; `None`: made up once and kept in the state directory.
    pub worker_id: Option<String>,
    /// Where proxies reach this relay's data path.
    pub data_address: SocketAddr,
    /// Where its replicas run; servers ask for it by name.
    pub compute_region: String,
    /// Replicas it can run; at least 1.
    pub capacity: u32,
    /// The egress pool by which proxies reach this relay; empty: by none.
    pub reached_by: String,
    /// Admin addresses of control processes, `host:port` or URL; at least one.
    pub control: Vec<String>,
    /// The plane's admin token.
    pub token: String,
    /// Where the relay keeps its name and notes of running programs; made if missing, used by one
    /// relay at a time.
    pub state_dir: PathBuf,
    /// From a program's SIGTERM to its SIGKILL.
    pub kill_after: Duration,
    /// How long a shutdown may take until programs that still run are killed.
    pub shutdown_timeout: Duration,
    /// It is a pod's: it runs nothing itself. `None`: it runs the commands it is told.
    pub pod: Option<Pod>,
}

/// The pod a relay is part of.
#[derive(Clone, Debug)]
pub struct Pod {
    /// What it was made to run.
    pub made_for: MadeFor,
    /// Where the program in the container beside listens, or will.
    pub program: SocketAddr,
}

impl RelaySettings {
    /// What programs may take to end once told to.
    pub const KILL_AFTER: Duration = Duration::from_secs(30);
    /// `KILL_AFTER` and the usual exit grace.
    pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(45);
    /// A pod's grace period ends it before.
    pub const POD_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(86_400);
}

impl fmt::Debug for RelaySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelaySettings")
            .field("worker_id", &self.worker_id)
            .field("data_address", &self.data_address)
            .field("compute_region", &self.compute_region)
            .field("capacity", &self.capacity)
            .field("reached_by", &self.reached_by)
            .field("control", &self.control)
            .field("token", &"(secret)")
            .field("state_dir", &self.state_dir)
            .field("kill_after", &self.kill_after)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .field("pod", &self.pod)
            .finish()
    }
}
