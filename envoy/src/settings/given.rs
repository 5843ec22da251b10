//! PURE. Settings as people write them, in TOML, and what is wrong with them.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{AccessLog, Admin, Certificate, Custom, Fleet, Listeners, Settings, Tracing};
use crate::limits;

/// What was written; nothing is checked yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Given {
    zone: String,
    https: Option<SocketAddr>,
    proxied: Option<SocketAddr>,
    redirect: Option<SocketAddr>,
    probe: Option<SocketAddr>,
    admin: Option<String>,
    source: Option<IpAddr>,
    access_log: Option<String>,
    #[serde(default)]
    http3: bool,
    #[serde(default)]
    hsts: bool,
    heap_bytes: Option<u64>,
    connections: Option<u64>,
    wildcard: GivenCertificate,
    #[serde(default)]
    custom: Vec<GivenCustom>,
    fleet: GivenFleet,
    tracing: Option<GivenTracing>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenCertificate {
    chain: Option<PathBuf>,
    key: Option<PathBuf>,
    watched: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenCustom {
    domains: Vec<String>,
    certificate: GivenCertificate,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenFleet {
    fixed: Option<Vec<SocketAddr>>,
    dns: Option<String>,
    port: Option<u16>,
    watched: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenTracing {
    host: String,
    #[serde(default = "collector_port")]
    port: u16,
    #[serde(default)]
    tls: bool,
    ca: Option<PathBuf>,
    headers: Option<PathBuf>,
    #[serde(default = "sample")]
    sample: f64,
}

/// Where collectors listen for OTLP over gRPC.
const fn collector_port() -> u16 {
    4317
}

/// Whom the system trusts, where Envoy's own images and Debian have it.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// As a proxy has it.
const fn sample() -> f64 {
    0.01
}

/// Settings that no edge can run by. Each says which one and what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Anybody could end the edge.
    #[error("`admin = {0:?}`: must be a port of 127.0.0.1, or the absolute path of a socket")]
    Admin(String),
    /// Neither or both ways were given.
    #[error("`{0}`: give either `chain` and `key`, or `watched`")]
    Certificate(String),
    /// It isn't one, or the wildcard answers for it.
    #[error("`domains = [{0:?}]`: not a host name in lower case outside of the zone")]
    Domain(String),
    /// None, or more than one way.
    #[error("`fleet`: give one of `fixed`, `dns` with `port`, or `watched`")]
    Fleet,
    /// HTTP/3 shares its port's number with HTTPS.
    #[error("`http3 = true`: needs `https`")]
    Http3,
    /// An edge that nobody can reach.
    #[error("give `https`, `proxied` or both: nobody could reach this edge")]
    NoListener,
    /// The edge doesn't start in a directory of ours.
    #[error("`{0}`: must be an absolute path")]
    Relative(PathBuf),
    /// The system has no room for longer ones.
    #[error("`admin = {0:?}`: a socket's path has at most 107 bytes")]
    SocketTooLong(PathBuf),
    /// Nothing would be verified, or a credential sent in plain text.
    #[error("`tracing`: `{0}` needs `tls = true`")]
    Plain(&'static str),
    /// Not a host, or not a share.
    #[error(
        "`tracing`: `{0}`: give the `host` of a collector, its `port`, and as `sample` a share from 0 to 1"
    )]
    Tracing(String),
    /// Two listeners with one address.
    #[error("`{0}` occurs twice: each listener has an address of its own")]
    Twice(SocketAddr),
    /// Not a DNS suffix.
    #[error("`zone = {0:?}`: not a DNS suffix in lower case, without a dot at the ends")]
    Zone(String),
}

/// The longest path of a socket, in bytes: what the system has room for.
const SOCKET_PATH: usize = 107;

impl TryFrom<Given> for Settings {
    type Error = Wrong;

    fn try_from(given: Given) -> Result<Self, Wrong> {
        if !is_host(&given.zone) {
            return Err(Wrong::Zone(given.zone));
        }
        let listeners = Listeners {
            https: given.https,
            proxied: given.proxied,
            redirect: given.redirect,
            probe: given.probe,
        };
        listeners.check()?;
        if given.http3 && given.https.is_none() {
            return Err(Wrong::Http3);
        }
        let zone = given.zone.clone();
        let custom = given
            .custom
            .into_iter()
            .map(|custom| custom.checked(&zone))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            listeners,
            wildcard: given.wildcard.checked("wildcard")?,
            custom,
            fleet: given.fleet.checked()?,
            source: given.source,
            admin: given.admin.map_or(Ok(Admin::Loopback(9901)), admin)?,
            tracing: given.tracing.map(GivenTracing::checked).transpose()?,
            access_log: given.access_log.map_or(Ok(AccessLog::Stdout), access_log)?,
            http3: given.http3,
            hsts: given.hsts,
            heap_bytes: given.heap_bytes.unwrap_or(limits::HEAP_BYTES),
            connections: given.connections.unwrap_or(limits::CONNECTIONS),
            zone: given.zone,
        })
    }
}

impl Given {
    /// The file with what a collector knows the edge by: whoever has read it puts it into
    /// [`Tracing::headers`].
    pub fn headers(&self) -> Option<&Path> {
        self.tracing.as_ref()?.headers.as_deref()
    }
}

impl Listeners {
    fn check(&self) -> Result<(), Wrong> {
        if self.https.is_none() && self.proxied.is_none() {
            return Err(Wrong::NoListener);
        }
        let mut seen = Vec::new();
        let all = [self.https, self.proxied, self.redirect, self.probe];
        for address in all.into_iter().flatten() {
            // Port 0 is another one each time.
            if address.port() != 0 && seen.contains(&address) {
                return Err(Wrong::Twice(address));
            }
            seen.push(address);
        }
        Ok(())
    }
}

impl GivenCertificate {
    fn checked(self, of: &str) -> Result<Certificate, Wrong> {
        match (self.chain, self.key, self.watched) {
            (Some(chain), Some(key), None) => Ok(Certificate::Files {
                chain: absolute(chain)?,
                key: absolute(key)?,
            }),
            (None, None, Some(file)) => Ok(Certificate::Watched(absolute(file)?)),
            _ => Err(Wrong::Certificate(of.to_owned())),
        }
    }
}

impl GivenCustom {
    fn checked(self, zone: &str) -> Result<Custom, Wrong> {
        let inside = |domain: &str| {
            domain
                .strip_suffix(zone)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        for domain in &self.domains {
            if !is_host(domain) || !domain.contains('.') || inside(domain) {
                return Err(Wrong::Domain(domain.clone()));
            }
        }
        let Some(first) = self.domains.first() else {
            return Err(Wrong::Domain(String::new()));
        };
        Ok(Custom {
            certificate: self.certificate.checked(first)?,
            domains: self.domains,
        })
    }
}

impl GivenTracing {
    fn checked(self) -> Result<Tracing, Wrong> {
        let Self {
            host,
            port,
            tls,
            ca,
            headers,
            sample,
        } = self;
        if host.parse::<IpAddr>().is_err() && !is_host(&host) {
            return Err(Wrong::Tracing(host));
        }
        if !(0.0..=1.0).contains(&sample) {
            return Err(Wrong::Tracing(sample.to_string()));
        }
        let in_vain = [("ca", ca.is_some()), ("headers", headers.is_some())];
        let in_vain = in_vain.into_iter().find(|(_, given)| *given && !tls);
        if let Some((name, _)) = in_vain {
            return Err(Wrong::Plain(name));
        }
        let ca = ca.unwrap_or_else(|| SYSTEM_AUTHORITIES.into());
        Ok(Tracing {
            host,
            port,
            authorities: tls.then(|| absolute(ca)).transpose()?,
            headers: Vec::new(),
            sample,
        })
    }
}

impl GivenFleet {
    fn checked(self) -> Result<Fleet, Wrong> {
        match (self.fixed, self.dns, self.port, self.watched) {
            (Some(fixed), None, None, None) if !fixed.is_empty() => Ok(Fleet::Fixed(fixed)),
            (None, Some(name), Some(port), None) if is_host(&name) => Ok(Fleet::Dns { name, port }),
            (None, None, None, Some(file)) => Ok(Fleet::Watched(absolute(file)?)),
            _ => Err(Wrong::Fleet),
        }
    }
}

fn admin(text: String) -> Result<Admin, Wrong> {
    let path = Path::new(&text);
    if path.is_absolute() {
        return Admin::socket(path);
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && address.is_ipv4() => {
            Ok(Admin::Loopback(address.port()))
        }
        Ok(_) | Err(_) => Err(Wrong::Admin(text)),
    }
}

impl Admin {
    /// A Unix socket at that path.
    ///
    /// # Errors
    /// The path is longer than the system has room for.
    pub fn socket(path: &Path) -> Result<Self, Wrong> {
        if path.as_os_str().len() > SOCKET_PATH {
            return Err(Wrong::SocketTooLong(path.to_owned()));
        }
        Ok(Self::Socket(path.to_owned()))
    }
}

fn access_log(text: String) -> Result<AccessLog, Wrong> {
    match &*text {
        "stdout" => Ok(AccessLog::Stdout),
        "off" => Ok(AccessLog::Off),
        _ => Ok(AccessLog::File(absolute(text.into())?)),
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, Wrong> {
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Wrong::Relative(path))
    }
}

/// Labels of letters, digits and hyphens, in lower case.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests;
