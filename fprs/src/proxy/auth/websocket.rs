//! PURE. Credentials of WebSockets whose clients can't set fields: an offered subprotocol that is
//! none, or a ticket in the query. Both are taken out whether they are believed or not.

use std::fmt;

use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::uri::PathAndQuery;
use http::{Request, Uri};

use super::credential::Credential;

/// What was taken out of a request. Printed without what it holds.
#[derive(PartialEq, Eq)]
pub enum Taken {
    /// There was none.
    Nothing,
    /// The credential.
    One(String),
    /// More than one, so none.
    Several,
}

/// What an offered subprotocol begins with that is a credential.
const BEARER: &str = "fprs.bearer.";

/// The parameter of a query that is a ticket.
const TICKET: &str = "fprs_token";

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::One(_) => "One(…)",
            Self::Several => "Several",
        })
    }
}

impl Taken {
    /// The one credential, if it can be one.
    pub fn credential(&self) -> Option<Credential<'_>> {
        match self {
            Self::One(text) => Credential::read(text),
            Self::Nothing | Self::Several => None,
        }
    }

    fn add(&mut self, credential: &str) {
        *self = match self {
            Self::Nothing => Self::One(credential.to_owned()),
            Self::One(_) | Self::Several => Self::Several,
        };
    }
}

/// Takes credentials out of the subprotocols that are offered. The others stay as they were.
pub fn take_subprotocol(fields: &mut HeaderMap) -> Taken {
    let mut taken = Taken::Nothing;
    let offered = fields.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offered.filter_map(|value| value.to_str().ok());
    if !offered.any(|value| value.contains(BEARER)) {
        return taken;
    }
    let mut kept = Vec::new();
    for value in fields.get_all(SEC_WEBSOCKET_PROTOCOL) {
        // What isn't text has no credential that could be read, and is nothing a program reads.
        let names = value.to_str().unwrap_or_default().split(',');
        for name in names.map(str::trim).filter(|name| !name.is_empty()) {
            match name.strip_prefix(BEARER) {
                Some(credential) => taken.add(credential),
                None => kept.push(name),
            }
        }
    }
    match HeaderValue::try_from(kept.join(", ")) {
        Ok(value) if !value.is_empty() => {
            fields.insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        _ => {
            fields.remove(SEC_WEBSOCKET_PROTOCOL);
        }
    }
    taken
}

/// Takes tickets out of the query; the rest of it stays byte for byte.
pub fn take_ticket(request: &mut Request<()>) -> Taken {
    let mut taken = Taken::Nothing;
    let Some(query) = request.uri().query() else {
        return taken;
    };
    if !query.contains(TICKET) {
        return taken;
    }
    let mut kept = Vec::new();
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some((TICKET, ticket)) => taken.add(ticket),
            _ => kept.push(parameter),
        }
    }
    if taken != Taken::Nothing {
        let path = match (request.uri().path(), kept.as_slice()) {
            (path, []) => path.to_owned(),
            (path, kept) => format!("{path}?{}", kept.join("&")),
        };
        // Parts of a query are one; if not, the program is told of none rather than of the ticket.
        let path = PathAndQuery::try_from(path).unwrap_or(PathAndQuery::from_static("/"));
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.path_and_query = Some(path);
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subprotocols(values: &[&'static str]) -> (Taken, Option<String>) {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
        }
        let taken = take_subprotocol(&mut fields);
        assert!(fields.get_all(SEC_WEBSOCKET_PROTOCOL).iter().count() <= values.len());
        let left = fields.get(SEC_WEBSOCKET_PROTOCOL);
        (taken, left.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn the_credential_among_subprotocols_is_taken_out() {
        let one = || Taken::One("id.s3cret".to_owned());
        for (offered, left) in [
            (&["fprs.bearer.id.s3cret"][..], None),
            (&["chat, fprs.bearer.id.s3cret,v2"], Some("chat, v2")),
            (&["chat", "fprs.bearer.id.s3cret"], Some("chat")),
        ] {
            assert_eq!(subprotocols(offered), (one(), left.map(str::to_owned)));
        }
        assert_eq!(
            subprotocols(&["fprs.bearer.a.b, chat, fprs.bearer.c.d"]),
            (Taken::Several, Some("chat".to_owned()))
        );
        assert_eq!(
            subprotocols(&["chat"]),
            (Taken::Nothing, Some("chat".to_owned()))
        );
        assert_eq!(subprotocols(&[]), (Taken::Nothing, None));
    }

    fn ticket(uri: &str) -> (Taken, String) {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().unwrap();
        let taken = take_ticket(&mut request);
        (taken, request.uri().to_string())
    }

    #[test]
    fn the_ticket_in_a_query_is_taken_out() {
        let one = || Taken::One("id.s3cret".to_owned());
        for (uri, left) in [
            ("http://a.b/x?fprs_token=id.s3cret", "http://a.b/x"),
            (
                "http://a.b/x?a=1&fprs_token=id.s3cret&b=%20",
                "http://a.b/x?a=1&b=%20",
            ),
        ] {
            assert_eq!(ticket(uri), (one(), left.to_owned()));
        }
        let twice = ticket("http://a.b/?fprs_token=a.b&fprs_token=c.d");
        assert_eq!(twice, (Taken::Several, "http://a.b/".to_owned()));
        for without in [
            "http://a.b/?x=fprs_token",
            "http://a.b/",
            "http://a.b/?fprs_tokens=1",
        ] {
            assert_eq!(ticket(without), (Taken::Nothing, without.to_owned()));
        }
    }

    #[test]
    fn what_was_taken_is_never_printed() {
        assert_eq!(format!("{:?}", Taken::One("s3cret".into())), "One(…)");
    }
}
