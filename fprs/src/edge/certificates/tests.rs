use std::os::unix::fs::PermissionsExt;

use super::*;

const ZONE: &str = "region.localhost";

fn text(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY)
}

#[test]
fn a_certificate_is_kept_while_valid_and_made_again_before_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let now = SystemTime::now();
    assert!(keep(dir, ZONE, now).unwrap());
    let (ca, first) = (text(dir, "ca.pem"), text(dir, "wildcard.pem"));
    assert!(!keep(dir, ZONE, now + days(59)).unwrap());
    assert_eq!(text(dir, "wildcard.pem"), first);
    assert!(keep(dir, ZONE, now + days(61)).unwrap());
    assert_ne!(text(dir, "wildcard.pem"), first);
    assert_eq!(text(dir, "ca.pem"), ca, "clients trust it for years");
    assert!(keep(dir, ZONE, now + days(9 * 365 + 1)).unwrap());
    assert_ne!(text(dir, "ca.pem"), ca);
}

#[test]
fn another_zone_or_a_spoiled_file_means_a_new_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let now = SystemTime::now();
    keep(dir, ZONE, now).unwrap();
    assert!(keep(dir, "other.test", now).unwrap());
    for spoiled in ["ca.pem", "ca.key", "wildcard.pem"] {
        fs::write(dir.join(spoiled), "spoiled").unwrap();
        assert!(keep(dir, "other.test", now).unwrap(), "{spoiled}");
        assert!(!keep(dir, "other.test", now).unwrap(), "{spoiled}");
    }
    fs::remove_file(watched(dir)).unwrap();
    assert!(keep(dir, "other.test", now).unwrap());
}

#[test]
fn the_authority_signs_for_its_zone_alone() {
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), ZONE, SystemTime::now()).unwrap();
    let ca = text(dir.path(), "ca.pem");
    assert!(with_certificate(&ca, |ca| signs(ca, ZONE) && ca.is_ca()));
    assert!(!with_certificate(&ca, |ca| signs(ca, "localhost")));
}

#[test]
fn keys_are_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    keep(dir.path(), ZONE, SystemTime::now()).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let secret = fs::read_to_string(&path).unwrap().contains("PRIVATE KEY");
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if secret { 0o600 } else { 0o644 }, "{path:?}");
    }
}
