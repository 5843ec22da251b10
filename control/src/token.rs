//! The admin token: what it is compared with, and the check in front of every route that needs it.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::problem::Problem;

/// The secret behind the admin port. Printed as `AdminToken(…)`, compared in constant time.
#[derive(Clone)]
pub struct AdminToken(Arc<str>);

impl AdminToken {
    /// A token of that text, without `Bearer `. An empty one would let everybody in who sends an
    /// empty header, so it matches nothing.
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    /// Whether the headers carry `authorization: Bearer <this token>`.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some((scheme, secret)) = value.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer") && self.equals(secret.trim_start())
    }

    /// Looks at every byte given, wherever the first difference is; only the length can be timed.
    fn equals(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let same_length = !own.is_empty() && own.len() == given.len();
        let difference = own
            .iter()
            .zip(given)
            .fold(0_u8, |sum, (a, b)| black_box(sum | (a ^ b)));
        same_length & (difference == 0)
    }
}

/// Lets a request through that carries the token; answers the others in the language they speak:
/// gRPC status `UNAUTHENTICATED`, or 401 with a problem body.
pub(crate) async fn guard(
    State(token): State<AdminToken>,
    request: Request,
    next: Next,
) -> Response {
    if token.admits(request.headers()) {
        return next.run(request).await;
    }
    let grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        return tonic::Status::unauthenticated(REMEDY).into_http::<axum::body::Body>();
    }
    let mut answer = Problem::new(
        StatusCode::UNAUTHORIZED,
        "the admin token is missing or wrong",
    )
    .remedy(REMEDY)
    .into_response();
    answer.headers_mut().insert(
        http::header::WWW_AUTHENTICATE,
        http::HeaderValue::from_static("Bearer"),
    );
    answer
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

const REMEDY: &str = "send `authorization: Bearer <admin token>`; the plane keeps its token in its \
                      data directory, clients take it from FPRS_ADMIN_TOKEN";

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(token: &str, headers: &[&str]) -> bool {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(AUTHORIZATION, value.parse().unwrap());
        }
        AdminToken::new(token).admits(&map)
    }

    #[test]
    fn only_one_header_with_the_whole_token_is_let_in() {
        assert!(admits("s3cret", &["Bearer s3cret"]));
        assert!(admits("s3cret", &["bearer s3cret"]));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer S3cret",
            "Bearer ",
            "Bearer",
            "s3cret",
            "Basic s3cret",
            "Bearer s3cret ",
        ] {
            assert!(!admits("s3cret", &[wrong]), "{wrong}");
        }
        assert!(!admits("s3cret", &[]));
        assert!(!admits("s3cret", &["Bearer s3cret", "Bearer s3cret"]));
    }

    #[test]
    fn an_empty_token_lets_nobody_in() {
        assert!(!admits("", &["Bearer "]));
        assert!(!admits("", &[]));
    }

    #[test]
    fn a_token_is_never_printed() {
        assert_eq!(format!("{:?}", AdminToken::new("s3cret")), "AdminToken(…)");
    }
}
