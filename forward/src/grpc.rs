//! PURE. What gRPC means beyond HTTP: calls that end in trailers, and deadlines the caller sends
//! (gRPC over HTTP2, "Requests" and "Responses").

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::answer::Reason;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The request is a gRPC call.
pub fn is_call(request: &HeaderMap) -> bool {
    request
        .get(CONTENT_TYPE)
        .is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

/// How long the caller waits for the whole call. What is not of the form `1*8DIGIT unit` is no
/// deadline; the program may see more in it.
pub fn timeout(request: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = request.get(TIMEOUT)?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits
        .iter()
        .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3_600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The fields that end a call for that reason: as trailers, or in the head of a call that never
/// began.
pub fn ending(reason: Reason, message: &'static str) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(4);
    fields.insert(STATUS, HeaderValue::from_static(status(reason)));
    fields.insert(MESSAGE, HeaderValue::from_static(message));
    fields
}

const fn status(reason: Reason) -> &'static str {
    match reason {
        Reason::BadRequest => "3",                     // INVALID_ARGUMENT
        Reason::UpstreamTimeout => "4",                // DEADLINE_EXCEEDED
        Reason::Forbidden => "7",                      // PERMISSION_DENIED
        Reason::TenantLimit | Reason::TooLarge => "8", // RESOURCE_EXHAUSTED
        Reason::UpstreamProtocol => "13",              // INTERNAL
        Reason::Unauthenticated => "16",               // UNAUTHENTICATED
        Reason::NoReplica
        | Reason::Starting
        | Reason::Overloaded
        | Reason::Draining
        | Reason::WrongZone
        | Reason::UpstreamConnect
        | Reason::UpstreamReset => "14", // UNAVAILABLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_in_every_unit_and_nothing_else_is_one() {
        let table = [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("100000000n", None),
            ("5", None),
            ("m", None),
            ("-5m", None),
            ("5x", None),
        ];
        for (text, expected) in table {
            let mut fields = HeaderMap::new();
            fields.insert(TIMEOUT, HeaderValue::from_static(text));
            assert_eq!(timeout(&fields), expected, "{text}");
        }
    }
}
