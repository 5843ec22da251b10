//! PURE. A manifest as it is written, in TOML and JSON: every key optional, durations as words.
//! Turning it into a [`Manifest`] fills in the defaults and checks everything.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::record::{Auth, Cors, Invalid, Scaling, Version, WebSocketAuth};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    name: Option<String>,
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    h2: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    auth: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    auth_websocket: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<RawCors>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_concurrency: Option<f64>,
    min_replicas: Option<u32>,
    max_replicas: Option<u32>,
    buffer_replicas: Option<u32>,
    scaleup_window: Option<String>,
    scaledown_window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaleup_rate_limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaledown_rate_limit: Option<u32>,
    startup_timeout: Option<String>,
    exit_grace_period: Option<String>,
    hold: Option<String>,
    request_timeout: Option<String>,
    domains: Vec<String>,
    env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    routing_region: Option<String>,
    compute_region: Option<String>,
    egress: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawCors {
    allow_origins: Vec<String>,
    allow_methods: Vec<String>,
    allow_headers: Vec<String>,
    max_age: Option<String>,
}

/// Every key a manifest may have.
pub(super) const KEYS: [&str; 26] = [
    "name",
    "command",
    "image",
    "h2",
    "tenant",
    "auth",
    "auth_websocket",
    "cors",
    "target_concurrency",
    "min_replicas",
    "max_replicas",
    "buffer_replicas",
    "scaleup_window",
    "scaledown_window",
    "scaleup_rate_limit",
    "scaledown_rate_limit",
    "startup_timeout",
    "exit_grace_period",
    "hold",
    "request_timeout",
    "domains",
    "env",
    "working_dir",
    "routing_region",
    "compute_region",
    "egress",
];

pub(super) const DEFAULT_MAX_REPLICAS: u32 = 4;
pub(super) const DEFAULT_SCALEDOWN_WINDOW: Duration = Duration::from_secs(60);
const DEFAULT_STARTUP_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_EXIT_GRACE: Duration = Duration::from_secs(10);
/// Browsers' own default is 5 s, a round trip more for every few clicks.
const DEFAULT_CORS_MAX_AGE: Duration = Duration::from_secs(600);
const DEFAULT_REGION: &str = "local";
/// The word for "no limit", where a key allows that.
pub(super) const NONE: &str = "none";

impl TryFrom<Raw> for Manifest {
    type Error = Invalid;

    fn try_from(raw: Raw) -> Result<Self, Invalid> {
        let region = |text: Option<String>| text.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let manifest = Self {
            name: raw
                .name
                .ok_or_else(|| Invalid::new("name", "is missing"))?
                .into(),
            version: Version {
                generation: 1,
                command: raw.command,
                image: raw.image.unwrap_or_default(),
                h2: raw.h2,
                env: raw.env,
                startup_timeout: duration(
                    "startup_timeout",
                    raw.startup_timeout,
                    DEFAULT_STARTUP_TIMEOUT,
                )?,
                exit_grace: duration(
                    "exit_grace_period",
                    raw.exit_grace_period,
                    DEFAULT_EXIT_GRACE,
                )?,
                working_dir: raw.working_dir.unwrap_or_default(),
            },
            scaling: Scaling {
                target_concurrency: raw.target_concurrency,
                min_replicas: raw.min_replicas.unwrap_or(0),
                max_replicas: raw.max_replicas.unwrap_or(DEFAULT_MAX_REPLICAS),
                buffer_replicas: raw.buffer_replicas.unwrap_or(0),
                scaleup_window: duration("scaleup_window", raw.scaleup_window, Duration::ZERO)?,
                scaledown_window: duration(
                    "scaledown_window",
                    raw.scaledown_window,
                    DEFAULT_SCALEDOWN_WINDOW,
                )?,
                scaleup_rate_limit: raw.scaleup_rate_limit,
                scaledown_rate_limit: raw.scaledown_rate_limit,
                paused: false,
            },
            tenant: raw.tenant.unwrap_or_default(),
            auth: auth(raw.auth.as_deref())?,
            cors: raw.cors.map(Cors::try_from).transpose()?,
            websocket_auth: ways(&raw.auth_websocket)?,
            hold: duration("hold", raw.hold, Duration::ZERO)?,
            request_timeout: optional_duration("request_timeout", raw.request_timeout)?,
            routing_region: region(raw.routing_region),
            compute_region: region(raw.compute_region),
            egress: raw.egress.unwrap_or_default(),
            domains: raw.domains.into_iter().map(Into::into).collect(),
        };
        manifest.check()?;
        Ok(manifest)
    }
}

impl From<Manifest> for Raw {
    fn from(manifest: Manifest) -> Self {
        let Manifest {
            name,
            version,
            scaling,
            tenant,
            auth,
            cors,
            websocket_auth,
            hold,
            request_timeout,
            routing_region,
            compute_region,
            egress,
            domains,
        } = manifest;
        Self {
            name: Some(name.to_string()),
            command: version.command,
            image: (!version.image.is_empty()).then_some(version.image),
            h2: version.h2,
            tenant: (!tenant.is_empty()).then_some(tenant),
            auth: Some(auth_word(auth).to_owned()),
            auth_websocket: websocket_auth.into_iter().map(way_word).collect(),
            cors: cors.map(RawCors::from),
            target_concurrency: scaling.target_concurrency,
            min_replicas: Some(scaling.min_replicas),
            max_replicas: Some(scaling.max_replicas),
            buffer_replicas: Some(scaling.buffer_replicas),
            scaleup_window: Some(words(scaling.scaleup_window)),
            scaledown_window: Some(words(scaling.scaledown_window)),
            scaleup_rate_limit: scaling.scaleup_rate_limit,
            scaledown_rate_limit: scaling.scaledown_rate_limit,
            startup_timeout: Some(words(version.startup_timeout)),
            exit_grace_period: Some(words(version.exit_grace)),
            hold: Some(words(hold)),
            request_timeout: Some(request_timeout.map_or_else(|| NONE.to_owned(), words)),
            domains: domains.iter().map(ToString::to_string).collect(),
            env: version.env,
            working_dir: (!version.working_dir.is_empty()).then_some(version.working_dir),
            routing_region: Some(routing_region),
            compute_region: Some(compute_region),
            egress: Some(egress),
        }
    }
}

impl TryFrom<RawCors> for Cors {
    type Error = Invalid;

    fn try_from(raw: RawCors) -> Result<Self, Invalid> {
        Ok(Self {
            allow_origins: raw.allow_origins,
            allow_methods: raw.allow_methods,
            allow_headers: raw.allow_headers,
            max_age: duration("cors", raw.max_age, DEFAULT_CORS_MAX_AGE)?,
        })
    }
}

impl From<Cors> for RawCors {
    fn from(cors: Cors) -> Self {
        Self {
            allow_origins: cors.allow_origins,
            allow_methods: cors.allow_methods,
            allow_headers: cors.allow_headers,
            max_age: Some(words(cors.max_age)),
        }
    }
}

fn ways(words: &[String]) -> Result<Vec<WebSocketAuth>, Invalid> {
    let way = |word: &String| match word.as_str() {
        "subprotocol" => Ok(WebSocketAuth::Subprotocol),
        "query" => Ok(WebSocketAuth::Query),
        other => Err(Invalid::new(
            "auth_websocket",
            format!("has `{other}`: may have `subprotocol` and `query`"),
        )),
    };
    words.iter().map(way).collect()
}

fn way_word(way: WebSocketAuth) -> String {
    match way {
        WebSocketAuth::Subprotocol => "subprotocol".to_owned(),
        WebSocketAuth::Query => "query".to_owned(),
    }
}

/// Callers are checked unless the manifest opens the server to everybody.
fn auth(text: Option<&str>) -> Result<Auth, Invalid> {
    match text {
        Some("public") => Ok(Auth::Public),
        None | Some("required") => Ok(Auth::Required),
        Some(other) => Err(Invalid::new(
            "auth",
            format!("is `{other}`: must be `public` or `required`"),
        )),
    }
}

const fn auth_word(auth: Auth) -> &'static str {
    match auth {
        Auth::Public => "public",
        Auth::Required => "required",
    }
}

fn optional_duration(
    field: &'static str,
    text: Option<String>,
) -> Result<Option<Duration>, Invalid> {
    match text.as_deref() {
        None | Some(NONE) => Ok(None),
        Some(_) => duration(field, text, Duration::ZERO).map(Some),
    }
}

pub(super) fn duration(
    field: &'static str,
    text: Option<String>,
    default: Duration,
) -> Result<Duration, Invalid> {
    let Some(text) = text else {
        return Ok(default);
    };
    let duration = humantime::parse_duration(&text).map_err(|error| {
        Invalid::new(
            field,
            format!("is `{text}`: {error}; write it like `10s`, `500ms` or `1m 30s`"),
        )
    })?;
    if duration.subsec_nanos() % NANOS_PER_MILLI != 0 {
        return Err(Invalid::new(
            field,
            format!("is `{text}`: nothing finer than a millisecond is kept"),
        ));
    }
    Ok(duration)
}

const NANOS_PER_MILLI: u32 = 1_000_000;

pub(super) fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
