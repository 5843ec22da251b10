//! PURE. The files an edge watches: a certificate with its key, and where fprs is. Whoever writes one
//! writes it beside its place and moves it there, so that the edge never reads half of it.

use std::net::SocketAddr;

use serde::Serialize;

use crate::bootstrap::LoadAssignment;
use crate::bootstrap::value::{Message, Typed};

/// A watched file: one resource.
#[derive(Debug, Serialize)]
pub struct Document<T> {
    resources: [Typed<T>; 1],
}

/// A certificate with its key; in one file, so that the two never come apart.
#[derive(Debug, Serialize)]
pub struct Secret {
    name: String,
    tls_certificate: TlsCertificate,
}

impl Message for Secret {
    const NAME: &'static str = "envoy.extensions.transport_sockets.tls.v3.Secret";
}

#[derive(Serialize)]
struct TlsCertificate {
    certificate_chain: Inline,
    private_key: Inline,
}

impl std::fmt::Debug for TlsCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsCertificate").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Inline {
    inline_string: String,
}

/// Where fprs is.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Endpoints(LoadAssignment);

impl Message for Endpoints {
    const NAME: &'static str = LoadAssignment::NAME;
}

/// The wildcard's certificate and key, in PEM. The file is as secret as the key.
#[must_use]
pub fn wildcard(chain: &str, key: &str) -> Document<Secret> {
    secret("wildcard", chain, key)
}

/// A certificate and its key, in PEM. `name` is the first of its domains, as the settings have them.
#[must_use]
pub fn secret(name: &str, chain: &str, key: &str) -> Document<Secret> {
    let inline = |text: &str| Inline {
        inline_string: text.to_owned(),
    };
    Document {
        resources: [Secret {
            name: name.to_owned(),
            tls_certificate: TlsCertificate {
                certificate_chain: inline(chain),
                private_key: inline(key),
            },
        }
        .into()],
    }
}

/// fprs at those addresses; none: nobody is served.
#[must_use]
pub fn endpoints(addresses: &[SocketAddr]) -> Document<Endpoints> {
    Document {
        resources: [Endpoints(LoadAssignment::fprs(addresses)).into()],
    }
}
