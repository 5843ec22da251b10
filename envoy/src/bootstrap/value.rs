//! PURE. What all parts of a bootstrap are made of: messages that name their type, durations,
//! addresses, percentages.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A message that can stand where Envoy takes any.
pub(crate) trait Message: Serialize {
    /// Its name in Envoy's API.
    const NAME: &'static str;
}

/// A message with its type.
#[derive(Debug, Serialize)]
pub(crate) struct Typed<T> {
    #[serde(rename = "@type")]
    url: String,
    #[serde(flatten)]
    message: T,
}

impl<T: Message> From<T> for Typed<T> {
    fn from(message: T) -> Self {
        Self {
            url: format!("type.googleapis.com/{}", T::NAME),
            message,
        }
    }
}

/// An extension by its well-known name, with its configuration.
#[derive(Debug, Serialize)]
pub(crate) struct Extension<T> {
    name: &'static str,
    typed_config: Typed<T>,
}

impl<T: Message> Extension<T> {
    pub(crate) fn new(name: &'static str, message: T) -> Self {
        Self {
            name,
            typed_config: message.into(),
        }
    }
}

/// A message without a field.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Nothing {}

/// A duration as Envoy reads it: seconds with a fraction and an `s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Duration);

impl Time {
    /// No limit.
    pub(crate) const NEVER: Self = Self(Duration::ZERO);
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0.as_secs_f64()))
    }
}

/// A number that Envoy wants wrapped, percentages mostly.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Wrapped {
    pub(crate) value: f64,
}

/// Where something listens or is reached.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Address {
    Pipe {
        path: String,
        mode: u32,
    },
    SocketAddress {
        #[serde(skip_serializing_if = "Option::is_none")]
        protocol: Option<&'static str>,
        address: String,
        port_value: u16,
    },
}

impl Address {
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        Self::named(&address.ip().to_string(), address.port())
    }

    pub(crate) fn udp(address: SocketAddr) -> Self {
        Self::SocketAddress {
            protocol: Some("UDP"),
            address: address.ip().to_string(),
            port_value: address.port(),
        }
    }

    pub(crate) fn named(host: &str, port: u16) -> Self {
        Self::SocketAddress {
            protocol: None,
            address: host.to_owned(),
            port_value: port,
        }
    }

    /// For its owner only.
    pub(crate) fn socket(path: &Path) -> Self {
        Self::Pipe {
            path: text(path),
            mode: 0o600,
        }
    }
}

/// The address that connections are made from.
#[derive(Debug, Serialize)]
pub(crate) struct BindConfig {
    source_address: SourceAddress,
}

#[derive(Debug, Serialize)]
struct SourceAddress {
    address: String,
    port_value: u16,
}

impl BindConfig {
    pub(crate) fn new(source: IpAddr) -> Self {
        Self {
            source_address: SourceAddress {
                address: source.to_string(),
                port_value: 0,
            },
        }
    }
}

/// A file that is read again whenever something is moved into its directory.
#[derive(Debug, Serialize)]
pub(crate) struct FileSource {
    path_config_source: PathConfigSource,
    resource_api_version: &'static str,
}

#[derive(Debug, Serialize)]
struct PathConfigSource {
    path: String,
    watched_directory: Directory,
}

#[derive(Debug, Serialize)]
struct Directory {
    path: String,
}

impl FileSource {
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            path_config_source: PathConfigSource {
                path: text(file),
                watched_directory: Directory {
                    path: text(file.parent().unwrap_or(file)),
                },
            },
            resource_api_version: "V3",
        }
    }
}

/// A path as text; Envoy knows none that aren't.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
