//! PURE. Headers that a collector knows us by, as a file or OpenTelemetry's variable has them. What is wrong
//! with one is told without its value, which may be a credential.

use fprs_config::Secret;
use http::{HeaderName, HeaderValue};

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// Printable ASCII.
    pub value: Secret,
}

/// Of a file: `name: value`, one a line; empty lines and what begins with `#` are nobody's.
///
/// # Errors
/// The line and what it should be.
pub fn of_file(text: &str) -> Result<Vec<Header>, String> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let header = line.split_once(':').and_then(|(name, value)| {
                let value = value.trim().to_owned();
                header(name.trim(), value)
            });
            header.ok_or_else(|| {
                format!("line {number} is not a header like `authorization: Bearer TOKEN`")
            })
        })
        .collect()
}

/// Of the variable: `name=value`, separated by commas, with `%20` for what can't stand in it.
///
/// # Errors
/// The place and what it should be.
pub(super) fn of_variable(text: &str) -> Result<Vec<Header>, String> {
    let pairs = (1..).zip(text.split(',').map(str::trim));
    let pairs = pairs.filter(|(_, pair)| !pair.is_empty());
    pairs
        .map(|(number, pair)| {
            let header = pair.split_once('=').and_then(|(name, value)| {
                let value = decoded(value.trim())?;
                header(name.trim(), value)
            });
            header.ok_or_else(|| {
                format!("header {number} is not one like `authorization=Bearer%20TOKEN`")
            })
        })
        .collect()
}

/// Names that end so are of binary values, in gRPC.
const BINARY: &str = "-bin";

fn header(name: &str, value: String) -> Option<Header> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let printable = HeaderValue::from_str(&value).ok()?.to_str().is_ok();
    let name = name.as_str();
    let text = printable && !value.is_empty() && !name.ends_with(BINARY);
    text.then(|| Header {
        name: name.to_owned(),
        value: value.into(),
    })
}

/// `%41` is `A`; everything else is itself.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok();
        bytes.push(byte.filter(|_| !digits.starts_with('+'))?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_or_pair_that_is_no_header_is_told_by_its_place_alone() {
        for wrong in [
            "planted",
            "a b: planted",
            "a:",
            "a-bin: planted",
            "a: plan\u{1}ted",
            ": planted",
        ] {
            let told = of_file(&format!("x: y\n{wrong}")).unwrap_err();
            assert!(
                told.contains("line 2") && !told.contains("planted"),
                "{told}"
            );
        }
        for wrong in [
            "planted",
            "a=%zz",
            "a=%+4",
            "a=%4",
            "a=planted%00",
            "=planted",
        ] {
            let told = of_variable(&format!("x=y,{wrong}")).unwrap_err();
            assert!(
                told.contains("header 2") && !told.contains("planted"),
                "{told}"
            );
        }
    }

    #[test]
    fn what_is_encoded_in_the_variable_is_decoded() {
        let read = of_variable(" A=%41%2c%25 ,,b=c=d").unwrap();
        let shown = |header: &Header| format!("{}:{}", header.name, header.value.expose());
        let shown: Vec<String> = read.iter().map(shown).collect();
        assert_eq!(shown, ["a:A,%", "b:c=d"]);
    }
}
