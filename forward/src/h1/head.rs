//! PURE. Heads on the HTTP/1.1 wire. A parsed request is canonical: absolute URI, no `host`, one
//! unambiguous framing; whatever could be read in two ways is refused (RFC 9112 §2, §3, §6).

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};

use super::body::Framing;
use crate::message::Body;
use crate::{canonical, limits};

/// What is wrong with a message, for whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// A checked request head.
#[derive(Debug)]
pub struct RequestHead {
    /// Method, absolute URI, fields without `host`.
    pub request: Request<()>,
    /// How its body is framed.
    pub framing: Framing,
    /// The client would send another request on this connection.
    pub keep_alive: bool,
}

/// A checked response head.
#[derive(Debug)]
pub struct ResponseHead {
    /// Status and fields.
    pub response: Response<()>,
    /// How its body is framed.
    pub framing: Framing,
    /// The server would take another request on this connection.
    pub keep_alive: bool,
}

/// Takes a whole head, its empty line included, off the front of `buffer`; `None`: read more.
/// `searched` is how far earlier calls have looked.
///
/// # Errors
/// The head is larger than [`limits::HEAD_BYTES`].
pub fn take_head(buffer: &mut BytesMut, searched: &mut usize) -> Result<Option<Bytes>, Malformed> {
    let from = searched.saturating_sub(3).min(buffer.len());
    let unseen = buffer.get(from..).unwrap_or_default();
    if let Some(at) = memchr::memmem::find(unseen, b"\r\n\r\n") {
        let end = from + at + 4;
        if end > limits::HEAD_BYTES {
            return Err(Malformed("the head is too large"));
        }
        *searched = 0;
        return Ok(Some(buffer.split_to(end).freeze()));
    }
    *searched = buffer.len();
    if buffer.len() > limits::HEAD_BYTES {
        return Err(Malformed("the head is too large"));
    }
    Ok(None)
}

/// Checks a request's head.
///
/// # Errors
/// Says what is ambiguous or not allowed; the connection can't be used any further.
pub fn parse_request(head: &Bytes) -> Result<RequestHead, Malformed> {
    only_crlf(head)?;
    let mut slots = [const { MaybeUninit::uninit() }; limits::HEADER_COUNT];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut slots) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Malformed("the head is not whole")),
        Err(error) => return Err(explain(error)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Malformed("the request line is not whole"));
    };
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Malformed("the method is not a token"))?;
    let mut fields = fields(head, parsed.headers)?;
    let length = canonical::request_fields(&mut fields)?;
    if minor == 0 {
        // Whoever speaks HTTP/1.0 waits for no 100 (RFC 9110 §10.1.1).
        fields.remove(EXPECT);
    }
    let framing = request_framing(&fields, length, minor)?;
    let keep_alive = keep_alive(&fields, minor);
    let uri = canonical_uri(head, &method, target, &mut fields)?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = version(minor);
    *request.headers_mut() = fields;
    Ok(RequestHead {
        request,
        framing,
        keep_alive,
    })
}

/// Checks a response's head. `method` is that of the request it answers.
///
/// # Errors
/// Says what is ambiguous; the connection can't be used any further.
pub fn parse_response(head: &Bytes, method: &Method) -> Result<ResponseHead, Malformed> {
    only_crlf(head)?;
    let mut slots = [const { MaybeUninit::uninit() }; limits::HEADER_COUNT];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, head, &mut slots) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Malformed("the head is not whole")),
        Err(error) => return Err(explain(error)),
    }
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Malformed("the status line is not whole"));
    };
    let status =
        StatusCode::from_u16(code).map_err(|_| Malformed("the status is not a status code"))?;
    let mut fields = fields(head, parsed.headers)?;
    let framing = response_framing(&fields, minor, status, method)?;
    let keep_alive = keep_alive(&fields, minor) && framing != Framing::UntilClose;
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        // RFC 9110 §8.6: there is none to be told of.
        fields.remove(CONTENT_LENGTH);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version(minor);
    *response.headers_mut() = fields;
    Ok(ResponseHead {
        response,
        framing,
        keep_alive,
    })
}

/// Checks a block of fields that ends with an empty line, as trailers are.
///
/// # Errors
/// Says what is not a field.
pub fn parse_fields(block: &Bytes) -> Result<HeaderMap, Malformed> {
    only_crlf(block)?;
    let mut slots = [httparse::EMPTY_HEADER; limits::HEADER_COUNT];
    match httparse::parse_headers(block, &mut slots) {
        Ok(httparse::Status::Complete((_, parsed))) => fields(block, parsed),
        Ok(httparse::Status::Partial) => Err(Malformed("the fields are not whole")),
        Err(error) => Err(explain(error)),
    }
}

/// Removes what may not stand in trailers because it frames, routes or authenticates
/// (RFC 9110 §6.5.1).
pub fn strip_from_trailers(fields: &mut HeaderMap) {
    for name in [
        CONNECTION,
        CONTENT_LENGTH,
        HOST,
        TRANSFER_ENCODING,
        http::header::AUTHORIZATION,
        http::header::CONTENT_TYPE,
        http::header::CONTENT_ENCODING,
        http::header::SET_COOKIE,
        http::header::TE,
        http::header::TRAILER,
    ] {
        fields.remove(name);
    }
}

/// Writes a request's head. `fields` hold no hop-by-hop fields; `content-length` is among them where
/// the length is known.
pub fn write_request(request: &Request<()>, body: Body, out: &mut BytesMut) {
    let uri = request.uri();
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(
        uri.path_and_query()
            .map_or("/", PathAndQuery::as_str)
            .as_bytes(),
    );
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(uri.authority().map_or("", Authority::as_str).as_bytes());
    out.extend_from_slice(b"\r\n");
    write_fields(request.headers(), out);
    if body == Body::Stream {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// How a response to that request is framed for a client of that version.
pub fn framing_towards(
    version: Version,
    method: &Method,
    status: StatusCode,
    body: Body,
) -> Framing {
    if bodiless(method, status) {
        return Framing::None;
    }
    match body {
        Body::None => Framing::None,
        Body::Length(length) => Framing::Length(length),
        Body::Stream if version == Version::HTTP_10 => Framing::UntilClose,
        Body::Stream => Framing::Chunked,
        Body::Tunnel => Framing::UntilClose,
    }
}

/// A response to `method` with that status has no content, whatever its fields say
/// (RFC 9112 §6.3).
pub fn bodiless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Agrees to a WebSocket: what HTTP/2 says with 200 (RFC 6455 §4.2.2).
pub fn write_switch(response: &Response<()>, out: &mut BytesMut) {
    write_status(StatusCode::SWITCHING_PROTOCOLS, out);
    write_fields(response.headers(), out);
    out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n");
}

/// Writes a response's head. `close` tells the client that the connection ends after it.
pub fn write_response(
    response: &Response<()>,
    method: &Method,
    framing: Framing,
    close: bool,
    out: &mut BytesMut,
) {
    write_status(response.status(), out);
    write_fields(response.headers(), out);
    match framing {
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None
            if !bodiless(method, response.status())
                && !response.headers().contains_key(CONTENT_LENGTH) =>
        {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        Framing::None | Framing::Length(_) | Framing::UntilClose => {}
    }
    if close {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a response before the response.
pub fn write_interim(status: StatusCode, fields: &HeaderMap, out: &mut BytesMut) {
    write_status(status, out);
    write_fields(fields, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes fields, one line each.
pub fn write_fields(fields: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The one `content-length`, if there is one.
///
/// # Errors
/// There are several, or it isn't a plain number (`5, 5` and `+5` included).
pub fn content_length(fields: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut values = fields.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Malformed("content-length occurs twice"));
    }
    let digits = value.as_bytes();
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed("content-length is not a number"));
    }
    Ok(Some(
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
    ))
}

fn write_status(status: StatusCode, out: &mut BytesMut) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

const fn version(minor: u8) -> Version {
    if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    }
}

/// Every LF follows a CR and every CR precedes an LF: bare ones are read as line ends by some
/// servers and not by others (RFC 9112 §2.2).
fn only_crlf(head: &[u8]) -> Result<(), Malformed> {
    let crlf = memchr::memchr_iter(b'\n', head)
        .all(|at| at.checked_sub(1).and_then(|before| head.get(before)) == Some(&b'\r'));
    let pairs = memchr::memchr_iter(b'\n', head).count();
    if crlf && memchr::memchr_iter(b'\r', head).count() == pairs {
        Ok(())
    } else {
        Err(Malformed("a line ends with a bare CR or LF"))
    }
}

const fn explain(error: httparse::Error) -> Malformed {
    Malformed(match error {
        httparse::Error::HeaderName => "a field name is not a token",
        httparse::Error::HeaderValue => "a field value has a byte that is not allowed",
        httparse::Error::NewLine => "a line ends with a bare CR or LF",
        httparse::Error::Status => "the status line is malformed",
        httparse::Error::Token => "the method or target has a byte that is not allowed",
        httparse::Error::TooManyHeaders => "there are too many header fields",
        httparse::Error::Version => "the version is not HTTP/1.0 or HTTP/1.1",
    })
}

fn fields(head: &Bytes, parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut fields = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Malformed("a field name is not a token"))?;
        let value = if field.value.is_empty() {
            HeaderValue::from_static("")
        } else {
            HeaderValue::from_maybe_shared(head.slice_ref(field.value))
                .map_err(|_| Malformed("a field value has a byte that is not allowed"))?
        };
        fields.append(name, value);
    }
    Ok(fields)
}

fn request_framing(
    fields: &HeaderMap,
    length: Option<u64>,
    minor: u8,
) -> Result<Framing, Malformed> {
    if !fields.contains_key(TRANSFER_ENCODING) {
        return Ok(length.map_or(Framing::None, Framing::Length));
    }
    if minor == 0 {
        return Err(Malformed("transfer-encoding in HTTP/1.0"));
    }
    if length.is_some() {
        return Err(Malformed("both content-length and transfer-encoding"));
    }
    chunked(fields)?;
    Ok(Framing::Chunked)
}

fn response_framing(
    fields: &HeaderMap,
    minor: u8,
    status: StatusCode,
    method: &Method,
) -> Result<Framing, Malformed> {
    let length = content_length(fields)?;
    if bodiless(method, status) {
        return Ok(Framing::None);
    }
    if !fields.contains_key(TRANSFER_ENCODING) {
        return Ok(length.map_or(Framing::UntilClose, Framing::Length));
    }
    if minor == 0 || length.is_some() {
        return Err(Malformed(
            "both content-length and transfer-encoding, or HTTP/1.0",
        ));
    }
    chunked(fields)?;
    Ok(Framing::Chunked)
}

/// Exactly one `transfer-encoding: chunked`: we decode no other coding, and guessing is how requests
/// are smuggled.
fn chunked(fields: &HeaderMap) -> Result<(), Malformed> {
    let mut values = fields.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Malformed(
            "a transfer-encoding other than exactly `chunked`",
        )),
    }
}

fn keep_alive(fields: &HeaderMap, minor: u8) -> bool {
    minor == 1
        && !fields
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// Puts target and `host` together; the target is an origin (`/path`), `*` for OPTIONS, or an
/// absolute URI of the very same authority (RFC 9112 §3.2).
fn canonical_uri(
    head: &Bytes,
    method: &Method,
    target: &str,
    fields: &mut HeaderMap,
) -> Result<Uri, Malformed> {
    let authority = host(fields)?;
    if target.bytes().any(|byte| byte == b'#' || byte >= 0x7f) {
        return Err(Malformed("the target has a byte that is not allowed"));
    }
    let path = if target.starts_with('/') || (target == "*" && *method == Method::OPTIONS) {
        PathAndQuery::from_maybe_shared(head.slice_ref(target.as_bytes()))
            .map_err(|_| Malformed("the target is not a path"))?
    } else {
        absolute(target, method, &authority)?
    };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| Malformed("the target is not a path"))
}

/// What an origin is asked for that absolute URI: a path always begins with a slash, and OPTIONS
/// without one is about the whole server (RFC 9112 §3.2.4).
fn absolute(
    target: &str,
    method: &Method,
    authority: &Authority,
) -> Result<PathAndQuery, Malformed> {
    let (_, rest) = target
        .split_once("://")
        .filter(|(scheme, _)| {
            ["http", "https"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
        })
        .ok_or(Malformed(
            "the target is neither a path nor an absolute URI",
        ))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (named, path) = rest.split_at(end);
    if !authority.as_str().eq_ignore_ascii_case(named) {
        return Err(Malformed("the target's authority is not that of host"));
    }
    let path = match path {
        "" if *method == Method::OPTIONS => return Ok(PathAndQuery::from_static("*")),
        "" => return Ok(PathAndQuery::from_static("/")),
        query if query.starts_with('?') => PathAndQuery::try_from(format!("/{query}")),
        path => PathAndQuery::try_from(path),
    };
    path.map_err(|_| Malformed("the target is not a path"))
}

/// Takes the one `host` out of the fields.
fn host(fields: &mut HeaderMap) -> Result<Authority, Malformed> {
    let mut values = fields.get_all(HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Malformed("there must be exactly one host"));
    };
    let authority = canonical::authority(value.as_bytes())?;
    fields.remove(HOST);
    Ok(authority)
}

#[cfg(test)]
mod tests;
