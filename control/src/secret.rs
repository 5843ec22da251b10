//! New secrets: 256 random bits, shown once to whoever asked for them. A secret prints as
//! `Secret(…)`; only its hash is stored.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fprs_config::SecretHash;

/// A secret that nobody has seen yet.
pub(crate) struct Secret(String);

/// The system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandom;

impl Secret {
    /// 43 characters of base64url.
    pub(crate) fn new() -> Result<Self, NoRandom> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandom)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }

    /// Its text, for the one answer that shows it.
    pub(crate) fn show(&self) -> &str {
        &self.0
    }
}

/// A new token's id: 64 random bits, enough for ids that a store checks to be free.
pub(crate) fn token_id() -> Result<String, NoRandom> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(format!("tk-{:016x}", u64::from_be_bytes(bytes)))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ_and_are_never_printed() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_eq!(one.show().len(), 43);
        assert_ne!(one.show(), other.show());
        assert!(one.hash().matches(&SecretHash::of(one.show().as_bytes())));
        assert_eq!(format!("{one:?}"), "Secret(…)");
        assert_ne!(token_id().unwrap(), token_id().unwrap());
    }
}
