//! The way to the collector: its TLS, and the headers it knows us by, which are shown nowhere. Why it takes
//! nothing is told with the setting that helps.

use std::error::Error;
use std::io;
use std::time::Duration;

use fprs_proto::otlp::trace_service_client::TraceServiceClient;
use fprs_proto::otlp::{ExportTracePartialSuccess, ExportTraceServiceRequest};
use tokio_rustls::rustls;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use crate::failure::Failure;
use crate::settings::{Header, Tracing, Trust};

/// A collector, connected to when something is sent.
#[derive(Debug)]
pub(super) struct Collector {
    client: TraceServiceClient<Channel>,
    url: String,
    headers: MetadataMap,
}

impl Collector {
    /// Of those settings. A connection has so long to be made.
    ///
    /// # Errors
    /// There can be none; says which setting is wrong.
    pub(super) fn new(wanted: &Tracing, within: Duration) -> Result<Self, Failure> {
        let url = wanted.url();
        let failed = |why: &str| Failure::new(format!("can't send spans to {url}: {why}"));
        let endpoint = Endpoint::from_shared(url.clone());
        let endpoint = endpoint.map_err(|error| failed(&innermost(&error).to_string()))?;
        let endpoint = match &wanted.trust {
            None => endpoint,
            Some(trust) => endpoint.tls_config(tls(trust, within)).map_err(|error| {
                let why = innermost(&error);
                failed(&format!(
                    "{why}; `--otlp-ca` names who may have signed its certificate"
                ))
            })?,
        };
        let channel = endpoint.connect_timeout(within).connect_lazy();
        let headers = metadata(&wanted.headers)
            .ok_or_else(|| failed("a header of `--otlp-headers` is none that gRPC has room for"))?;
        Ok(Self {
            client: TraceServiceClient::new(channel),
            url,
            headers,
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Gives it spans; what it says about those that it didn't take.
    ///
    /// # Errors
    /// It took none; says why.
    pub(super) async fn take(
        &mut self,
        message: ExportTraceServiceRequest,
    ) -> Result<ExportTracePartialSuccess, String> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        match self.client.export(request).await {
            Ok(answer) => Ok(answer.into_inner().partial_success.unwrap_or_default()),
            Err(status) => Err(why(&status)),
        }
    }
}

fn tls(trust: &Trust, within: Duration) -> ClientTlsConfig {
    let tls = ClientTlsConfig::new().timeout(within);
    match trust {
        Trust::System => tls.with_native_roots(),
        Trust::Authorities { pem, .. } => tls.ca_certificate(Certificate::from_pem(pem)),
    }
}

fn metadata(headers: &[Header]) -> Option<MetadataMap> {
    let mut metadata = MetadataMap::new();
    for Header { name, value } in headers {
        let key = name.parse::<MetadataKey<Ascii>>().ok()?;
        let mut value = value.expose().parse::<MetadataValue<Ascii>>().ok()?;
        value.set_sensitive(true);
        metadata.append(key, value);
    }
    Some(metadata)
}

/// What happened, without the wrapping that says only that something did.
fn why(status: &Status) -> String {
    let cause = innermost(status);
    if is_distrust(cause) {
        return format!(
            "its certificate is not trusted: {cause}; `--otlp-ca` names who may have signed it"
        );
    }
    let said = match cause.downcast_ref::<Status>() {
        Some(status) if status.message().is_empty() => status.code().to_string(),
        Some(status) => status.message().to_owned(),
        None => cause.to_string(),
    };
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            format!("{said}; what it knows us by is in the file of `--otlp-headers`")
        }
        _ => said,
    }
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// The handshake failed at its certificate.
fn is_distrust(error: &(dyn Error + 'static)) -> bool {
    let inside = error
        .downcast_ref::<io::Error>()
        .and_then(|error| error.get_ref())
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    let error = inside.or_else(|| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_setting_that_helps() {
        let refused = |error: rustls::Error| {
            let mut status = Status::unavailable("tcp connect error");
            status.set_source(std::sync::Arc::new(io::Error::other(error)));
            why(&status)
        };
        let unknown = rustls::CertificateError::UnknownIssuer;
        let told = refused(rustls::Error::InvalidCertificate(unknown));
        assert!(
            told.contains("UnknownIssuer") && told.contains("--otlp-ca"),
            "{told}"
        );
        let told = refused(rustls::Error::HandshakeNotComplete);
        assert!(!told.contains("--otlp-ca"), "{told}");
        let told = why(&Status::unauthenticated("who are you"));
        assert!(
            told.contains("who are you") && told.contains("--otlp-headers"),
            "{told}"
        );
        assert_eq!(why(&Status::unavailable("later")), "later");
    }

    #[test]
    fn headers_are_sent_and_not_printed() {
        let header = Header {
            name: "authorization".to_owned(),
            value: "Bearer planted".to_owned().into(),
        };
        let metadata = metadata(&[header]).unwrap();
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer planted");
        assert!(!format!("{metadata:?}").contains("planted"), "{metadata:?}");
    }
}
