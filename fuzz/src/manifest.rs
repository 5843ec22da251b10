//! Manifests: one that is accepted has a JSON form that is the same manifest, and makes a server
//! record that no follower refuses.

use fprs_config::{Manifest, Record};

/// The bytes are a manifest's text.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let manifest = match Manifest::from_toml(text) {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let json = serde_json::to_string(&manifest).expect("a JSON form");
    let again: Manifest = serde_json::from_str(&json).expect("its own JSON form");
    assert_eq!(again, manifest);
    let server = Record::Server(manifest.server(None, 0));
    server.check().expect("a valid server");
    for domain in manifest.domains() {
        Record::Domain(domain).check().expect("a valid domain");
    }
}
