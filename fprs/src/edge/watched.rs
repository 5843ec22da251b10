//! A certificate from elsewhere as an edge watches it: certificate and key in one document, replaced
//! at once, so that no edge ever sees the one without the other. What no client could be served with
//! is refused, and what is there stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fprs_config::whole_file::{self, Outlives, Readers};
use rcgen::{KeyPair, PublicKeyData};

use super::certificates::with_certificate;

/// A certificate that no edge is given.
#[derive(Debug, thiserror::Error)]
pub enum WatchedError {
    /// It can't be read or written.
    #[error("can't use `{path}`: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// There is none in the file.
    #[error("`{path}`: no certificate in PEM", path = .0.display())]
    NoCertificate(PathBuf),
    /// There is none in the file.
    #[error("`{path}`: no private key in PEM, or one with a passphrase", path = .0.display())]
    NoKey(PathBuf),
    /// They don't belong together.
    #[error(
        "`{chain}` is not of the key `{key}`: the server's own certificate has to be its first",
        chain = chain.display(), key = key.display()
    )]
    OtherKey {
        /// The certificate.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The document for Envoy.
    #[error("can't write the certificate: {0}")]
    Write(#[from] fprs_envoy::Unwritable),
}

/// Writes the certificate in `chain` with its `key` to the file that an edge watches for `name`.
///
/// # Errors
/// Names the file that is wrong; nothing was written then.
pub fn write(name: &str, chain: &Path, key: &Path, to: &Path) -> Result<(), WatchedError> {
    let (chain_pem, key_pem) = (read(chain)?, read(key)?);
    if !with_certificate(&chain_pem, |_| true) {
        return Err(WatchedError::NoCertificate(chain.to_owned()));
    }
    let Ok(pair) = KeyPair::from_pem(&key_pem) else {
        return Err(WatchedError::NoKey(key.to_owned()));
    };
    let public = pair.subject_public_key_info();
    if !with_certificate(&chain_pem, |first| first.public_key().raw == public) {
        return Err(WatchedError::OtherKey {
            chain: chain.to_owned(),
            key: key.to_owned(),
        });
    }
    let document = fprs_envoy::document::secret(name, &chain_pem, &key_pem);
    let text = fprs_envoy::yaml(&document)?;
    whole_file::replace(to, text.as_bytes(), Readers::Owner, Outlives::Power)
        .map_err(|error| file(to, error))
}

fn read(path: &Path) -> Result<String, WatchedError> {
    fs::read_to_string(path).map_err(|error| file(path, error))
}

fn file(path: &Path, error: io::Error) -> WatchedError {
    let path = path.to_owned();
    WatchedError::File { path, error }
}
