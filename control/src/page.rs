//! The status page: three files in the binary that ask the process's own API, with the token that
//! whoever looks types in. They load nothing from anywhere else, and may not.

use axum::Router;
use axum::http::HeaderName;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

const HTML: &str = include_str!("page/status.html");
const STYLE: &str = include_str!("page/status.css");
const SCRIPT: &str = include_str!("page/status.js");

/// Only what came with it, and never in somebody else's frame: whoever could add a script had the
/// plane.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where the page says what it can ask: only control knows of servers.
const ROLE: &str = "data-role=\"process\"";

/// The page's routes, of control or of another process.
pub(crate) fn router(control: bool) -> Router {
    let role = if control {
        "data-role=\"control\""
    } else {
        ROLE
    };
    let html = HTML.replacen(ROLE, role, 1);
    Router::new()
        .route("/", get(async || guarded(Html(html))))
        .route("/status.css", get(async || file("text/css", STYLE)))
        .route("/status.js", get(async || file("text/javascript", SCRIPT)))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    guarded(([(CONTENT_TYPE, kind)], text))
}

fn guarded(content: impl IntoResponse) -> Response {
    let fields: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // A new build's page must not run an old one's script.
        (CACHE_CONTROL, "no-cache"),
    ];
    (fields, content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser loads before it asks for anything, in bytes.
    const MOST: usize = 100_000;

    #[test]
    fn the_page_is_small_and_says_which_process_it_is_of() {
        assert!(HTML.len() + STYLE.len() + SCRIPT.len() < MOST);
        assert_eq!(HTML.matches(ROLE).count(), 1);
    }

    #[test]
    fn the_page_names_no_other_host() {
        for text in [HTML, STYLE, SCRIPT] {
            let elsewhere = text.split("http").skip(1).find(|rest| {
                let address = rest.strip_prefix('s').unwrap_or(rest).strip_prefix("://");
                address.is_some_and(|address| !address.starts_with("www.w3.org/"))
            });
            assert_eq!(elsewhere, None);
        }
    }
}
