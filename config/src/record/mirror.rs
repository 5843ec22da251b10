//! PURE. A mirror: which of a server's requests are copied to another server, the shadow, what the
//! copies may cost, and what of the two answers is compared. A split is the same with nothing copied:
//! the requests themselves go there. Whose requests is decided by a hash that anybody can compute: see
//! [`Mirror::bucket`].

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use fprs_proto::record as wire;

use super::check::{self, Invalid};
use super::millis;
use crate::limits;

/// What of a request decides whether it is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorKey {
    /// `x-request-id`: a share of requests, whoever sends them.
    Request,
    /// The client's IP address.
    Client,
    /// The id of the credential.
    Token,
    /// A header's value; a request without it is not copied.
    Header(String),
    /// A cookie's value; likewise.
    Cookie(String),
}

/// Copies of a server's requests for another server; where it [`serves`](Self::serves), the requests
/// themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// A DNS label.
    pub name: String,
    /// Whose requests are copied.
    pub server: Arc<str>,
    /// Who gets the copies: another server, or the same one where answers are compared, which tells
    /// how much they differ by themselves.
    pub shadow: Arc<str>,
    /// How many of 10,000 buckets are copied; at least one.
    pub basis_points: u32,
    /// What decides.
    pub key: MirrorKey,
    /// Mirrors of one salt and one key take the same callers; empty is a salt too.
    pub salt: String,
    /// Nothing is copied now.
    pub paused: bool,
    /// Bytes one copy may hold of its request, in one proxy.
    pub exchange_bytes: usize,
    /// Copies in flight at a time, in one proxy.
    pub copies: u32,
    /// How long a copy may take.
    pub deadline: Duration,
    /// What is compared; `None`: the shadow's answers are thrown away.
    pub compare: Option<Compare>,
    /// What is written down; `None`: nothing.
    pub capture: Option<Capture>,
    /// A split: requests go to the shadow instead of the server. Nothing is copied, and what limits
    /// copies is zero, so that a build that knows no splits refuses the record and copies nothing.
    pub serves: bool,
}

/// What is written down of requests that are copied, and of their answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Names of headers, lower case; no others. None of what gives access.
    pub headers: Vec<String>,
    /// Paths of JSON values that are left out, as in [`Compare::ignore`].
    pub redact: Vec<String>,
    /// With what follows the `?` of the target.
    pub query: bool,
}

/// What of two answers has to be the same, beside status and body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compare {
    /// Names of headers, lower case.
    pub headers: Vec<String>,
    /// Paths of JSON values that may differ, like `/choices/*/id`; `*` stands for any one step.
    pub ignore: Vec<String>,
}

impl MirrorKey {
    /// The key as users write it: `request`, `client`, `token`, `header:NAME` or `cookie:NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => match text {
                "request" => Some(Self::Request),
                "client" => Some(Self::Client),
                "token" => Some(Self::Token),
                _ => None,
            },
            Some(("header", name)) => Some(Self::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) => Some(Self::Cookie(name.to_owned())),
            Some(_) => None,
        }
    }

    /// The reverse of [`parse`](Self::parse).
    pub fn text(&self) -> String {
        match self {
            Self::Request => "request".to_owned(),
            Self::Client => "client".to_owned(),
            Self::Token => "token".to_owned(),
            Self::Header(name) => format!("header:{name}"),
            Self::Cookie(name) => format!("cookie:{name}"),
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Request | Self::Client | Self::Token => Ok(()),
            Self::Header(name) => field_name("key", name),
            Self::Cookie(name) => token("key", name),
        }
    }
}

impl Mirror {
    /// A mirror of all requests, with the usual limits, that compares nothing.
    pub fn new(name: &str, server: &str, shadow: &str) -> Self {
        Self {
            name: name.to_owned(),
            server: server.into(),
            shadow: shadow.into(),
            basis_points: limits::BASIS_POINTS,
            key: MirrorKey::Request,
            salt: String::new(),
            paused: false,
            exchange_bytes: limits::MIRROR_EXCHANGE_BYTES,
            copies: limits::MIRROR_COPIES,
            deadline: limits::MIRROR_DEADLINE,
            compare: None,
            capture: None,
            serves: false,
        }
    }

    /// A split that sends all requests to the variant.
    pub fn split(name: &str, server: &str, variant: &str) -> Self {
        Self {
            exchange_bytes: 0,
            copies: 0,
            deadline: Duration::ZERO,
            serves: true,
            ..Self::new(name, server, variant)
        }
    }

    /// Its shadow is the server itself: what differs is noise.
    pub fn is_baseline(&self) -> bool {
        self.server == self.shadow
    }

    /// Where a key's value falls, below 10,000: the first eight bytes of SHA-256 over the salt, a NUL
    /// and the value, as a big-endian number, modulo 10,000. The same on every proxy, for ever.
    pub fn bucket(salt: &str, value: &[u8]) -> u32 {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(salt.as_bytes());
        context.update(&[0]);
        context.update(value);
        let digest = context.finish();
        let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
        let bucket = u64::from_be_bytes(first) % u64::from(limits::BASIS_POINTS);
        u32::try_from(bucket).unwrap_or_default()
    }

    /// Whoever has the key is copied: its value decides nothing.
    pub const fn takes_all(&self) -> bool {
        self.basis_points >= limits::BASIS_POINTS
    }

    /// A caller whose key has that value is copied.
    pub fn takes(&self, value: &[u8]) -> bool {
        self.takes_all() || Self::bucket(&self.salt, value) < self.basis_points
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::label("name", &self.name)?;
        check::label("server", &self.server)?;
        check::label("shadow", &self.shadow)?;
        if self.is_baseline() && (self.serves || self.compare.is_none()) {
            let reason = "is the server itself, which only a mirror that compares may have";
            return Err(Invalid::new("shadow", reason));
        }
        within(
            "percent",
            u64::from(self.basis_points),
            u64::from(limits::BASIS_POINTS),
            "hundredths",
        )?;
        self.key.check()?;
        check::text("salt", &self.salt, limits::SALT_BYTES)?;
        if self.serves {
            return self.check_split();
        }
        within(
            "exchange_bytes",
            self.exchange_bytes as u64,
            limits::MIRROR_EXCHANGE_BYTES_MAX as u64,
            "bytes",
        )?;
        within(
            "copies",
            u64::from(self.copies),
            u64::from(limits::MIRROR_COPIES_MAX),
            "copies",
        )?;
        check::positive("deadline", self.deadline, limits::DURATION)?;
        self.compare.as_ref().map_or(Ok(()), Compare::check)?;
        self.capture.as_ref().map_or(Ok(()), Capture::check)
    }

    fn check_split(&self) -> Result<(), Invalid> {
        let copies = self.exchange_bytes > 0 || self.copies > 0 || !self.deadline.is_zero();
        if copies || self.compare.is_some() || self.capture.is_some() {
            return Err(Invalid::new("serves", "is set, and it is to copy as well"));
        }
        Ok(())
    }

    pub(super) fn try_from_wire(wire: wire::Mirror) -> Result<Self, String> {
        let name = wire.key_name.clone();
        let key = match wire.key() {
            wire::MirrorKey::Unspecified => {
                return Err(format!("`key` has no value this build knows: {}", wire.key));
            }
            wire::MirrorKey::Request => MirrorKey::Request,
            wire::MirrorKey::Client => MirrorKey::Client,
            wire::MirrorKey::Token => MirrorKey::Token,
            wire::MirrorKey::Header => MirrorKey::Header(name),
            wire::MirrorKey::Cookie => MirrorKey::Cookie(name),
        };
        let mirror = Self {
            name: wire.name,
            server: wire.server.into(),
            shadow: wire.shadow.into(),
            basis_points: wire.basis_points,
            key,
            salt: wire.salt,
            paused: wire.paused,
            exchange_bytes: usize::try_from(wire.exchange_bytes).unwrap_or(usize::MAX),
            copies: wire.copies,
            deadline: Duration::from_millis(wire.deadline_ms),
            compare: wire.compare.map(|compare| Compare {
                headers: compare.headers,
                ignore: compare.ignore,
            }),
            capture: wire.capture.map(|capture| Capture {
                headers: capture.headers,
                redact: capture.redact,
                query: capture.query,
            }),
            serves: wire.serves,
        };
        mirror.check()?;
        Ok(mirror)
    }

    pub(super) fn to_wire(&self) -> wire::Mirror {
        let (key, name) = match &self.key {
            MirrorKey::Request => (wire::MirrorKey::Request, ""),
            MirrorKey::Client => (wire::MirrorKey::Client, ""),
            MirrorKey::Token => (wire::MirrorKey::Token, ""),
            MirrorKey::Header(name) => (wire::MirrorKey::Header, name.as_str()),
            MirrorKey::Cookie(name) => (wire::MirrorKey::Cookie, name.as_str()),
        };
        wire::Mirror {
            name: self.name.clone(),
            server: self.server.to_string(),
            shadow: self.shadow.to_string(),
            basis_points: self.basis_points,
            key: key.into(),
            key_name: name.to_owned(),
            salt: self.salt.clone(),
            paused: self.paused,
            exchange_bytes: self.exchange_bytes as u64,
            copies: self.copies,
            deadline_ms: millis(self.deadline),
            compare: self.compare.as_ref().map(|compare| wire::Compare {
                headers: compare.headers.clone(),
                ignore: compare.ignore.clone(),
            }),
            capture: self.capture.as_ref().map(|capture| wire::Capture {
                headers: capture.headers.clone(),
                redact: capture.redact.clone(),
                query: capture.query,
            }),
            serves: self.serves,
        }
    }
}

impl Compare {
    fn check(&self) -> Result<(), Invalid> {
        field_names("headers", &self.headers)?;
        paths("ignore", &self.ignore)
    }
}

impl Capture {
    fn check(&self) -> Result<(), Invalid> {
        field_names("capture_headers", &self.headers)?;
        let secret = |name: &&String| is_secret(name);
        if let Some(secret) = self.headers.iter().find(secret) {
            let reason = format!("has `{secret}`, which gives access and is never written down");
            return Err(Invalid::new("capture_headers", reason));
        }
        paths("redact", &self.redact)
    }
}

/// Whether a header gives access, by the names that HTTP and the common APIs have for those. Copies don't
/// carry them, and captures don't have them.
pub fn is_secret(name: &str) -> bool {
    matches!(
        name,
        "api-key"
            | "authorization"
            | "cookie"
            | "fprs-secret"
            | "proxy-authorization"
            | "set-cookie"
            | "x-api-key"
            | "x-goog-api-key"
    )
}

/// Why WebSockets are not copied, for whoever looks at a mirror.
pub const NO_WEBSOCKETS: &str = "what a client says on a WebSocket depends on what it was answered; a \
     shadow that answers otherwise would be told what makes no sense";

fn few(field: &'static str, names: &[String]) -> Result<(), Invalid> {
    if names.len() <= limits::COMPARE_NAMES {
        return Ok(());
    }
    let reason = format!("has more than {} names", limits::COMPARE_NAMES);
    Err(Invalid::new(field, reason))
}

fn field_names(field: &'static str, names: &[String]) -> Result<(), Invalid> {
    few(field, names)?;
    names.iter().try_for_each(|name| field_name(field, name))
}

fn paths(field: &'static str, paths: &[String]) -> Result<(), Invalid> {
    few(field, paths)?;
    for path in paths {
        check::text(field, path, limits::JSON_PATH_BYTES)?;
        if !path.starts_with('/') {
            let reason = format!("has `{path}`: a path begins with `/`, like `/usage/*`");
            return Err(Invalid::new(field, reason));
        }
    }
    Ok(())
}

/// A header's name in its one canonical form.
fn field_name(field: &'static str, name: &str) -> Result<(), Invalid> {
    token(field, name)?;
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Invalid::new(field, "has a header's name in upper case"));
    }
    Ok(())
}

/// RFC 9110 §5.6.2.
fn token(field: &'static str, text: &str) -> Result<(), Invalid> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > limits::FIELD_NAME_BYTES || !text.bytes().all(is_token) {
        return Err(Invalid::new(
            field,
            format!(
                "has no name of 1 to {} characters that headers and cookies can have",
                limits::FIELD_NAME_BYTES
            ),
        ));
    }
    Ok(())
}

fn within(field: &'static str, value: u64, most: u64, unit: &str) -> Result<(), Invalid> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    let reason = format!("is {value}: must be 1 to {most} {unit}");
    Err(Invalid::new(field, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u32) -> String {
        format!("user-{number}")
    }

    #[test]
    fn five_percent_of_200_000_users_are_five_percent_and_always_the_same() {
        let mirror = Mirror {
            basis_points: 500,
            ..Mirror::new("m", "a", "b")
        };
        for salt in ["", "one", "two"] {
            let mirror = Mirror {
                salt: salt.to_owned(),
                ..mirror.clone()
            };
            let wire = mirror.to_wire();
            let elsewhere = Mirror::try_from_wire(wire).unwrap();
            let taken: Vec<_> = (0..200_000)
                .filter(|number| mirror.takes(user(*number).as_bytes()))
                .collect();
            let percent = taken.len() as f64 / 2_000.0;
            assert!(
                (percent - 5.0).abs() < 0.3,
                "{percent} % with salt {salt:?}"
            );
            let again = (0..200_000).filter(|number| elsewhere.takes(user(*number).as_bytes()));
            assert!(again.eq(taken), "the same users on every proxy");
        }
    }

    #[test]
    fn buckets_are_what_anybody_else_computes() {
        for (salt, value, bucket) in BUCKETS {
            assert_eq!(
                Mirror::bucket(salt, value.as_bytes()),
                bucket,
                "{salt} {value}"
            );
        }
    }

    /// By Python: `int(sha256(salt + b"\0" + value).hexdigest()[:16], 16) % 10000`.
    const BUCKETS: [(&str, &str, u32); 4] = [
        ("", "", 3192),
        ("", "user-1", 7032),
        ("salt", "user-1", 2642),
        ("", "zürich", 3266),
    ];

    #[test]
    fn whoever_is_taken_stays_taken_when_the_share_grows() {
        let of = |basis_points| Mirror {
            basis_points,
            ..Mirror::new("m", "a", "b")
        };
        let (few, more) = (of(500), of(2_000));
        let taken = (0..10_000).filter(|number| few.takes(user(*number).as_bytes()));
        assert!(
            taken
                .into_iter()
                .all(|number| more.takes(user(number).as_bytes()))
        );
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        for text in ["request", "client", "token", "header:x-user", "cookie:Sid"] {
            assert_eq!(MirrorKey::parse(text).unwrap().text(), text);
        }
        assert_eq!(
            MirrorKey::parse("header:X-User").unwrap().text(),
            "header:x-user"
        );
        for none in ["", "user", "header", "query:a"] {
            assert_eq!(MirrorKey::parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_split_copies_nothing_and_a_build_that_knows_none_refuses_it() {
        let split = Mirror::split("s", "a", "b");
        assert_eq!(Mirror::try_from_wire(split.to_wire()), Ok(split.clone()));
        let unknowing = wire::Mirror {
            serves: false,
            ..split.to_wire()
        };
        let refused = Mirror::try_from_wire(unknowing).unwrap_err();
        assert!(refused.contains("`exchange_bytes`"), "{refused}");
        for wrong in [
            Mirror {
                copies: 1,
                ..split.clone()
            },
            Mirror {
                compare: Some(Compare::default()),
                ..split.clone()
            },
            Mirror {
                shadow: "a".into(),
                ..split
            },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_mirror_to_the_server_itself_compares() {
        let mut mirror = Mirror::new("m", "a", "a");
        assert!(mirror.check().is_err());
        mirror.compare = Some(Compare::default());
        assert!(mirror.check().is_ok() && mirror.is_baseline());
    }
}
