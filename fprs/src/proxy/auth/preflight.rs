//! PURE. Preflights of browsers (Fetch §4.8): they carry no credentials, so that a server that asks
//! for some can't be asked itself. Its policy answers, or nobody.

use fprs_config::Cors;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Request, Response, StatusCode};

/// Stands for every name.
const ALL: &str = "*";

/// The request is a preflight.
pub fn is_preflight(request: &Request<()>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What the policy answers; `None`: the page's origin is not allowed, and to it the server looks like
/// one without a policy.
pub fn answer(cors: &Cors, asked: &HeaderMap) -> Option<Response<()>> {
    let origin = asked.get(ORIGIN)?;
    let is_named = |name: &String| name == ALL || name.as_bytes() == origin.as_bytes();
    if !cors.allow_origins.iter().any(is_named) {
        return None;
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields = response.headers_mut();
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    fields.insert(VARY, HeaderValue::from_static(VARIES));
    let method = asked.get(ACCESS_CONTROL_REQUEST_METHOD);
    if let Some(methods) = allowed(&cors.allow_methods, method) {
        fields.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    let names = asked.get(ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(names) = allowed(&cors.allow_headers, names) {
        fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    fields.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.as_secs().into());
    Some(response)
}

const VARIES: &str = "origin, access-control-request-method, access-control-request-headers";

/// The policy's list, or what was asked for where it allows all: a `*` on the wire would leave out
/// `authorization` (Fetch §3.2.3).
fn allowed(names: &[String], asked: Option<&HeaderValue>) -> Option<HeaderValue> {
    if names.iter().any(|name| name == ALL) {
        return asked.cloned();
    }
    if names.is_empty() {
        return None;
    }
    HeaderValue::try_from(names.join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: &'static str) -> HeaderMap {
        let fields = [
            (ORIGIN, origin),
            (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
            (ACCESS_CONTROL_REQUEST_HEADERS, "authorization,x-a"),
        ];
        let value = |(name, value)| (name, HeaderValue::from_static(value));
        fields.into_iter().map(value).collect()
    }

    fn policy(origin: &str, names: &[&str]) -> Cors {
        Cors {
            allow_origins: vec![origin.to_owned()],
            allow_methods: vec!["PUT".to_owned(), "PATCH".to_owned()],
            allow_headers: names.iter().map(|name| (*name).to_owned()).collect(),
            max_age: std::time::Duration::from_secs(60),
        }
    }

    #[test]
    fn an_allowed_origin_is_told_the_policy() {
        let cors = policy("https://a.example", &["authorization"]);
        let response = answer(&cors, &asked("https://a.example")).unwrap();
        assert_eq!(response.status(), 204);
        let fields = response.headers();
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_METHODS], "PUT, PATCH");
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_HEADERS], "authorization");
        assert_eq!(fields[ACCESS_CONTROL_MAX_AGE], "60");
        assert!(answer(&cors, &asked("https://b.example")).is_none());
    }

    #[test]
    fn what_allows_all_allows_what_was_asked_for() {
        let response = answer(&policy("*", &["*"]), &asked("null")).unwrap();
        let fields = response.headers();
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_ORIGIN], "null");
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_HEADERS], "authorization,x-a");
        let none = answer(&policy("*", &[]), &asked("null")).unwrap();
        assert!(!none.headers().contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
    }

    #[test]
    fn only_options_with_both_fields_is_a_preflight() {
        let mut request = Request::new(());
        *request.headers_mut() = asked("null");
        assert!(!is_preflight(&request));
        *request.method_mut() = Method::OPTIONS;
        assert!(is_preflight(&request));
        request.headers_mut().remove(ORIGIN);
        assert!(!is_preflight(&request));
    }
}
