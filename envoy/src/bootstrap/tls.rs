//! PURE. TLS towards clients: versions, ciphers, and where the certificate comes from. And towards a
//! collector: whom to believe that it is one.

use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;

use super::value::{Extension, FileSource, Message, text};
use crate::settings::Certificate;

#[derive(Debug, Serialize)]
pub(crate) struct DownstreamTls {
    common_tls_context: CommonTls,
}

impl Message for DownstreamTls {
    const NAME: &'static str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
}

#[derive(Debug, Serialize)]
pub(crate) struct QuicTls {
    downstream_tls_context: DownstreamTls,
}

impl Message for QuicTls {
    const NAME: &'static str = "envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport";
}

#[derive(Debug, Serialize)]
pub(crate) struct UpstreamTls {
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<String>,
    common_tls_context: Verifying,
}

impl Message for UpstreamTls {
    const NAME: &'static str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
}

#[derive(Debug, Serialize)]
struct Verifying {
    alpn_protocols: [&'static str; 1],
    tls_params: Versions,
    validation_context: Validation,
}

#[derive(Debug, Serialize)]
struct Versions {
    tls_minimum_protocol_version: &'static str,
    tls_maximum_protocol_version: &'static str,
}

#[derive(Debug, Serialize)]
struct Validation {
    trusted_ca: File,
    match_typed_subject_alt_names: [SubjectName; 1],
}

#[derive(Debug, Serialize)]
struct SubjectName {
    san_type: &'static str,
    matcher: Exact,
}

#[derive(Debug, Serialize)]
struct Exact {
    exact: String,
}

/// What a filter chain's bytes pass first.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum TransportSocket {
    Quic(Extension<QuicTls>),
    Tls(Extension<DownstreamTls>),
}

#[derive(Debug, Serialize)]
struct CommonTls {
    alpn_protocols: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_params: Option<Params>,
    #[serde(flatten)]
    certificate: Source,
}

#[derive(Debug, Serialize)]
struct Params {
    tls_minimum_protocol_version: &'static str,
    tls_maximum_protocol_version: &'static str,
    cipher_suites: [&'static str; 4],
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Source {
    Files {
        tls_certificates: [Files; 1],
    },
    Watched {
        tls_certificate_sds_secret_configs: [Secret; 1],
    },
}

#[derive(Debug, Serialize)]
struct Files {
    certificate_chain: File,
    private_key: File,
}

#[derive(Debug, Serialize)]
struct File {
    filename: String,
}

#[derive(Debug, Serialize)]
struct Secret {
    name: String,
    sds_config: FileSource,
}

/// Forward secrecy and authenticated encryption only, the cheaper ones first. TLS 1.3 has its own.
const CIPHERS: [&str; 4] = [
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];

impl TransportSocket {
    /// For HTTP/1.1 and HTTP/2; `name` is the secret's in a watched file.
    pub(crate) fn tls(name: &str, certificate: &Certificate) -> Self {
        let context = DownstreamTls {
            common_tls_context: CommonTls {
                alpn_protocols: vec!["h2", "http/1.1"],
                tls_params: Some(Params {
                    tls_minimum_protocol_version: "TLSv1_2",
                    tls_maximum_protocol_version: "TLSv1_3",
                    cipher_suites: CIPHERS,
                }),
                certificate: Source::of(name, certificate),
            },
        };
        Self::Tls(Extension::new("envoy.transport_sockets.tls", context))
    }

    /// For HTTP/3, which has TLS 1.3 inside and no choice.
    pub(crate) fn quic(name: &str, certificate: &Certificate) -> Self {
        let downstream_tls_context = DownstreamTls {
            common_tls_context: CommonTls {
                alpn_protocols: vec!["h3"],
                tls_params: None,
                certificate: Source::of(name, certificate),
            },
        };
        Self::Quic(Extension::new(
            "envoy.transport_sockets.quic",
            QuicTls {
                downstream_tls_context,
            },
        ))
    }
}

/// HTTP/2 to a server of that name or address, whose certificate says so and is signed by one of those.
pub(crate) fn upstream(host: &str, authorities: &Path) -> Extension<UpstreamTls> {
    let named = host.parse::<IpAddr>().is_err();
    let context = UpstreamTls {
        sni: named.then(|| host.to_owned()),
        common_tls_context: Verifying {
            alpn_protocols: ["h2"],
            tls_params: Versions {
                tls_minimum_protocol_version: "TLSv1_2",
                // Of clients it is 1.2 by default.
                tls_maximum_protocol_version: "TLSv1_3",
            },
            validation_context: Validation {
                trusted_ca: File {
                    filename: text(authorities),
                },
                match_typed_subject_alt_names: [SubjectName {
                    san_type: if named { "DNS" } else { "IP_ADDRESS" },
                    matcher: Exact {
                        exact: host.to_owned(),
                    },
                }],
            },
        },
    };
    Extension::new("envoy.transport_sockets.tls", context)
}

impl Source {
    fn of(name: &str, certificate: &Certificate) -> Self {
        match certificate {
            Certificate::Files { chain, key } => Self::Files {
                tls_certificates: [Files {
                    certificate_chain: File {
                        filename: text(chain),
                    },
                    private_key: File {
                        filename: text(key),
                    },
                }],
            },
            Certificate::Watched(file) => Self::Watched {
                tls_certificate_sds_secret_configs: [Secret {
                    name: name.to_owned(),
                    sds_config: FileSource::new(file),
                }],
            },
        }
    }
}
