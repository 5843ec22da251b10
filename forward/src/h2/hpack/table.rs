//! PURE. The static table (RFC 7541 Appendix A) as responses have it, and for requests the places of
//! its names.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::Field;

/// Entries of the static table: the dynamic table's come after.
pub(super) const STATIC: usize = 61;

/// Places in the static table that a request's own parts have.
pub(super) mod place {
    pub(in super::super) const AUTHORITY: usize = 1;
    pub(in super::super) const GET: usize = 2;
    pub(in super::super) const POST: usize = 3;
    pub(in super::super) const ROOT: usize = 4;
    pub(in super::super) const HTTP: usize = 6;
    pub(in super::super) const HTTPS: usize = 7;
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
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// The entry at that place, from 1; `None`: there is none. Of a request's own parts only the names'
/// lengths matter to who reads responses.
pub(super) fn entry(place: usize) -> Option<Field> {
    let status = |code| Field::Status(code);
    Some(match place {
        1 => Field::Malformed(":authority".len()),
        2 | 3 | 6 | 7 => Field::Malformed(":method".len()),
        4 | 5 => Field::Malformed(":path".len()),
        8 => status(StatusCode::OK),
        9 => status(StatusCode::NO_CONTENT),
        10 => status(StatusCode::PARTIAL_CONTENT),
        11 => status(StatusCode::NOT_MODIFIED),
        12 => status(StatusCode::BAD_REQUEST),
        13 => status(StatusCode::NOT_FOUND),
        14 => status(StatusCode::INTERNAL_SERVER_ERROR),
        16 => Field::Regular(header::ACCEPT_ENCODING, ENCODINGS),
        _ => {
            let name = STATIC_NAMES.get(place.checked_sub(usize::from(FIRST_NAME))?)?;
            Field::Regular(name.clone(), HeaderValue::from_static(""))
        }
    })
}

/// Where each name stands that has a place.
pub(super) fn places() -> HeaderMap<u8> {
    let places = (FIRST_NAME..).zip(&STATIC_NAMES);
    places.map(|(place, name)| (name.clone(), place)).collect()
}

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
            assert_eq!(places()[name], place);
            let found = entry(usize::from(place));
            assert!(
                matches!(&found, Some(Field::Regular(found, _)) if found == name),
                "{found:?}"
            );
        }
        assert!(entry(0).is_none() && entry(62).is_none());
        let lengths = (1..=7).map(|place| entry(place).unwrap().name());
        let names = [
            ":authority",
            ":method",
            ":method",
            ":path",
            ":path",
            ":scheme",
            ":scheme",
        ];
        assert!(lengths.eq(names.map(str::len)));
    }
}
