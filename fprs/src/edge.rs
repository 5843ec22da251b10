//! The edge beside a plane on one machine: a real Envoy with a certificate of our own, started,
//! watched, told when its certificate is new, and gone when we are.

mod admin;
pub mod certificates;
pub mod exec;
mod port;
pub mod program;
mod supervise;
pub mod watched;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fprs_config::whole_file::{self, Outlives, Readers};
use fprs_envoy::settings::SYSTEM_AUTHORITIES;
use fprs_envoy::{AccessLog, Admin, Bootstrap, Certificate, Fleet, Header, Tracing, yaml};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::settings::{self, Settings, Trust};

use self::port::Port;
use self::program::Program;
use self::supervise::{Envoy, Log};

/// The address an edge beside a plane reaches it from. Clients that reach the plane's own port on the
/// same machine come from others, and are not believed when they talk about themselves.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// From its start to its first accepted connection.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two looks whether it accepts.
const POLL: Duration = Duration::from_millis(20);

/// Between two looks at the age of its certificate.
const RENEWAL: Duration = Duration::from_secs(3600);

/// How long it has to end by itself, before it is killed. Nothing is in flight then.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// An edge that could be started: its program is there, and its port is kept for it.
#[derive(Debug)]
pub struct Prepared {
    program: Program,
    port: Port,
    http3: bool,
    dir: PathBuf,
    admin: Admin,
    cores: usize,
    tracing: Option<Tracing>,
}

/// An edge that serves.
#[derive(Debug)]
pub struct Edge {
    admin: Admin,
    stop: CancellationToken,
    supervisor: JoinHandle<()>,
    renewal: JoinHandle<()>,
    _port: Port,
}

impl Prepared {
    /// Looks for what an edge needs; `None`: none is wanted.
    ///
    /// # Errors
    /// It can't be started; says what is missing.
    pub fn new(settings: &Settings, dir: &DataDir) -> Result<Option<Self>, Failure> {
        let Some(edge) = &settings.edge else {
            return Ok(None);
        };
        let dir = dir.edge();
        let admin = Admin::socket(&dir.join("admin.sock")).map_err(|wrong| {
            Failure::new(format!("{wrong}; give a shorter --data-dir for the edge"))
        })?;
        Ok(Some(Self {
            program: Program::find(edge.envoy.as_deref())?,
            port: Port::keep(edge.listen, edge.http3)?,
            http3: edge.http3,
            dir,
            admin,
            cores: settings.cores,
            tracing: settings.tracing.as_ref().map(collector).transpose()?,
        }))
    }

    /// Where it is going to listen.
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its CA, for clients to trust.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Starts it in front of the proxy at that address, which serves, and waits until it does too.
    ///
    /// # Errors
    /// It doesn't; says why.
    pub async fn start(self, zone: &str, proxy: SocketAddr) -> Result<Edge, Failure> {
        let now = std::time::SystemTime::now();
        certificates::keep(&self.dir, zone, now).map_err(Failure::new)?;
        let bootstrap = self.bootstrap(zone, proxy)?;
        let address = self.address();
        let envoy = Envoy {
            program: self.program,
            bootstrap,
            cores: self.cores,
        };
        let first = envoy.spawn()?;
        serves(address, first.log()).await?;
        let stop = CancellationToken::new();
        let supervisor = tokio::spawn(supervise::run(envoy, first, stop.clone()));
        Ok(Edge {
            admin: self.admin,
            stop,
            supervisor,
            renewal: tokio::spawn(renew(self.dir, zone.to_owned())),
            _port: self.port,
        })
    }

    /// Writes what Envoy is started with.
    fn bootstrap(&self, zone: &str, proxy: SocketAddr) -> Result<PathBuf, Failure> {
        let mut settings = fprs_envoy::Settings::new(
            zone,
            Certificate::Watched(certificates::watched(&self.dir)),
            Fleet::Fixed(vec![reachable(proxy)]),
            self.admin.clone(),
        );
        settings.listeners.https = Some(self.address());
        settings.source = Some(source(proxy));
        settings.http3 = self.http3;
        settings.tracing.clone_from(&self.tracing);
        settings.access_log = AccessLog::File(access_log(&self.dir)?);
        let text = yaml(&Bootstrap::new(&settings)).map_err(Failure::new)?;
        let path = self.dir.join("envoy.yaml");
        // What a collector knows us by is in it.
        whole_file::replace(&path, text.as_bytes(), Readers::Owner, Outlives::Process)
            .map_err(|error| Failure::new(format!("can't write `{}`: {error}", path.display())))?;
        Ok(path)
    }
}

impl Edge {
    /// Tells clients to send nothing more on their connections; what comes all the same is served.
    pub async fn leave(&self) {
        if let Err(error) = admin::post(&self.admin, "/drain_listeners?graceful&skip_exit").await {
            tracing::warn!(%error, "the edge can't be told to drain");
        }
    }

    /// Ends it.
    pub async fn end(self) {
        self.renewal.abort();
        self.stop.cancel();
        if let Err(error) = self.supervisor.await {
            tracing::warn!(%error, "the edge's supervisor failed");
        }
    }
}

/// The networks that a proxy at that address has to trust for the sake of the edge beside it.
pub fn trusted(proxy: SocketAddr) -> ipnet::IpNet {
    source(proxy).into()
}

/// The address a plane's own edge comes from.
fn source(proxy: SocketAddr) -> IpAddr {
    match reachable(proxy).ip() {
        IpAddr::V4(address) if address.is_loopback() => SOURCE,
        // Connections of a machine to itself come from the address they go to.
        other => other,
    }
}

/// Where something that listens on all addresses is reached from the same machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, address.port()).into()
        }
        _ => address,
    }
}

/// Where an edge sends its spans: where the plane does.
fn collector(tracing: &settings::Tracing) -> Result<Tracing, Failure> {
    let authorities = match &tracing.trust {
        None => None,
        Some(Trust::System) => Some(SYSTEM_AUTHORITIES.into()),
        // Envoy is started elsewhere.
        Some(Trust::Authorities { file, .. }) => {
            Some(std::path::absolute(file).map_err(|error| {
                Failure::new(format!("can't tell where `{}` is: {error}", file.display()))
            })?)
        }
    };
    Ok(Tracing {
        host: tracing.host.clone(),
        port: tracing.port,
        authorities,
        headers: headers(&tracing.headers)
            .map_err(|wrong| Failure::usage(format!("`--otlp-headers`: {wrong}")))?,
        sample: tracing.sample,
    })
}

/// The same for Envoy.
///
/// # Errors
/// It would send another value.
pub fn headers(headers: &[settings::Header]) -> Result<Vec<Header>, String> {
    let header = |header: &settings::Header| match header.value.expose() {
        value if value.contains('%') => Err(format!(
            "the value of `{}` has a `%`, which Envoy puts something else in place of; get one without",
            header.name
        )),
        value => Ok(Header {
            name: header.name.clone(),
            value: value.to_owned(),
        }),
    };
    headers.iter().map(header).collect()
}

/// Where requests are written down; what the last run wrote is kept beside it, and no more.
fn access_log(dir: &Path) -> Result<PathBuf, Failure> {
    let (path, last) = (dir.join("access.json"), dir.join("access.last.json"));
    match std::fs::rename(&path, &last) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(Failure::new(format!(
            "can't move `{}` away: {error}",
            path.display()
        ))),
    }
}

/// Waits until it accepts connections there.
async fn serves(address: SocketAddr, mut log: Log) -> Result<(), Failure> {
    tokio::select! {
        () = accepts(address) => Ok(()),
        last = log.wait_for_end() => {
            Err(Failure::new(format!("the edge ended at its start: {last}")))
        }
        () = tokio::time::sleep(START_TIMEOUT) => Err(Failure::new(format!(
            "the edge does not accept connections at {address}; see the log for why"
        ))),
    }
}

async fn accepts(address: SocketAddr) {
    let address = reachable(address);
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(POLL).await;
    }
}

/// Makes a new certificate in time. Envoy watches the file.
async fn renew(dir: PathBuf, zone: String) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        match certificates::keep(&dir, &zone, std::time::SystemTime::now()) {
            Ok(true) => tracing::info!("the edge's certificate is renewed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the edge's certificate can't be renewed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_envoy_would_change_is_refused_by_its_name() {
        let given = |value: &str| settings::Header {
            name: "authorization".to_owned(),
            value: value.to_owned().into(),
        };
        assert_eq!(
            headers(&[given("Bearer a=")]).unwrap()[0].value,
            "Bearer a="
        );
        let wrong = headers(&[given("Bearer planted%START_TIME%")]).unwrap_err();
        assert!(
            wrong.contains("`authorization`") && !wrong.contains("planted"),
            "{wrong}"
        );
    }

    #[test]
    fn an_edge_is_told_apart_from_other_clients_of_the_machine() {
        let table = [
            ("127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.2/32"),
            ("0.0.0.0:8080", "127.0.0.1:8080", "127.0.0.2/32"),
            ("10.1.2.3:8080", "10.1.2.3:8080", "10.1.2.3/32"),
            ("[::]:8080", "[::1]:8080", "::1/128"),
        ];
        for (listen, reached, believed) in table {
            let listen = listen.parse().unwrap();
            assert_eq!(reachable(listen).to_string(), reached);
            assert_eq!(trusted(listen).to_string(), believed);
        }
    }
}
