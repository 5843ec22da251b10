//! PURE. Who asks: `Authorization: Bearer <identity>.<secret>`, of which a gateway knows only the
//! secret's SHA-256 and compares it in constant time.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;

use crate::limits;

/// The SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret's hash is 64 hexadecimal digits; `printf %s SECRET | sha256sum` prints it")]
pub struct NotAHash;

/// Every credential that a gateway takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials(HashMap<Arc<str>, Vec<SecretHash>>);

impl SecretHash {
    /// That of `secret`.
    pub fn of(secret: &str) -> Self {
        let mut hash = [0; 32];
        let digest = digest::digest(&digest::SHA256, secret.as_bytes());
        for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(hash)
    }

    /// From hexadecimal digits.
    ///
    /// # Errors
    /// There are not 64 of them.
    pub fn parse(text: &str) -> Result<Self, NotAHash> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(NotAHash);
        }
        let mut hash = [0; 32];
        for (n, byte) in hash.iter_mut().enumerate() {
            let digits = text.get(2 * n..2 * n + 2).ok_or(NotAHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotAHash)?;
        }
        Ok(Self(hash))
    }

    /// That hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether it is that of `secret`.
    pub fn fits(&self, secret: &str) -> bool {
        verify_slices_are_equal(&self.0, &Self::of(secret).0).is_ok()
    }
}

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash")
    }
}

impl Credentials {
    /// Of these identities, each with every secret that it is there with.
    pub fn new(all: impl IntoIterator<Item = (Arc<str>, SecretHash)>) -> Self {
        let mut known = HashMap::<_, Vec<_>>::new();
        for (identity, hash) in all {
            known.entry(identity).or_default().push(hash);
        }
        Self(known)
    }

    /// These, and those of another place.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        for (identity, hashes) in others.0 {
            self.0.entry(identity).or_default().extend(hashes);
        }
        self
    }

    /// Whether that identity is among them.
    pub fn knows(&self, identity: &str) -> bool {
        self.0.contains_key(identity)
    }

    /// Whose credential a request's `authorization` is, if it is one.
    pub fn identity(&self, authorization: &str) -> Option<Arc<str>> {
        let (scheme, credential) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (identity, secret) = credential.split_once('.')?;
        let (identity, hashes) = self.0.get_key_value(identity)?;
        let fits = hashes.iter().any(|hash| hash.fits(secret));
        fits.then(|| Arc::clone(identity))
    }
}

/// Whether it can be an identity or a pool: what file names, metrics and rules can hold.
pub fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= limits::NAME_BYTES && text.bytes().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_credential_says_who_asks() {
        let known = Credentials::new([
            ("w1".into(), SecretHash::of("s3cret")),
            ("w2".into(), SecretHash::of("other")),
        ]);
        for good in ["Bearer w1.s3cret", "bearer w1.s3cret"] {
            assert_eq!(known.identity(good).as_deref(), Some("w1"), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer w1",
            "Bearer w1.",
            "Bearer w1.other",
            "Bearer w2.s3cret",
            "Bearer .s3cret",
            "Basic w1.s3cret",
            "Bearer  w1.s3cret",
        ] {
            assert_eq!(known.identity(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_hash_is_what_sha256sum_prints() {
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(SecretHash::parse(hash), Ok(SecretHash::of("secret")));
        for wrong in ["", "2bb8", &hash.replace('2', "g"), &"é".repeat(32)] {
            assert_eq!(SecretHash::parse(wrong), Err(NotAHash), "{wrong}");
        }
    }

    #[test]
    fn a_name_holds_nothing_that_means_something_elsewhere() {
        assert!(is_name("payments-eu_1"));
        for wrong in ["", "a b", "a/b", "..", "a\"b", "é", &"x".repeat(64)] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
