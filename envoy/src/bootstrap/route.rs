//! PURE. Where requests go: to fprs, unless what they ask for is not ours or not clear.

use serde::Serialize;

use super::value::{Extension, Message, Time};
use crate::limits;
use crate::settings::Settings;

#[derive(Debug, Serialize)]
pub(crate) struct RouteConfig {
    name: String,
    virtual_hosts: Vec<VirtualHost>,
}

#[derive(Debug, Serialize)]
pub(crate) struct VirtualHost {
    name: &'static str,
    domains: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_body_buffer_limit: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request_headers_to_add: Vec<Added>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request_headers_to_remove: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    response_headers_to_add: Vec<Added>,
    routes: Vec<Route>,
}

#[derive(Debug, Serialize)]
struct Added {
    header: Field,
    append_action: &'static str,
}

#[derive(Debug, Serialize)]
struct Field {
    key: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Route {
    r#match: Match,
    #[serde(flatten)]
    action: Action,
}

#[derive(Debug, Serialize)]
struct Match {
    #[serde(flatten)]
    path: Path,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<FieldMatch>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Path {
    Path(&'static str),
    Prefix(&'static str),
}

#[derive(Debug, Serialize)]
struct FieldMatch {
    name: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    invert_match: bool,
    string_match: StringMatch,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum StringMatch {
    Exact(&'static str),
    SafeRegex { regex: &'static str },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    DirectResponse(DirectResponse),
    Redirect(Redirect),
    Route(Box<Target>),
}

#[derive(Debug, Serialize)]
struct DirectResponse {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Inline>,
}

#[derive(Debug, Serialize)]
struct Inline {
    inline_string: &'static str,
}

#[derive(Debug, Serialize)]
struct Redirect {
    https_redirect: bool,
    response_code: &'static str,
}

#[derive(Debug, Serialize)]
struct Target {
    cluster: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_policy: Option<RetryPolicy>,
}

#[derive(Debug, Serialize)]
struct RetryPolicy {
    retry_on: &'static str,
    num_retries: u32,
    retry_back_off: BackOff,
    host_selection_retry_max_attempts: u32,
    retry_host_predicate: [Extension<PreviousHosts>; 1],
}

#[derive(Debug, Serialize)]
struct BackOff {
    base_interval: Time,
    max_interval: Time,
}

#[derive(Debug, Serialize)]
struct PreviousHosts {}

impl Message for PreviousHosts {
    const NAME: &'static str =
        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
}

/// All it takes for a request to be one that no program has seen: fprs could not be reached, said so
/// (REFUSED_STREAM, or GOAWAY that leaves the stream out), or was gone before the request was sent.
const SAFE_TO_REPEAT: &str = "connect-failure,refused-stream,reset-before-request";

/// Envoy joins two Host fields with a comma and takes `user@host`: a plain DNS name only.
const HOST: &str = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+";

impl RouteConfig {
    /// Of one certificate's host names; others came by the wrong connection.
    pub(crate) fn edge(settings: &Settings, name: &str, domains: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            virtual_hosts: vec![servers(settings, domains), misdirected()],
        }
    }

    /// Everybody goes to HTTPS.
    pub(crate) fn redirect() -> Self {
        let action = Action::Redirect(Redirect {
            https_redirect: true,
            response_code: "PERMANENT_REDIRECT",
        });
        Self::all("redirect", vec![Route::new("/", Vec::new(), action)])
    }

    /// The probe's: readiness and metrics, and nothing else of the operators' interface.
    pub(crate) fn probe() -> Self {
        let ask = |path| Route {
            r#match: Match {
                path: Path::Path(path),
                headers: vec![method("GET")],
            },
            action: Action::Route(Box::new(Target {
                cluster: "admin",
                timeout: None,
                retry_policy: None,
            })),
        };
        Self::all("probe", vec![ask("/ready"), ask("/stats/prometheus")])
    }

    fn all(name: &'static str, routes: Vec<Route>) -> Self {
        Self {
            name: name.to_owned(),
            virtual_hosts: vec![VirtualHost::new(name, vec!["*".to_owned()], routes)],
        }
    }
}

fn servers(settings: &Settings, domains: Vec<String>) -> VirtualHost {
    let to_fprs = Target {
        cluster: "fprs",
        // Streams have no end; what is silent has `stream_idle_timeout`.
        timeout: Some(Time::NEVER),
        retry_policy: Some(RetryPolicy::safe()),
    };
    let bad_host = FieldMatch {
        name: ":authority",
        invert_match: true,
        string_match: StringMatch::SafeRegex { regex: HOST },
    };
    let routes = vec![
        Route::new("/", vec![method("TRACE")], answer(405, None)),
        Route::new("/", vec![bad_host], answer(400, Some("bad host\n"))),
        Route::new("/", Vec::new(), Action::Route(Box::new(to_fprs))),
    ];
    VirtualHost {
        // The copy that is repeated; Envoy's default of 64 KiB would make larger requests fail 507.
        request_body_buffer_limit: Some(limits::RETRY_BODY),
        request_headers_to_add: vec![Added::set("x-forwarded-host", "%REQ(:AUTHORITY)%")],
        request_headers_to_remove: vec!["x-envoy-external-address"],
        response_headers_to_add: response_fields(settings),
        ..VirtualHost::new("servers", domains, routes)
    }
}

fn response_fields(settings: &Settings) -> Vec<Added> {
    let mut fields = Vec::new();
    if let (true, Some(address)) = (settings.http3, settings.listeners.https) {
        let port = address.port();
        let age = limits::ALT_SVC_AGE;
        fields.push(Added::absent(
            "alt-svc",
            &format!("h3=\":{port}\"; ma={age}"),
        ));
    }
    if settings.hsts {
        let age = limits::HSTS_AGE;
        let value = format!("max-age={age}");
        fields.push(Added::absent("strict-transport-security", &value));
    }
    fields
}

fn misdirected() -> VirtualHost {
    let action = answer(421, Some("misdirected request\n"));
    let routes = vec![Route::new("/", Vec::new(), action)];
    VirtualHost::new("misdirected", vec!["*".to_owned()], routes)
}

fn answer(status: u16, text: Option<&'static str>) -> Action {
    Action::DirectResponse(DirectResponse {
        status,
        body: text.map(|inline_string| Inline { inline_string }),
    })
}

fn method(exact: &'static str) -> FieldMatch {
    FieldMatch {
        name: ":method",
        invert_match: false,
        string_match: StringMatch::Exact(exact),
    }
}

impl VirtualHost {
    const fn new(name: &'static str, domains: Vec<String>, routes: Vec<Route>) -> Self {
        Self {
            name,
            domains,
            request_body_buffer_limit: None,
            request_headers_to_add: Vec::new(),
            request_headers_to_remove: Vec::new(),
            response_headers_to_add: Vec::new(),
            routes,
        }
    }
}

impl Route {
    const fn new(prefix: &'static str, headers: Vec<FieldMatch>, action: Action) -> Self {
        Self {
            r#match: Match {
                path: Path::Prefix(prefix),
                headers,
            },
            action,
        }
    }
}

impl RetryPolicy {
    fn safe() -> Self {
        Self {
            retry_on: SAFE_TO_REPEAT,
            num_retries: limits::RETRIES,
            retry_back_off: BackOff {
                base_interval: Time(limits::RETRY_PAUSE),
                max_interval: Time(10 * limits::RETRY_PAUSE),
            },
            host_selection_retry_max_attempts: limits::OTHER_HOST_TRIES,
            retry_host_predicate: [Extension::new(
                "envoy.retry_host_predicates.previous_hosts",
                PreviousHosts {},
            )],
        }
    }
}

impl Added {
    fn set(key: &'static str, value: &str) -> Self {
        Self::with(key, value, "OVERWRITE_IF_EXISTS_OR_ADD")
    }

    fn absent(key: &'static str, value: &str) -> Self {
        Self::with(key, value, "ADD_IF_ABSENT")
    }

    fn with(key: &'static str, value: &str, append_action: &'static str) -> Self {
        Self {
            header: Field {
                key,
                value: value.to_owned(),
            },
            append_action,
        }
    }
}
