//! `grpc-timeout`: what is taken for a deadline is of the specification's form and no longer than it
//! says.

use std::time::Duration;

use fprs_forward::grpc;
use http::{HeaderMap, HeaderValue};

/// The bytes are the field's value.
pub fn check(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let mut fields = HeaderMap::new();
    fields.insert("grpc-timeout", value);
    assert_eq!(grpc::timeout(&fields), expected(data));
}

fn expected(data: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(data).ok()?;
    let amount = text.get(..text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&amount.len()) || !amount.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u32 = amount.parse().ok()?;
    let unit = match text.bytes().last()? {
        b'H' => Duration::from_secs(3_600),
        b'M' => Duration::from_secs(60),
        b'S' => Duration::from_secs(1),
        b'm' => Duration::from_millis(1),
        b'u' => Duration::from_micros(1),
        b'n' => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit * amount)
}
