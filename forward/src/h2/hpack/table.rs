//! PURE. The static table (RFC 7541 Appendix A).

use std::sync::LazyLock;

use http::header::{self, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, StatusCode};

use super::{Field, Name};

/// Entries of the static table: the dynamic table's come after.
pub(super) const STATIC: usize = 61;

/// Places that a message's own parts have.
pub(super) mod place {
    pub(in super::super) const AUTHORITY: usize = 1;
    pub(in super::super) const GET: usize = 2;
    pub(in super::super) const POST: usize = 3;
    pub(in super::super) const ROOT: usize = 4;
    pub(in super::super) const HTTP: usize = 6;
    pub(in super::super) const HTTPS: usize = 7;
    pub(in super::super) const OK: usize = 8;
}

const NAMES: usize = STATIC + 1 - FIRST_NAME as usize;
const FIRST_NAME: u8 = 15;

/// Names of entries from the fifteenth on; those before are a message's own parts.
static STATIC_NAMES: [HeaderName; NAMES] = [
    header::ACCEPT_CHARSET,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::ACCEPT_RANGES,
    header::ACCEPT,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::AGE,
    header::ALLOW,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::ETAG,
    header::EXPECT,
    header::EXPIRES,
    header::FROM,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::REFERER,
    HeaderName::from_static("refresh"),
    header::RETRY_AFTER,
    header::SERVER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
    header::VARY,
    header::VIA,
    header::WWW_AUTHENTICATE,
];

/// The only name with a value of its own.
static ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// The entry at that place, from 1, and the length of its value; `None`: there is none.
pub(super) fn entry(place: usize) -> Option<(Field, usize)> {
    let status = |code| (Field::Status(code), 3);
    Some(match place {
        place::AUTHORITY => (Field::Malformed(Name::Authority), 0),
        place::GET => (Field::Method(Method::GET), 3),
        place::POST => (Field::Method(Method::POST), 4),
        place::ROOT => (Field::Path(PathAndQuery::from_static("/")), 1),
        5 => (Field::Path(PathAndQuery::from_static("/index.html")), 11),
        place::HTTP => (Field::Scheme(Scheme::HTTP), 4),
        place::HTTPS => (Field::Scheme(Scheme::HTTPS), 5),
        place::OK => status(StatusCode::OK),
        9 => status(StatusCode::NO_CONTENT),
        10 => status(StatusCode::PARTIAL_CONTENT),
        11 => status(StatusCode::NOT_MODIFIED),
        12 => status(StatusCode::BAD_REQUEST),
        13 => status(StatusCode::NOT_FOUND),
        14 => status(StatusCode::INTERNAL_SERVER_ERROR),
        16 => {
            let length = ENCODINGS.len();
            (
                Field::Regular(header::ACCEPT_ENCODING, ENCODINGS.clone()),
                length,
            )
        }
        _ => {
            let name = STATIC_NAMES.get(place.checked_sub(usize::from(FIRST_NAME))?)?;
            (
                Field::Regular(name.clone(), HeaderValue::from_static("")),
                0,
            )
        }
    })
}

/// The place of a name that has one.
pub(super) fn of(name: &HeaderName) -> Option<usize> {
    PLACES.get(name).map(|place| usize::from(*place))
}

static PLACES: LazyLock<HeaderMap<u8>> = LazyLock::new(|| {
    let places = (FIRST_NAME..).zip(&STATIC_NAMES);
    places.map(|(place, name)| (name.clone(), place)).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_places_of_the_appendix() {
        for (place, name) in [
            (15, "accept-charset"),
            (16, "accept-encoding"),
            (28, "content-length"),
            (31, "content-type"),
            (38, "host"),
            (52, "refresh"),
            (58, "user-agent"),
            (61, "www-authenticate"),
        ] {
            assert_eq!(of(&HeaderName::from_static(name)), Some(place));
            let found = entry(place);
            assert!(
                matches!(&found, Some((Field::Regular(found, _), _)) if found == name),
                "{found:?}"
            );
        }
        assert!(entry(0).is_none() && entry(62).is_none());
        let names = (1..=8).map(|place| entry(place).unwrap().0.name());
        let own = [
            Name::Authority,
            Name::Method,
            Name::Method,
            Name::Path,
            Name::Path,
            Name::Scheme,
            Name::Scheme,
            Name::Status,
        ];
        assert!(names.eq(own));
    }
}
