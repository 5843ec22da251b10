//! PURE. Header fields that belong to one hop and not to the message (RFC 9110 §7.6.1), and the
//! names of our own.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Which replica a proxy wants the relay to forward to.
pub const REPLICA: HeaderName = HeaderName::from_static("x-fprs-replica");

/// A replica's exchanges in flight as its relay counts them; for proxies, never for clients.
pub const IN_FLIGHT: HeaderName = HeaderName::from_static("x-fprs-in-flight");

/// Why fprs answered itself.
pub const REASON: HeaderName = HeaderName::from_static("x-fprs-reason");

/// Whose the caller is; for programs.
pub const TENANT: HeaderName = HeaderName::from_static("x-fprs-tenant");

/// Which credential the caller showed; for programs.
pub const TOKEN_ID: HeaderName = HeaderName::from_static("x-fprs-token-id");

/// A proxy asks its relay with it for the times that it answers with: microseconds from a request's
/// arrival to its program's connection and to the program's head, or `-` where it didn't come to that.
pub const TIMES: HeaderName = HeaderName::from_static("x-fprs-times");

/// The mirror that a copy of a request is of; for shadows.
pub const MIRROR: HeaderName = HeaderName::from_static("x-fprs-mirror");

/// What every name of ours that outsiders may not send begins with.
pub const OURS: &str = "x-fprs-";

/// What every name that an Envoy at the edge obeys begins with.
const ENVOYS: &str = "x-envoy-";

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that are always of one hop. `te` is apart: `te: trailers` crosses, for gRPC needs it, and
/// `trailer` is of the message since we carry trailers.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HTTP2_SETTINGS,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what belongs to the hop the message came by: the fields above and those that
/// `connection` names.
pub fn strip_hop_by_hop(fields: &mut HeaderMap) {
    if fields.contains_key(CONNECTION) {
        strip_named(fields);
    }
    for name in &HOP_BY_HOP {
        fields.remove(name);
    }
    if fields.contains_key(TE) {
        let trailers = fields
            .get_all(TE)
            .iter()
            .filter_map(|te| te.to_str().ok())
            .flat_map(|te| te.split(','))
            .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
        if trailers {
            fields.insert(TE, HeaderValue::from_static("trailers"));
        } else {
            fields.remove(TE);
        }
    }
}

/// Removes every field whose name begins with [`OURS`].
pub fn strip_ours(fields: &mut HeaderMap) {
    strip(fields, |name| name.starts_with(OURS));
}

/// Removes from a program's answer what it may not say: our own names, and those that an Envoy in
/// front would obey, `x-envoy-immediate-health-check-fail` for one.
pub fn strip_from_answer(fields: &mut HeaderMap) {
    strip(fields, |name| {
        name.starts_with("x-") && (name.starts_with(OURS) || name.starts_with(ENVOYS))
    });
}

fn strip(fields: &mut HeaderMap, is_one: impl Fn(&str) -> bool) {
    // Collecting first would allocate for every message; nearly none carries one.
    while let Some(name) = fields.keys().find(|name| is_one(name.as_str())).cloned() {
        fields.remove(name);
    }
}

fn strip_named(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // `te` and `trailer` have rules of their own, and a `connection` that names what routes or
        // frames the message would let whoever sent it blind us.
        .filter(|name| ![TE, TRAILER, HOST, CONTENT_LENGTH].contains(name))
        .collect();
    for name in named {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn hop_by_hop_fields_are_removed_and_the_rest_stays() {
        let table = [
            ("connection", "close", false),
            ("keep-alive", "timeout=5", false),
            ("http2-settings", "AAMAAABk", false),
            ("proxy-connection", "keep-alive", false),
            ("proxy-authenticate", "Basic", false),
            ("proxy-authorization", "Basic x", false),
            ("transfer-encoding", "chunked", false),
            ("upgrade", "h2c", false),
            ("te", "gzip", false),
            ("te", "trailers", true),
            ("trailer", "x-sum", true),
            ("x-kept", "yes", true),
        ];
        for (name, value, stays) in table {
            let mut fields = fields(&[(name, value)]);
            strip_hop_by_hop(&mut fields);
            assert_eq!(fields.contains_key(name), stays, "{name}: {value}");
        }
    }

    #[test]
    fn fields_that_connection_names_are_removed() {
        let mut fields = fields(&[
            ("connection", "x-hop, close, content-length"),
            ("content-length", "5"),
            ("x-hop", "1"),
            ("x-end", "2"),
            ("te", "deflate;q=0.5"),
            ("te", "gzip, Trailers"),
        ]);
        strip_hop_by_hop(&mut fields);
        assert_eq!(fields.len(), 3, "{fields:?}");
        assert_eq!(fields["te"], "trailers");
        assert_eq!(fields["x-end"], "2");
    }

    #[test]
    fn our_own_fields_from_outside_are_removed() {
        let mut fields = fields(&[
            ("x-fprs-replica", "r"),
            ("x-fprs-tenant", "t"),
            ("fprs-session-id", "s"),
        ]);
        strip_ours(&mut fields);
        assert_eq!(fields.len(), 1);
    }

    #[test]
    fn an_answer_neither_speaks_in_our_name_nor_to_the_edge() {
        let mut fields = fields(&[
            ("x-fprs-in-flight", "0"),
            ("x-envoy-immediate-health-check-fail", "1"),
            ("x-envoy-overloaded", "1"),
            ("x-env", "1"),
            ("x-request-id", "1"),
        ]);
        strip_from_answer(&mut fields);
        assert_eq!(fields.len(), 2, "{fields:?}");
    }
}
