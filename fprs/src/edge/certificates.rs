//! The edge's own certificate authority and the wildcard certificate that it signed: made where they
//! are missing, kept while they are valid, made again before they end. The authority can sign for the
//! zone and nothing else, so trusting it costs little; keys are readable by their owner only.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fprs_config::whole_file::{self, Outlives, Readers};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

/// How long clients may trust the authority. Its end means trusting another one.
const CA_VALID: Duration = Duration::from_secs(10 * 365 * DAY);

/// An authority that ends sooner is made again at the next start, since it should outlive what it signs.
const CA_RENEWED: Duration = Duration::from_secs(365 * DAY);

/// Of a certificate: browsers refuse those of more than 398 days.
const VALID: Duration = Duration::from_secs(90 * DAY);

/// A certificate is made again when less than this is left: a third, as is usual.
const RENEWED: Duration = Duration::from_secs(30 * DAY);

/// Valid since yesterday, for clients whose clock is slow.
const SINCE: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 60 * 60;

/// No certificate could be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file in the data dir.
    #[error("can't use `{path}`: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// The key or certificate can't be made.
    #[error("can't make the edge's certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The zone's name, or the document for Envoy.
    #[error("can't write the edge's certificate: {0}")]
    Write(#[from] fprs_envoy::Unwritable),
}

/// The file that Envoy watches, in the edge's directory.
pub fn watched(dir: &Path) -> PathBuf {
    dir.join("wildcard.yaml")
}

/// Makes what is missing or about to end, in that directory; `true`: there is a new certificate.
///
/// # Errors
/// Names the file that can't be read or written.
pub fn keep(dir: &Path, zone: &str, now: SystemTime) -> Result<bool, CertificateError> {
    fs::create_dir_all(dir).map_err(|error| file(dir, error))?;
    let ca = match Authority::read(dir, zone, now)? {
        Some(ca) => ca,
        None => Authority::make(dir, zone, now)?,
    };
    let kept = read(&dir.join("wildcard.pem"))?;
    let valid = kept.is_some_and(|chain| ca.has_signed(&chain, zone, now));
    if valid && watched(dir).exists() {
        return Ok(false);
    }
    let (chain, key) = ca.sign(zone, now)?;
    let secret = fprs_envoy::yaml(&fprs_envoy::document::wildcard(&chain, &key))?;
    // Before the certificate that says that it is there.
    replace(&watched(dir), &secret, Readers::Owner)?;
    replace(&dir.join("wildcard.pem"), &chain, Readers::All)?;
    Ok(true)
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The one that is there, if it is of that zone and valid for long enough.
    fn read(dir: &Path, zone: &str, now: SystemTime) -> Result<Option<Self>, CertificateError> {
        let (Some(pem), Some(key)) = (read(&dir.join("ca.pem"))?, read(&dir.join("ca.key"))?)
        else {
            return Ok(None);
        };
        let fits = with_certificate(&pem, |ca| outlives(ca, now + CA_RENEWED) && signs(ca, zone));
        let Ok(key) = KeyPair::from_pem(&key) else {
            return Ok(None);
        };
        if !fits {
            return Ok(None);
        }
        // A file that somebody spoiled is replaced like one that is missing.
        let issuer = Issuer::from_ca_cert_pem(&pem, key).ok();
        Ok(issuer.map(|issuer| Self { pem, issuer }))
    }

    fn make(dir: &Path, zone: &str, now: SystemTime) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        let name = format!("fprs edge of {zone}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(zone.to_owned())],
            excluded_subtrees: Vec::new(),
        });
        valid(&mut params, now, CA_VALID);
        let pem = params.self_signed(&key)?.pem();
        // The key first: a certificate without its key would be taken for spoiled.
        replace(&dir.join("ca.key"), &key.serialize_pem(), Readers::Owner)?;
        replace(&dir.join("ca.pem"), &pem, Readers::All)?;
        let issuer = Issuer::new(params, key);
        Ok(Self { pem, issuer })
    }

    /// A new certificate of the zone's wildcard, with the authority's behind it, and its key.
    fn sign(&self, zone: &str, now: SystemTime) -> Result<(String, String), CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![wildcard(zone), zone.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, wildcard(zone));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, now, VALID);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = format!("{}{}", certificate.pem(), self.pem);
        Ok((chain, key.serialize_pem()))
    }

    /// It is this authority's, of that zone, and valid for long enough.
    fn has_signed(&self, chain: &str, zone: &str, now: SystemTime) -> bool {
        with_certificate(chain, |certificate| {
            outlives(certificate, now + RENEWED)
                && names(certificate, &wildcard(zone))
                && with_certificate(&self.pem, |ca| {
                    certificate.verify_signature(Some(ca.public_key())).is_ok()
                })
        })
    }
}

fn wildcard(zone: &str) -> String {
    format!("*.{zone}")
}

fn valid(params: &mut CertificateParams, now: SystemTime, time: Duration) {
    params.not_before = OffsetDateTime::from(now - SINCE);
    params.not_after = OffsetDateTime::from(now + time);
}

/// What the first certificate of a PEM text is; `false` where there is none.
pub(super) fn with_certificate(pem: &str, is: impl FnOnce(&X509Certificate<'_>) -> bool) -> bool {
    let Ok((_, pem)) = parse_x509_pem(pem.as_bytes()) else {
        return false;
    };
    pem.parse_x509().is_ok_and(|certificate| is(&certificate))
}

fn outlives(certificate: &X509Certificate<'_>, time: SystemTime) -> bool {
    let until = certificate.validity().not_after.timestamp();
    OffsetDateTime::from(time).unix_timestamp() < until
}

fn names(certificate: &X509Certificate<'_>, name: &str) -> bool {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| {
        names
            .value
            .general_names
            .contains(&GeneralName::DNSName(name))
    })
}

/// The authority is for that zone alone.
fn signs(ca: &X509Certificate<'_>, zone: &str) -> bool {
    let constraints = ca.name_constraints().ok().flatten();
    let permitted = constraints.and_then(|found| found.value.permitted_subtrees.as_ref());
    permitted.is_some_and(
        |trees| matches!(&trees[..], [tree] if tree.base == GeneralName::DNSName(zone)),
    )
}

fn read(path: &Path) -> Result<Option<String>, CertificateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(path, error)),
    }
}

fn replace(path: &Path, text: &str, readers: Readers) -> Result<(), CertificateError> {
    whole_file::replace(path, text.as_bytes(), readers, Outlives::Power)
        .map_err(|error| file(path, error))
}

fn file(path: &Path, error: io::Error) -> CertificateError {
    let path = path.to_owned();
    CertificateError::File { path, error }
}

#[cfg(test)]
mod tests;
