//! PURE. Where spans go, whom that is trusted to be, what it knows us by, and how many traces begin here.
//! OpenTelemetry's own variables are understood; what is wrong with one is told under its name.

use std::io;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::headers::{self, Header};
use crate::failure::Failure;

/// Where spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// A collector's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who may have signed its certificate; `None`: it is reached without TLS.
    pub trust: Option<Trust>,
    /// Sent with every message, over TLS only.
    pub headers: Vec<Header>,
    /// Of the traces that begin here, from 0 to 1.
    pub sample: f64,
}

/// Who may have signed a collector's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whom the system trusts.
    System,
    /// Those in a file.
    Authorities {
        /// Where they are.
        file: PathBuf,
        /// What it says.
        pem: String,
    },
}

/// What was given for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) endpoint: Option<String>,
    pub(super) authorities: Option<PathBuf>,
    pub(super) headers: Option<PathBuf>,
    pub(super) sample: Option<f64>,
}

/// OpenTelemetry's variable for the address.
const STANDARD: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The one for what is spoken there.
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
/// The one for who signs certificates.
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
/// And the one for headers.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Of a collector, where none is named.
const PORT: u16 = 4317;
/// Enough to see what is going on, at a cost that nobody notices.
const SAMPLE: f64 = 0.01;

impl Tracing {
    /// What was given, else what OpenTelemetry's variables say; `None`: nothing is traced. Files are read
    /// by `read`.
    ///
    /// # Errors
    /// It isn't an address, or no share; a file can't be read or isn't what it should be.
    pub(super) fn of(
        asked: Asked,
        variable: impl Fn(&str) -> Option<String>,
        read: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Option<Self>, Failure> {
        let sample = asked.sample.unwrap_or(SAMPLE);
        if !(0.0..=1.0).contains(&sample) {
            return Err(Failure::usage(format!(
                "`--trace-sample {sample}`: must be from 0 to 1; 0.05 is one request of twenty"
            )));
        }
        // OpenTelemetry's variables belong together: a header may be for another one than our collector.
        let standard = asked.endpoint.is_none();
        let variable = |name: &str| variable(name).filter(|text| standard && !text.is_empty());
        let (named, text) = match asked.endpoint {
            Some(text) => ("--otlp-endpoint", text),
            None => match variable(STANDARD).filter(|text| speaks_grpc(text, &variable)) {
                Some(text) => (STANDARD, text),
                None => return Ok(None),
            },
        };
        let Place { tls, host, port } = place(&text).ok_or_else(|| {
            Failure::usage(format!(
                "`{named} {text}`: not an address like http://127.0.0.1:4317 or \
                 https://collector.example:4317; fprs speaks OTLP over gRPC"
            ))
        })?;
        let read = |named: &str, file: &Path| {
            read(file).map_err(|error| unusable(named, file, &format!("can't be read: {error}")))
        };
        let trust = match asked.authorities {
            Some(file) if tls => Some(trusting("--otlp-ca", file, read)?),
            Some(_) => return Err(plain("--otlp-ca", "nothing is verified")),
            None if tls => Some(match variable(CERTIFICATE) {
                Some(file) => trusting(CERTIFICATE, file.into(), read)?,
                None => Trust::System,
            }),
            None => None,
        };
        let headers = match (asked.headers, variable(HEADERS)) {
            (Some(file), _) if tls => {
                let named = "--otlp-headers";
                let found = headers::of_file(&read(named, &file)?);
                found.map_err(|wrong| unusable(named, &file, &wrong))?
            }
            (Some(_), _) => return Err(plain("--otlp-headers", "everybody reads along")),
            (None, Some(text)) if tls => headers::of_variable(&text)
                .map_err(|wrong| Failure::usage(format!("`{HEADERS}`: {wrong}")))?,
            (None, Some(_)) => {
                tracing::warn!("{HEADERS} is not sent: the collector is reached without TLS");
                Vec::new()
            }
            (None, None) => Vec::new(),
        };
        Ok(Some(Self {
            host,
            port,
            trust,
            headers,
            sample,
        }))
    }

    /// As a URL.
    pub fn url(&self) -> String {
        let scheme = match self.trust {
            Some(_) => "https",
            None => "http",
        };
        match self.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", self.host, self.port),
            false => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }
}

fn trusting(
    named: &str,
    file: PathBuf,
    read: impl Fn(&str, &Path) -> Result<String, Failure>,
) -> Result<Trust, Failure> {
    let pem = read(named, &file)?;
    check(&pem).map_err(|wrong| unusable(named, &file, &wrong))?;
    Ok(Trust::Authorities { file, pem })
}

/// Every certificate can be one that signs.
fn check(pem: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("is no PEM: {error}"))?;
        let added = roots.add(certificate);
        added.map_err(|error| format!("has a certificate that is none: {error}"))?;
    }
    match roots.is_empty() {
        true => Err("has no certificate in PEM".to_owned()),
        false => Ok(()),
    }
}

fn unusable(named: &str, file: &Path, wrong: &str) -> Failure {
    Failure::usage(format!("`{named} {}`: {wrong}", file.display()))
}

fn plain(named: &str, why: &str) -> Failure {
    Failure::usage(format!(
        "`{named}`: the collector is reached without TLS, where {why}; give `--otlp-endpoint` as https://…"
    ))
}

/// The variable may be meant for programs that speak something else; that is no mistake.
fn speaks_grpc(endpoint: &str, variable: &impl Fn(&str) -> Option<String>) -> bool {
    let grpc = variable(PROTOCOL).is_none_or(|protocol| protocol == "grpc");
    if !grpc {
        tracing::warn!(%endpoint, "nothing is traced: {PROTOCOL} is not grpc, and fprs speaks nothing else");
    }
    grpc
}

/// Where a collector is.
struct Place {
    tls: bool,
    host: String,
    port: u16,
}

/// `host:port`, with or without `http://` or `https://` before it; a host of IPv6 is in brackets.
fn place(text: &str) -> Option<Place> {
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some(_) => return None,
        None => (false, text),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':'))
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let port = port.map_or(Some(PORT), |port| port.parse().ok())?;
    let host = (!host.is_empty() && host.bytes().all(named)).then(|| host.to_owned())?;
    Some(Place { tls, host, port })
}

#[cfg(test)]
mod tests;
