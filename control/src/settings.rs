//! PURE. What control is started with, and how a server's public URL is made from it.

use std::time::Duration;

use crate::audit::AuditLog;

/// What control is started with.
#[derive(Clone, Debug)]
pub struct ControlSettings {
    /// The suffix this plane answers for, e.g. `region.localhost`: lower case, no dot at the ends.
    pub zone: String,
    /// How clients reach the data plane; servers' URLs are made from it.
    pub public_url: PublicUrl,
    /// A worker that says nothing for longer loses its replicas. [`ControlSettings::LEASE`] unless
    /// there is a reason; relays beat once a second, so less than three seconds loses healthy ones.
    pub lease: Duration,
    /// Where changes are noted, beside the process's log.
    pub audit: AuditLog,
    /// Something makes pods for servers that have an image; without it they are refused.
    pub images: bool,
}

/// The data plane as clients see it: scheme and port of every server's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// `http` or `https`.
    pub scheme: String,
    /// Left out of URLs where it is the scheme's own.
    pub port: u16,
}

impl ControlSettings {
    /// The default lease: five missed beats. Shorter loses workers to a busy second, longer leaves
    /// clients on dead ones.
    pub const LEASE: Duration = Duration::from_secs(5);

    /// The public URL of the server of that name.
    pub fn url(&self, server: &str) -> String {
        let Self {
            zone, public_url, ..
        } = self;
        let scheme = &public_url.scheme;
        match (scheme.as_str(), public_url.port) {
            ("http", 80) | ("https", 443) => format!("{scheme}://{server}.{zone}/"),
            (_, port) => format!("{scheme}://{server}.{zone}:{port}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(scheme: &str, port: u16) -> String {
        ControlSettings {
            zone: "region.localhost".to_owned(),
            public_url: PublicUrl {
                scheme: scheme.to_owned(),
                port,
            },
            lease: ControlSettings::LEASE,
            audit: AuditLog::default(),
            images: false,
        }
        .url("hello")
    }

    #[test]
    fn a_url_names_its_port_only_where_the_scheme_does_not() {
        assert_eq!(url("http", 8080), "http://hello.region.localhost:8080/");
        assert_eq!(url("http", 80), "http://hello.region.localhost/");
        assert_eq!(url("https", 443), "https://hello.region.localhost/");
        assert_eq!(url("https", 80), "https://hello.region.localhost:80/");
    }
}
