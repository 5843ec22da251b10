//! PURE. The rules that more than one record shares: names, hosts, ids, texts, durations. A broken
//! rule names the field as users write it.

use std::time::Duration;

use crate::limits;

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct Invalid {
    /// The field as users write it, e.g. `max_replicas`.
    pub field: &'static str,
    /// What is wrong with its value.
    pub reason: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self {
            field,
            reason: reason.into(),
        }
    }
}

impl From<Invalid> for String {
    fn from(invalid: Invalid) -> Self {
        invalid.to_string()
    }
}

/// One DNS label: `a-z`, `0-9` and inner hyphens.
pub(crate) fn label(field: &'static str, text: &str) -> Result<(), Invalid> {
    label_reason(text).map_or(Ok(()), |reason| {
        Err(Invalid::new(field, format!("is `{}`: {reason}", cut(text))))
    })
}

/// A label, or nothing.
pub(crate) fn optional_label(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        Ok(())
    } else {
        label(field, text)
    }
}

/// A host name: lower case, at least two labels, no port, no trailing dot, no IP address.
pub(crate) fn host(field: &'static str, text: &str) -> Result<(), Invalid> {
    let reason = if text.is_empty() {
        Some("must not be empty".to_owned())
    } else if text.len() > limits::HOST_BYTES {
        Some(format!(
            "a host name has at most {} characters",
            limits::HOST_BYTES
        ))
    } else if !text.contains('.') {
        Some("a host name has at least one dot, e.g. `api.example.com`".to_owned())
    } else if text.parse::<std::net::IpAddr>().is_ok() {
        Some("is an IP address, not a host name".to_owned())
    } else {
        text.split('.').find_map(label_reason)
    };
    reason.map_or(Ok(()), |reason| {
        Err(Invalid::new(field, format!("is `{}`: {reason}", cut(text))))
    })
}

/// An id that fits a header value: visible ASCII without spaces.
pub(crate) fn id(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(field, "must not be empty"));
    }
    if text.len() > limits::ID_BYTES {
        return Err(Invalid::new(
            field,
            format!("has more than {} characters", limits::ID_BYTES),
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Invalid::new(
            field,
            format!("is {:?}: only visible ASCII, no spaces", cut(text)),
        ));
    }
    Ok(())
}

/// Text of limited size that a C string can hold.
pub(crate) fn text(field: &'static str, text: &str, limit: usize) -> Result<(), Invalid> {
    if text.len() > limit {
        return Err(Invalid::new(
            field,
            format!("has {} bytes; the limit is {limit}", text.len()),
        ));
    }
    if text.contains('\0') {
        return Err(Invalid::new(field, "contains a NUL character"));
    }
    Ok(())
}

/// A duration up to a limit.
pub(crate) fn at_most(
    field: &'static str,
    duration: Duration,
    limit: Duration,
) -> Result<(), Invalid> {
    if duration > limit {
        return Err(Invalid::new(
            field,
            format!(
                "is {}: the limit is {}",
                humantime::format_duration(duration),
                humantime::format_duration(limit)
            ),
        ));
    }
    Ok(())
}

/// A duration above zero, up to a limit.
pub(crate) fn positive(
    field: &'static str,
    duration: Duration,
    limit: Duration,
) -> Result<(), Invalid> {
    if duration.is_zero() {
        return Err(Invalid::new(field, "must be above zero"));
    }
    at_most(field, duration, limit)
}

fn label_reason(label: &str) -> Option<String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if label.is_empty() {
        Some("a label must not be empty".to_owned())
    } else if label.len() > limits::LABEL_BYTES {
        Some(format!(
            "a label has at most {} characters",
            limits::LABEL_BYTES
        ))
    } else if !label.bytes().all(inner) {
        Some("only a-z, 0-9 and `-`, lower case".to_owned())
    } else if label.starts_with('-') || label.ends_with('-') {
        Some("must not begin or end with `-`".to_owned())
    } else {
        None
    }
}

/// A message quotes what it refuses, but not megabytes of it.
fn cut(text: &str) -> &str {
    const QUOTED_CHARS: usize = 80;
    text.char_indices()
        .nth(QUOTED_CHARS)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_a_host_name_can_begin_with() {
        for good in ["a", "0", "hello", "a-b", "a--b", &"x".repeat(63)] {
            assert_eq!(label("name", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "a b",
            "ä",
            &"x".repeat(64),
        ] {
            assert!(label("name", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_a_dns_name_in_its_one_canonical_form() {
        let longest = format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(61));
        assert_eq!(longest.len(), limits::HOST_BYTES);
        for good in ["api.example.com", "a.b", "1.example", &longest] {
            assert_eq!(host("host", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "API.example.com",
            "a.example.com.",
            "a..b",
            ".a.b",
            "a.b:80",
            "127.0.0.1",
            "::1",
            "*.example.com",
            "a_b.example.com",
            &format!("{longest}z"),
        ] {
            assert!(host("host", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_fits_a_header_value() {
        for good in ["r-1", "worker@host:8080/2"] {
            assert_eq!(id("id", good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(id("id", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_message_names_the_field_and_quotes_little() {
        let error = label("name", &"X".repeat(100_000)).unwrap_err().to_string();
        assert!(error.starts_with("`name` is `XXX"), "{error}");
        assert!(error.len() < 200, "{error}");
    }
}
