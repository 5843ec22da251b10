//! New secrets: 256 random bits, shown once to whoever asked for them; only their hash is stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fprs_config::Secret;

/// The system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandom;

/// A secret that nobody has seen yet: 43 characters of base64url.
pub(crate) fn secret() -> Result<Secret, NoRandom> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// A new token's id: 64 random bits, enough for ids that a store checks to be free.
pub(crate) fn token_id() -> Result<String, NoRandom> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(format!("tk-{:016x}", u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_eq!(one.expose().len(), 43);
        assert_ne!(one.expose(), other.expose());
        assert_ne!(token_id().unwrap(), token_id().unwrap());
    }
}
