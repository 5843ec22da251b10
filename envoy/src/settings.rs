//! PURE. What differs from one edge to another, checked once into values that hold. Everything else is
//! the same for all of them and stands in [`limits`].

mod given;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

pub use given::{Given, SYSTEM_AUTHORITIES, Wrong};

use crate::limits;

/// One edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The suffix it answers for: `<server>.<zone>`. Lower case, no dot at the ends.
    pub zone: String,
    /// Where it listens.
    pub listeners: Listeners,
    /// The certificate of `*.<zone>`.
    pub wildcard: Certificate,
    /// Host names that are not of the zone, each set with a certificate of its own.
    pub custom: Vec<Custom>,
    /// Where fprs is.
    pub fleet: Fleet,
    /// The address that fprs sees, and trusts; `None`: whichever the system takes.
    pub source: Option<IpAddr>,
    /// Where its own operators' interface is, which can end it: never public.
    pub admin: Admin,
    /// Where a line of JSON for each request goes.
    pub access_log: AccessLog,
    /// Where spans of requests go, if anywhere.
    pub tracing: Option<Tracing>,
    /// HTTP/3 too, on the UDP port of the same number.
    pub http3: bool,
    /// Clients are told to never use plain HTTP again (`strict-transport-security`).
    pub hsts: bool,
    /// Memory it may use, in bytes: 80 % of what it may have.
    pub heap_bytes: u64,
    /// Connections of all clients.
    pub connections: u64,
}

/// Where an edge listens; nowhere where it is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Clients, with TLS.
    pub https: Option<SocketAddr>,
    /// The same, behind an L4 load balancer that says in a PROXY header who the client is. Without that
    /// header nobody is served.
    pub proxied: Option<SocketAddr>,
    /// Plain HTTP: sends clients to HTTPS.
    pub redirect: Option<SocketAddr>,
    /// Probes and metrics, for the network of the machines only.
    pub probe: Option<SocketAddr>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Two files in PEM, read at the start.
    Files {
        /// The certificate and what it was signed by, in this order.
        chain: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// A file of [`crate::document::secret`], read again whenever something is moved into its directory.
    Watched(PathBuf),
}

/// Host names that are not of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    /// Lower case.
    pub domains: Vec<String>,
    /// For all of them.
    pub certificate: Certificate,
}

/// Where fprs is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fleet {
    /// These, for ever.
    Fixed(Vec<SocketAddr>),
    /// All addresses of a name, asked for again and again.
    Dns {
        /// A headless service's, for example. It must name those that aren't ready too: an answer
        /// without an address would leave nobody.
        name: String,
        /// Of all of them.
        port: u16,
    },
    /// A file of [`crate::document::endpoints`], read again whenever something is moved into its
    /// directory.
    Watched(PathBuf),
}

/// Where an edge's own operators' interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// On this port of the loopback interface.
    Loopback(u16),
    /// A Unix socket, for its owner only. At most 107 bytes long.
    Socket(PathBuf),
}

/// Where spans of requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Of a collector that takes OTLP over gRPC: an address or a name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A file of certificates, of which one must have signed the collector's; `None`: no TLS.
    pub authorities: Option<PathBuf>,
    /// Sent with every message.
    pub headers: Vec<Header>,
    /// Of the requests that come without a decision so many are traced, from 0 to 1.
    pub sample: f64,
}

/// A header that a collector knows an edge by. Its value is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// May be a credential. Without `%`: Envoy would put something else in its place, and knows no escape.
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

/// Where a line of JSON for each request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Appended to this file. Whoever moves it away sends the edge SIGUSR1.
    File(PathBuf),
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
}

impl Settings {
    /// An edge that listens nowhere yet, with the limits that [`limits`] has.
    #[must_use]
    pub fn new(zone: &str, wildcard: Certificate, fleet: Fleet, admin: Admin) -> Self {
        Self {
            zone: zone.to_owned(),
            listeners: Listeners::default(),
            wildcard,
            custom: Vec::new(),
            fleet,
            source: None,
            admin,
            access_log: AccessLog::Off,
            tracing: None,
            http3: false,
            hsts: false,
            heap_bytes: limits::HEAP_BYTES,
            connections: limits::CONNECTIONS,
        }
    }
}
