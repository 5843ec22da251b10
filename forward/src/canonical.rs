//! PURE. What holds for every request, whatever it came by: an authority that names one host, and
//! fields that every program reads alike. What could be read in two ways is refused.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Authority;

use crate::fields::OURS;
use crate::h1::head::{Malformed, content_length};

/// Fields that frame or route a message; under a name with underscores instead of dashes, programs
/// that are handed fields as variables (RFC 3875 §4.1.18) take another field for them.
const FRAMING: [HeaderName; 7] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// As [`FRAMING`], for what only we or a trusted edge may say.
const OURS_OR_THE_EDGES: [&str; 3] = [OURS, "x-forwarded-", "x-real-"];

/// The authority of a request: a host name or an IP literal, and perhaps a port. Nothing else of RFC
/// 3986 §3.2 is let through: user information, lists and percent-encoding are read differently by
/// different programs.
///
/// # Errors
/// It is anything else.
pub fn authority(bytes: &[u8]) -> Result<Authority, Malformed> {
    check_authority(bytes)?;
    Authority::try_from(bytes).map_err(|_| Malformed("the authority is not a host"))
}

/// [`authority`] of what is one already, as far as RFC 3986 goes.
///
/// # Errors
/// It is anything but a host and perhaps a port.
pub(crate) fn check_authority(bytes: &[u8]) -> Result<(), Malformed> {
    let (host, port) = match memchr::memrchr(b':', bytes) {
        Some(at) if bytes.last() != Some(&b']') => bytes.split_at(at),
        _ => (bytes, &b""[..]),
    };
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let literal = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
    let is_host = match host.strip_prefix(b"[") {
        Some(rest) => rest
            .strip_suffix(b"]")
            .is_some_and(|address| !address.is_empty() && address.iter().all(literal)),
        None => !host.is_empty() && host.iter().all(name),
    };
    if !is_host {
        return Err(Malformed("the authority is not a host"));
    }
    if !port.is_empty() && !is_port(port) {
        return Err(Malformed("the authority's port is not a port"));
    }
    Ok(())
}

/// A colon and a number up to 65535.
fn is_port(port: &[u8]) -> bool {
    let digits = port.strip_prefix(b":").unwrap_or_default();
    (1..=5).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits
            .iter()
            .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
            <= u32::from(u16::MAX)
}

/// Brings the fields of a request into the form that every program reads alike: a plain
/// `content-length`, one `cookie`, no expectation but the one everybody knows. Says what the length is.
///
/// # Errors
/// Says which of them can't be brought there.
pub fn request_fields(fields: &mut HeaderMap) -> Result<Option<u64>, Malformed> {
    if fields.keys().any(spoofs) {
        return Err(Malformed("a field name that programs take for another"));
    }
    let length = content_length(fields)?;
    if let Some(length) = length
        && fields.get(CONTENT_LENGTH).is_some_and(has_zeros_before)
    {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut expected = fields.get_all(EXPECT).iter();
    match (expected.next(), expected.next()) {
        (None, _) => {}
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"100-continue") => {}
        _ => return Err(Malformed("an expectation other than 100-continue")),
    }
    join_cookies(fields)?;
    Ok(length)
}

/// The name reads as a framing field or one of ours once its underscores are dashes.
fn spoofs(name: &HeaderName) -> bool {
    let name = name.as_str();
    if !name.contains('_') {
        return false;
    }
    let dashed = name.replace('_', "-");
    FRAMING.iter().any(|framing| framing.as_str() == dashed)
        || OURS_OR_THE_EDGES
            .iter()
            .any(|start| dashed.starts_with(start))
}

fn has_zeros_before(value: &HeaderValue) -> bool {
    value.len() > 1 && value.as_bytes().first() == Some(&b'0')
}

/// A cookie in crumbs is one field for whoever doesn't speak HTTP/2 (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut HeaderMap) -> Result<(), Malformed> {
    let mut crumbs = fields.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = fields
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .filter(|crumb| !crumb.is_empty())
        .collect();
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
        .map_err(|_| Malformed("a field value has a byte that is not allowed"))?;
    fields.insert(COOKIE, joined);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for good in [
            "h",
            "Hello.zone.",
            "a_b.zone:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::ffff:1.2.3.4]:65535",
        ] {
            assert!(authority(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "",
            ":80",
            "u@h",
            "a,b",
            "a b",
            "h:",
            "h:+1",
            "h:a",
            "h:65536",
            "h:000001",
            "h:1:2",
            "[]",
            "[::1",
            "::1]",
            "[::1]x",
            "[fe80::1%25a]",
            "h%00",
            "h/",
            "h?",
            "h#",
            "h\u{e9}",
        ] {
            assert!(authority(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    fn brought(pairs: &[(&'static str, &'static str)]) -> Result<HeaderMap, Malformed> {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(*name, HeaderValue::from_static(value));
        }
        request_fields(&mut fields).map(|_| fields)
    }

    #[test]
    fn cookies_become_one_and_lengths_plain() {
        let fields = brought(&[
            ("cookie", "a=b"),
            ("content-length", "007"),
            ("cookie", "c=d"),
        ]);
        let fields = fields.unwrap();
        assert_eq!(fields["cookie"], "a=b; c=d");
        assert_eq!(fields["content-length"], "7");
        assert_eq!(
            brought(&[("content-length", "0")]).unwrap()["content-length"],
            "0"
        );
    }

    #[test]
    fn names_that_read_as_others_and_unknown_expectations_are_refused() {
        for pair in [
            ("content_length", "5"),
            ("transfer_encoding", "chunked"),
            ("transfer_-encoding", "x"),
            ("x_forwarded_for", "::1"),
            ("x_fprs_tenant", "a"),
            ("expect", "200-ok"),
        ] {
            let spoof = pair.0 != "transfer_-encoding";
            assert_eq!(brought(&[pair]).is_err(), spoof, "{pair:?}");
        }
        assert!(brought(&[("expect", "100-Continue"), ("x_own", "1")]).is_ok());
        assert!(brought(&[("expect", "100-continue"), ("expect", "100-continue")]).is_err());
    }
}
