//! An authority of the operator's own, and the P-256 certificates that it signs for gateways. Agents
//! trust it and nothing else. P-256, since a storm of agents costs a handshake each, and RSA is two
//! hundred times slower.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Its end means giving every agent another one.
const AUTHORITY_VALID: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());
/// Of a gateway's: it is made again by running the command again.
const GATEWAY_VALID: Duration = Duration::from_secs(365 * DAY.as_secs());

/// No certificate could be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file.
    #[error("can't use `{path}`: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// The key or certificate.
    #[error("can't make the certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes a certificate for the gateway at that address in `<dir>/<name>.pem` and `.key`, signed by the
/// authority in `<dir>/ca.pem` and `ca.key`, which is made if there is none.
///
/// # Errors
/// Names the file that can't be read or written.
pub fn make(dir: &Path, name: &str, address: IpAddr) -> Result<(), CertificateError> {
    fs::create_dir_all(dir).map_err(|error| file(dir, error))?;
    let now = SystemTime::now();
    let issuer = authority(dir, now)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![SanType::IpAddress(address)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    valid(&mut params, now, GATEWAY_VALID);
    let certificate = params.signed_by(&key, &issuer)?;
    write(&dir.join(format!("{name}.key")), &key.serialize_pem())?;
    write(&dir.join(format!("{name}.pem")), &certificate.pem())
}

fn authority(dir: &Path, now: SystemTime) -> Result<Issuer<'static, KeyPair>, CertificateError> {
    let (pem, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    if pem.exists() {
        let text = |path: &Path| fs::read_to_string(path).map_err(|error| file(path, error));
        let pair = KeyPair::from_pem(&text(&key)?)?;
        return Ok(Issuer::from_ca_cert_pem(&text(&pem)?, pair)?);
    }
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    let name = "fprs egress authority";
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, now, AUTHORITY_VALID);
    let certificate = params.self_signed(&pair)?.pem();
    write(&key, &pair.serialize_pem())?;
    write(&pem, &certificate)?;
    Ok(Issuer::new(params, pair))
}

/// Since yesterday, for agents whose clock is slow.
fn valid(params: &mut CertificateParams, now: SystemTime, how_long: Duration) {
    params.not_before = OffsetDateTime::from(now - DAY);
    params.not_after = OffsetDateTime::from(now + how_long);
}

fn write(path: &Path, text: &str) -> Result<(), CertificateError> {
    let written = || {
        let mut open = OpenOptions::new();
        let open = open.write(true).create(true).truncate(true).mode(0o600);
        open.open(path)?.write_all(text.as_bytes())
    };
    written().map_err(|error| file(path, error))
}

fn file(path: &Path, error: io::Error) -> CertificateError {
    CertificateError::File {
        path: path.to_owned(),
        error,
    }
}
