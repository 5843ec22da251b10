//! What fuzzing found stays fixed: every input of `fuzz/corpus/` is run again through the very
//! functions that the fuzz targets run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a broken expectation is a failed test with its place"
)]
#![allow(
    unreachable_pub,
    reason = "the files are a library where they are fuzzed"
)]

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn every_input_of_the_corpus_keeps_the_promises() {
    for (target, check) in fuzz::TARGETS {
        let inputs = files(&root().join("corpus").join(target));
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            let outcome = std::panic::catch_unwind(|| check(&bytes));
            assert!(outcome.is_ok(), "{}", input.display());
        }
    }
}

#[test]
fn every_fuzz_target_is_replayed() {
    let replayed: BTreeSet<String> = fuzz::TARGETS
        .iter()
        .map(|(target, _)| (*target).to_owned())
        .collect();
    for folder in ["fuzz_targets", "corpus"] {
        let found: BTreeSet<String> = files(&root().join(folder))
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, replayed, "{folder}");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}
