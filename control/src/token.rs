//! Who is let in to the admin port: the plane's own token, and the check in front of every route
//! that needs one.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use fprs_config::View;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::access::Who;
use crate::driver::unix_ms;
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

    /// Looks at every byte given, wherever the first difference is; only the length can be timed.
    pub(crate) fn equals(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let same_length = !own.is_empty() && own.len() == given.len();
        let difference = own
            .iter()
            .zip(given)
            .fold(0_u8, |sum, (a, b)| black_box(sum | (a ^ b)));
        same_length & (difference == 0)
    }
}

/// What `authorization: Bearer …` carries, if there is one such field.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
    let secret = secret.trim_start();
    scheme.eq_ignore_ascii_case("bearer").then_some(secret)
}

/// What the guard lets in by.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) token: AdminToken,
    /// Where the store's tokens are seen; `None`: only the one above is good.
    pub(crate) view: Option<View>,
}

/// Lets a request through whose sender may ask it, and says who that is; answers the others in the
/// language they speak: gRPC status `UNAUTHENTICATED` or `PERMISSION_DENIED`, or 401 or 403 with a
/// problem body.
pub(crate) async fn guard(
    State(Guard { token, view }): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let snapshot = view.map(|view| view.load());
    let who = Who::of(request.headers(), &token, snapshot.as_deref(), unix_ms());
    drop(snapshot);
    let grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    match who {
        Some(who) if who.may(request.method(), request.uri().path()) => {
            request.extensions_mut().insert(who);
            return next.run(request).await;
        }
        Some(_) if grpc => {
            return tonic::Status::permission_denied(NOT_YOURS).into_http::<axum::body::Body>();
        }
        Some(who) => return forbidden(&who).into_response(),
        None if grpc => {
            return tonic::Status::unauthenticated(REMEDY).into_http::<axum::body::Body>();
        }
        None => {}
    }
    let mut answer = Problem::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong")
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

/// The answer to whoever may not do that.
pub(crate) fn forbidden(who: &Who) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        format!("the token `{who}` may not do this"),
    )
    .remedy(NOT_YOURS)
}

const REMEDY: &str = "send `authorization: Bearer <admin token>`; the plane keeps its token in its \
                      data directory, clients take it from FPRS_ADMIN_TOKEN";
const NOT_YOURS: &str = "use a token of a role and a tenant that may; `fprs token create --role` \
                         makes one";

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(token: &str, headers: &[&str]) -> bool {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&map).is_some_and(|given| AdminToken::new(token).equals(given))
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
