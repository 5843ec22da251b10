//! PURE. Requests of HTTP/2 clients in the form every session hands on (RFC 9113 §8.3): what the wire
//! allows and no program is to see is refused here.

use http::header::{CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri};

use crate::canonical;
use crate::fields;
use crate::h1::head::Malformed;
use crate::limits;
use crate::message::Body;
use crate::websocket::{is_other_connect, is_websocket};

/// Brings a request into the form every session hands on, and says what body follows.
pub(super) fn canonical(request: &mut Request<()>, ended: bool) -> Result<Body, Malformed> {
    if is_other_connect(request) {
        return Err(Malformed("CONNECT is served for WebSockets only"));
    }
    let host = {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = hosts.next().cloned();
        if hosts.next().is_some() {
            return Err(Malformed("host occurs twice"));
        }
        host
    };
    match (request.uri().authority(), &host) {
        (None, None) => return Err(Malformed("there is no :authority")),
        (Some(authority), Some(host)) if authority.as_str().as_bytes() != host.as_bytes() => {
            return Err(Malformed(":authority and host differ"));
        }
        (Some(authority), _) => {
            canonical::check_authority(authority.as_str().as_bytes())?;
        }
        (None, Some(host)) => {
            let uri = with_authority(request.uri(), host.as_bytes())?;
            *request.uri_mut() = uri;
        }
    }
    target(request)?;
    let fields = request.headers_mut();
    if host.is_some() {
        fields.remove(HOST);
    }
    if fields.values().any(is_padded) {
        // RFC 9113 §8.2.1. Who writes it on an HTTP/1.1 wire loses it.
        return Err(Malformed("a field value begins or ends with white space"));
    }
    let length = canonical::request_fields(fields)?;
    if fields.len() > limits::HEADER_COUNT {
        return Err(Malformed("there are too many header fields"));
    }
    fields.remove(PROXY_AUTHORIZATION);
    if fields.contains_key(TE) {
        fields::strip_hop_by_hop(fields);
    }
    if is_websocket(request) {
        // An edge leaves it on what was a POST that asked for an upgrade. There is no body to measure,
        // and a program would look for one.
        request.headers_mut().remove(CONTENT_LENGTH);
        return Ok(Body::Tunnel);
    }
    Ok(match (ended, length) {
        (true, _) => Body::None,
        (false, Some(length)) => Body::Length(length),
        (false, None) => Body::Stream,
    })
}

/// The scheme is one of ours, and the target a path, or `*` for OPTIONS (RFC 9113 §8.3.1).
fn target(request: &Request<()>) -> Result<(), Malformed> {
    let uri = request.uri();
    if ![None, Some("http"), Some("https")].contains(&uri.scheme_str()) {
        return Err(Malformed(":scheme is neither http nor https"));
    }
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Malformed("the target has a byte that is not allowed"));
    }
    if target.starts_with('/') || (target == "*" && *request.method() == Method::OPTIONS) {
        Ok(())
    } else {
        Err(Malformed("the target is not a path"))
    }
}

fn is_padded(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.trim_ascii().len() != value.len()
}

fn with_authority(uri: &Uri, host: &[u8]) -> Result<Uri, Malformed> {
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(canonical::authority(host)?);
    parts.scheme.get_or_insert(Scheme::HTTP);
    Uri::from_parts(parts).map_err(|_| Malformed("the target is not a path"))
}
