//! PURE. Which other origins' pages may call a protected server: what the proxy answers a browser's
//! preflight with, so that no replica is asked.

use std::time::Duration;

use fprs_proto::record as wire;

use super::check::{self, Invalid};
use super::millis;
use crate::limits;

/// A server's answer to preflights (Fetch §3.2). A name that is `*` stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins as browsers send them, e.g. `https://app.example.com`; at least one.
    pub allow_origins: Vec<String>,
    /// Methods beside those that need no permission.
    pub allow_methods: Vec<String>,
    /// Request fields, lower case.
    pub allow_headers: Vec<String>,
    /// How long a browser may believe the answer.
    pub max_age: Duration,
}

impl Cors {
    pub(super) fn check(&self) -> Result<(), Invalid> {
        if self.allow_origins.is_empty() {
            return Err(Invalid::new(
                "cors",
                "has no `allow_origins`; leave `cors` out to allow none",
            ));
        }
        names("allow_origins", &self.allow_origins, is_origin)?;
        names("allow_methods", &self.allow_methods, |name| {
            name.bytes().all(|byte| byte.is_ascii_uppercase())
        })?;
        names("allow_headers", &self.allow_headers, |name| {
            let part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            name.bytes().all(|byte| part(byte) || b"-_".contains(&byte))
        })?;
        check::at_most("cors", self.max_age, limits::CORS_MAX_AGE)
    }

    pub(super) fn from_wire(wire: wire::Cors) -> Self {
        Self {
            allow_origins: wire.allow_origins,
            allow_methods: wire.allow_methods,
            allow_headers: wire.allow_headers,
            max_age: Duration::from_millis(wire.max_age_ms),
        }
    }

    pub(super) fn to_wire(&self) -> wire::Cors {
        wire::Cors {
            allow_origins: self.allow_origins.clone(),
            allow_methods: self.allow_methods.clone(),
            allow_headers: self.allow_headers.clone(),
            max_age_ms: millis(self.max_age),
        }
    }
}

/// Scheme and authority in the one form browsers send: lower case, without a path.
fn is_origin(name: &str) -> bool {
    let Some((scheme, rest)) = name.split_once("://") else {
        return false;
    };
    let lower = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    !scheme.is_empty()
        && !rest.is_empty()
        && !rest.contains(['/', '?', '#', '@', ',', '*'])
        && name.bytes().all(lower)
}

fn names(
    field: &'static str,
    names: &[String],
    is_name: impl Fn(&str) -> bool,
) -> Result<(), Invalid> {
    if names.len() > limits::CORS_NAMES {
        return Err(Invalid::new(
            "cors",
            format!("has more than {} names in `{field}`", limits::CORS_NAMES),
        ));
    }
    let good = |name: &String| {
        name == "*" || (!name.is_empty() && name.len() <= limits::CORS_NAME_BYTES && is_name(name))
    };
    match names.iter().position(|name| !good(name)) {
        None => Ok(()),
        Some(place) => Err(Invalid::new(
            "cors",
            format!(
                "has something else than {} in `{field}`, entry {}",
                match field {
                    "allow_origins" => "an origin like `https://app.example.com`, or `*`,",
                    "allow_methods" => "a method like `PUT`, or `*`,",
                    _ => "a field name in lower case, or `*`,",
                },
                place + 1
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(edit: impl FnOnce(&mut Cors)) -> Result<(), Invalid> {
        let mut cors = Cors {
            allow_origins: vec![
                "https://app.example.com".into(),
                "http://localhost:3000".into(),
            ],
            allow_methods: vec!["PUT".into()],
            allow_headers: vec!["authorization".into(), "x-a_1".into()],
            max_age: Duration::from_secs(60),
        };
        edit(&mut cors);
        cors.check()
    }

    #[test]
    fn a_policy_names_origins_methods_and_fields_as_browsers_write_them() {
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|cors| cors.allow_origins = vec!["*".into()]), Ok(()));
        for bad in [
            "",
            "app.example.com",
            "https://",
            "https://A.b",
            "https://a.b/",
            "https://a b",
        ] {
            assert!(
                with(|cors| cors.allow_origins.push(bad.into())).is_err(),
                "{bad}"
            );
        }
        assert!(with(|cors| cors.allow_origins.clear()).is_err());
        assert!(with(|cors| cors.allow_methods.push("put".into())).is_err());
        assert!(with(|cors| cors.allow_headers.push("X-A".into())).is_err());
        assert!(with(|cors| cors.allow_headers.push("a\r\nb".into())).is_err());
        assert!(with(|cors| cors.max_age = Duration::from_secs(1_000_000)).is_err());
        assert!(with(|cors| cors.allow_methods = vec!["PUT".into(); 65]).is_err());
    }
}
