//! Where Envoy is. Without it tests skip loudly, or fail where `FPRS_REQUIRE_ENVOY=1` says that it must be
//! there.

use std::path::PathBuf;

use fprs::edge::program::Program;

/// Envoy's binary; `None`: skip.
pub(crate) fn envoy() -> Option<PathBuf> {
    let named = std::env::var_os("FPRS_ENVOY").map(PathBuf::from);
    match Program::find(named.as_deref()) {
        Ok(program) => Some(program.path().to_owned()),
        Err(why) => {
            assert!(
                std::env::var_os("FPRS_REQUIRE_ENVOY").is_none_or(|value| value != "1"),
                "{why}"
            );
            eprintln!("SKIPPED: {why}");
            None
        }
    }
}
