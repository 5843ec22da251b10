//! PURE. One header block as the message it is (RFC 9113 §8.1-8.3): a request, a response, an interim
//! response or trailers. What is malformed is told apart from what can't be read.

use http::header::{self, HeaderMap, HeaderName};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request, Response, StatusCode};

use super::hpack::Field;
use crate::limits;
use crate::websocket::Protocol;

/// A message that is malformed (RFC 9113 §8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One header block, read.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) status: Option<StatusCode>,
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
    protocol: Option<Protocol>,
    pub(super) fields: HeaderMap,
    bytes: usize,
    pub(super) malformed: bool,
    /// Its fields are more than the limit allows; the rest was not kept.
    pub(super) oversize: bool,
}

impl Message {
    /// Takes the next field, which counts for so many bytes.
    pub(super) fn add(&mut self, field: Field, bytes: usize) {
        self.bytes += bytes;
        if self.bytes > limits::HEADER_LIST_BYTES as usize {
            self.oversize = true;
            return;
        }
        let first = match field {
            Field::Regular(name, value) => {
                self.malformed |= is_of_connection(&name);
                self.malformed |= name == header::TE && value != "trailers";
                self.malformed |= self.fields.try_append(name, value).is_err();
                return;
            }
            Field::Status(status) => self.status.replace(status).is_none(),
            Field::Method(method) => self.method.replace(method).is_none(),
            Field::Scheme(scheme) => self.scheme.replace(scheme).is_none(),
            Field::Authority(authority) => self.authority.replace(authority).is_none(),
            Field::Path(path) => self.path.replace(path).is_none(),
            Field::Protocol(protocol) => self.protocol.replace(protocol).is_none(),
            Field::Malformed(_) => false,
        };
        // A message's own parts come once, and before all fields.
        self.malformed |= !first || !self.fields.is_empty();
    }

    /// A request (RFC 9113 §8.3.1, §8.5, RFC 8441 §4).
    pub(super) fn request(self) -> Result<Request<()>, Malformed> {
        if self.malformed || self.status.is_some() {
            return Err(Malformed);
        }
        let method = self.method.ok_or(Malformed)?;
        let connect = method == Method::CONNECT;
        if self.protocol.is_some() && !connect {
            return Err(Malformed);
        }
        let whole = self.scheme.is_some() && self.path.is_some();
        let none = self.scheme.is_none() && self.path.is_none();
        let plain_connect = connect && self.protocol.is_none() && none && self.authority.is_some();
        if !whole && !plain_connect {
            return Err(Malformed);
        }
        let mut parts = http::uri::Parts::default();
        // A URI has a scheme only with an authority; without one, `host` has to say where to.
        parts.scheme = self.scheme.filter(|_| self.authority.is_some());
        parts.authority = self.authority;
        parts.path_and_query = self.path;
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Malformed)?;
        *request.method_mut() = method;
        *request.headers_mut() = self.fields;
        if let Some(protocol) = self.protocol {
            request.extensions_mut().insert(protocol);
        }
        Ok(request)
    }

    /// A response, interim or final.
    pub(super) fn response(self) -> Result<Response<()>, Malformed> {
        if self.is_request() {
            return Err(Malformed);
        }
        let status = self.status.ok_or(Malformed)?;
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = self.fields;
        Ok(response)
    }

    /// Fields after content.
    pub(super) fn trailers(self) -> Result<HeaderMap, Malformed> {
        match self.is_request() || self.status.is_some() {
            true => Err(Malformed),
            false => Ok(self.fields),
        }
    }

    /// It has parts that only requests have, or is malformed anyway.
    const fn is_request(&self) -> bool {
        self.malformed
            || self.oversize
            || self.method.is_some()
            || self.scheme.is_some()
            || self.authority.is_some()
            || self.path.is_some()
            || self.protocol.is_some()
    }
}

/// RFC 9113 §8.2.2.
fn is_of_connection(name: &HeaderName) -> bool {
    const KEEP_ALIVE: &str = "keep-alive";
    const PROXY_CONNECTION: &str = "proxy-connection";
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || name == KEEP_ALIVE
        || name == PROXY_CONNECTION
}
