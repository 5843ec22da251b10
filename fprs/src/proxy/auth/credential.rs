//! PURE. The one credential of a request, and its removal. Two of a kind are none: programs and
//! proxies would differ on which of them counts.

use std::fmt;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// The id of a token.
pub const KEY: HeaderName = HeaderName::from_static("fprs-key");

/// Its secret.
pub const SECRET: HeaderName = HeaderName::from_static("fprs-secret");

/// What a request carries. Printed without what it holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// A token: `<id>.<secret>`, or one in each of two fields.
    Token {
        /// Says which record.
        id: &'a str,
        /// Proves it.
        secret: &'a [u8],
    },
    /// Three parts with dots between them: a JWT, perhaps.
    Jwt(&'a str),
}

/// Where a request's credential is, for its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `fprs-key` and `fprs-secret`.
    Pair,
    /// `authorization`.
    Authorization,
}

/// Longest credential: what RFC 7519 tokens with many claims need, and one read of a head has.
pub const CREDENTIAL_BYTES: usize = 8 * 1024;

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token { .. } => "Token(…)",
            Self::Jwt(_) => "Jwt(…)",
        })
    }
}

impl<'a> Credential<'a> {
    /// The credential in a request's fields: the pair if there is any of it, for then
    /// `authorization` is the program's own; else `authorization`.
    pub fn of(fields: &'a HeaderMap) -> Option<(Self, Place)> {
        if fields.contains_key(&KEY) || fields.contains_key(&SECRET) {
            let id = text(one(fields, &KEY)?)?;
            let secret = one(fields, &SECRET)?.as_bytes();
            let whole = id.len().saturating_add(secret.len()) <= CREDENTIAL_BYTES;
            return whole.then_some((Self::Token { id, secret }, Place::Pair));
        }
        let value = text(one(fields, &AUTHORIZATION)?)?;
        let (scheme, rest) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Self::read(rest.trim_start_matches(' ')).map(|found| (found, Place::Authorization))
    }

    /// A credential by itself, as it stands after `Bearer`. Its characters are not looked at: what has
    /// others than tokens and JWTs have is none that we know.
    pub fn read(text: &'a str) -> Option<Self> {
        if text.len() > CREDENTIAL_BYTES {
            return None;
        }
        let (id, secret) = text.split_once('.')?;
        // Bytes are faster looked through than characters, and nearly no secret has a dot.
        if !secret.as_bytes().contains(&b'.') {
            let secret = secret.as_bytes();
            return Some(Self::Token { id, secret });
        }
        let (_, signature) = secret.split_once('.')?;
        (!signature.contains('.')).then_some(Self::Jwt(text))
    }
}

/// Takes a credential out of a request, so that the program doesn't see it.
pub fn strip(fields: &mut HeaderMap, place: Place) {
    match place {
        Place::Pair => strip_pair(fields),
        Place::Authorization => {
            fields.remove(AUTHORIZATION);
        }
    }
}

/// Takes the pair out, which is for us whether we look at it or not.
pub fn strip_pair(fields: &mut HeaderMap) {
    // Nearly no request has any of it, and asking by name hashes.
    let ours = |name: &HeaderName| name.as_str().starts_with("fprs-");
    if fields.keys().any(ours) {
        fields.remove(&KEY);
        fields.remove(&SECRET);
    }
}

/// Faster than the field's own check for visible ASCII, which nothing here needs.
fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// The value of a field that occurs once.
fn one<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&'static str, &'static str)]) -> Option<(String, Place)> {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(*name, HeaderValue::from_static(value));
        }
        let (credential, place) = Credential::of(&fields)?;
        Some(match credential {
            Credential::Token { id, secret } => {
                (format!("{id} {}", String::from_utf8_lossy(secret)), place)
            }
            Credential::Jwt(jwt) => (jwt.to_owned(), place),
        })
    }

    #[test]
    fn a_request_has_one_credential_or_none() {
        let bearer = |text| found(&[("authorization", text)]).map(|(text, _)| text);
        assert_eq!(bearer("Bearer id.secret").as_deref(), Some("id secret"));
        assert_eq!(bearer("bEARER  id.secret").as_deref(), Some("id secret"));
        assert_eq!(bearer("Bearer a.b.c").as_deref(), Some("a.b.c"));
        for none in [
            "Basic aWQ6c2VjcmV0",
            "Bearer",
            "Bearer ",
            "Bearer a",
            "Bearer a.b.c.d",
            "Bearer\tid.secret",
            "id.secret",
        ] {
            assert_eq!(bearer(none), None, "{none}");
        }
        assert_eq!(
            found(&[
                ("authorization", "Bearer a.b"),
                ("authorization", "Bearer a.b")
            ]),
            None
        );
    }

    #[test]
    fn the_pair_leaves_authorization_to_the_program() {
        let pair = [
            ("fprs-key", "id"),
            ("fprs-secret", "s"),
            ("authorization", "Bearer x.y"),
        ];
        assert_eq!(found(&pair), Some(("id s".to_owned(), Place::Pair)));
        for half in [&pair[..1], &pair[1..], &[pair[0], pair[0], pair[1]][..]] {
            assert_eq!(found(half), None, "{half:?}");
        }
        let mut fields = HeaderMap::new();
        for (name, value) in pair {
            fields.append(name, HeaderValue::from_static(value));
        }
        strip(&mut fields, Place::Pair);
        assert_eq!(fields.len(), 1);
        strip(&mut fields, Place::Authorization);
        assert!(fields.is_empty());
    }

    #[test]
    fn a_credential_is_never_printed() {
        for text in ["id.s3cret", "s3cret.s3cret.s3cret"] {
            let printed = format!("{:?}", Credential::read(text));
            assert!(!printed.contains("s3cret"), "{printed}");
        }
    }
}
