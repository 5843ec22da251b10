//! PURE. Values of settings as people write them, each checked into what it stands for; a wrong one is
//! bad usage and names its setting.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fprs_config::StoreAddress;
use fprs_control::PublicUrl;
use fprs_forward::Deadlines;
use ipnet::IpNet;

use crate::failure::Failure;

/// The store of that name.
///
/// # Errors
/// No store is called that, or not in this build.
pub fn store(text: &str) -> Result<StoreAddress, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("`--store {text}`: {error}")))
}

pub(super) fn address(name: &str, text: &str) -> Result<SocketAddr, Failure> {
    text.parse().map_err(|_| {
        Failure::usage(format!(
            "`--{name} {text}`: not an address like 127.0.0.1:8080"
        ))
    })
}

pub(super) fn public_url(text: &str) -> Result<PublicUrl, Failure> {
    let (scheme, port) = match text.split_once(':') {
        Some((scheme, port)) => (scheme, port.parse().ok()),
        None if text == "https" => (text, Some(443)),
        None => (text, Some(80)),
    };
    match port {
        Some(port) if ["http", "https"].contains(&scheme) => Ok(PublicUrl {
            scheme: scheme.to_owned(),
            port,
        }),
        _ => Err(Failure::usage(format!(
            "`--public-url {text}`: neither http nor https, alone or with a port like https:8443; \
             the zone is the rest of every URL"
        ))),
    }
}

/// One DNS label.
pub(super) fn cell(text: &str) -> Result<String, Failure> {
    if !is_label(text) {
        return Err(Failure::usage(format!(
            "--cell `{text}` is no name: lower-case letters, digits and inner hyphens"
        )));
    }
    Ok(text.to_owned())
}

/// A DNS suffix: labels of letters, digits and hyphens.
pub(super) fn zone(text: &str) -> Result<String, Failure> {
    if text.len() <= 189 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err(Failure::usage(format!(
        "`--zone {text}`: not a DNS suffix like us-west.region.example, in lower case and without a \
         dot at the ends"
    )))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

pub(super) fn networks(name: &str, texts: &[String]) -> Result<Vec<IpNet>, Failure> {
    let network = |text: &String| {
        text.parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| {
                Failure::usage(format!("`--{name} {text}`: not a network like 10.0.0.0/8"))
            })
    };
    texts.iter().map(network).collect()
}

pub(super) fn positive<T: Default + PartialEq>(name: &str, number: T) -> Result<T, Failure> {
    if number == T::default() {
        return Err(Failure::usage(format!("`--{name} 0`: must be at least 1")));
    }
    Ok(number)
}

pub(super) fn duration(name: &str, text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text)
        .map_err(|_| Failure::usage(format!("`--{name} {text}`: not a duration like 30s")))
}

/// A number of bytes, with or without a unit of 1,024.
pub(super) fn bytes(name: &str, text: Option<&str>, usual: usize) -> Result<usize, Failure> {
    let Some(text) = text else {
        return Ok(usual);
    };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: Option<usize> = match text.get(digits.len()..) {
        Some("" | "B") => Some(1),
        Some("KiB") => Some(1 << 10),
        Some("MiB") => Some(1 << 20),
        Some("GiB") => Some(1 << 30),
        Some(_) | None => None,
    };
    let number: Option<usize> = digits.trim_end().parse().ok();
    match unit
        .zip(number)
        .map(|(unit, number)| unit.checked_mul(number))
    {
        Some(Some(limit)) if limit >= LEAST_BUFFER => Ok(limit),
        Some(Some(_)) => Err(Failure::usage(format!(
            "`--{name} {text}`: must be at least 1MiB, or ordinary exchanges would be ended"
        ))),
        Some(None) | None => Err(Failure::usage(format!(
            "`--{name} {text}`: not a size like 512MiB"
        ))),
    }
}

/// One stalled exchange holds up to half of this.
const LEAST_BUFFER: usize = 1 << 20;

/// `name=duration` each; a deadline of nothing would refuse everybody.
pub(super) fn deadlines(name: &str, texts: &[String]) -> Result<Deadlines, Failure> {
    let mut deadlines = Deadlines::default();
    for text in texts {
        let set = text.split_once('=').is_some_and(|(which, after)| {
            humantime::parse_duration(after)
                .is_ok_and(|after| !after.is_zero() && deadlines.set(which, after))
        });
        if !set {
            return Err(Failure::usage(format!(
                "`--{name} {text}`: not a deadline like idle=2m; there are {}",
                Deadlines::NAMES.join(", ")
            )));
        }
    }
    Ok(deadlines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        let size = |text| bytes("buffer-limit", Some(text), 0).ok();
        assert_eq!(size("2097152"), Some(2 << 20));
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("2 GiB"), Some(2 << 30));
        for wrong in ["", "MiB", "1.5GiB", "-1", "1023KiB", "99999999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
