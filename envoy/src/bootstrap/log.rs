//! PURE. One line of JSON for each request.

use std::collections::BTreeMap;

use serde::Serialize;

use super::value::{Extension, Message, text};
use crate::settings::AccessLog;

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Logger {
    File(Extension<FileLog>),
    Stdout(Extension<StdoutLog>),
}

#[derive(Debug, Serialize)]
pub(crate) struct FileLog {
    path: String,
    log_format: Format,
}

impl Message for FileLog {
    const NAME: &'static str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
}

#[derive(Debug, Serialize)]
pub(crate) struct StdoutLog {
    log_format: Format,
}

impl Message for StdoutLog {
    const NAME: &'static str = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
}

#[derive(Debug, Serialize)]
struct Format {
    json_format: BTreeMap<&'static str, &'static str>,
}

/// Keys and what they tell. The path goes without its query, which may hold a secret.
const FIELDS: [(&str, &str); 24] = [
    ("cx_end", "%CONNECTION_TERMINATION_DETAILS%"),
    ("detail", "%RESPONSE_CODE_DETAILS%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("grpc", "%GRPC_STATUS%"),
    ("host", "%REQ(:AUTHORITY)%"),
    ("id", "%REQ(X-REQUEST-ID)%"),
    ("in", "%BYTES_RECEIVED%"),
    ("ip", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("method", "%REQ(:METHOD)%"),
    ("ms", "%DURATION%"),
    ("out", "%BYTES_SENT%"),
    ("path", "%PATH(NQ:ORIG_OR_PATH)%"),
    ("proto", "%PROTOCOL%"),
    ("reason", "%RESP(X-FPRS-REASON)%"),
    ("sni", "%REQUESTED_SERVER_NAME%"),
    ("status", "%RESPONSE_CODE%"),
    ("t", "%START_TIME%"),
    ("tls", "%DOWNSTREAM_TLS_VERSION%"),
    ("ttfb_ms", "%RESPONSE_DURATION%"),
    ("ua", "%REQ(USER-AGENT)%"),
    ("up", "%UPSTREAM_HOST%"),
    ("up_fail", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("up_proto", "%UPSTREAM_PROTOCOL%"),
    ("up_try", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
];

impl Logger {
    pub(crate) fn all(log: &AccessLog) -> Vec<Self> {
        let log_format = Format {
            json_format: BTreeMap::from(FIELDS),
        };
        match log {
            AccessLog::Off => Vec::new(),
            AccessLog::Stdout => vec![Self::Stdout(Extension::new(
                "envoy.access_loggers.stdout",
                StdoutLog { log_format },
            ))],
            AccessLog::File(path) => vec![Self::File(Extension::new(
                "envoy.access_loggers.file",
                FileLog {
                    path: text(path),
                    log_format,
                },
            ))],
        }
    }
}
