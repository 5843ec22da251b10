//! The shape of the workspace, held by tests: which crate may know which, which may know a
//! framework or a database, how source files are named, opened and sized, and that what the docs
//! name is there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken expectation is a failed test with its place"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use fprs_config::manifest::Manifest;

/// What each crate may import of its siblings. Data flows one way, so do imports.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("fprs-proto", &[]),
    ("fprs-config", &["fprs-proto"]),
    ("fprs-autoscaler-client", &["fprs-config", "fprs-proto"]),
    ("fprs-autoscaler", &["fprs-config", "fprs-proto"]),
    ("fprs-forward", &["fprs-config", "fprs-proto"]),
    ("fprs-relay", &["fprs-config", "fprs-forward", "fprs-proto"]),
    ("fprs-control", &["fprs-config", "fprs-proto"]),
    ("fprs-envoy", &[]),
    ("fprs-egress", &["fprs-config"]),
    ("fprs-kubernetes", &["fprs-config"]),
    (
        "fprs",
        &[
            "fprs-autoscaler",
            "fprs-autoscaler-client",
            "fprs-config",
            "fprs-control",
            "fprs-egress",
            "fprs-envoy",
            "fprs-forward",
            "fprs-kubernetes",
            "fprs-proto",
            "fprs-relay",
        ],
    ),
    (
        "fprs-benches",
        &[
            "fprs",
            "fprs-autoscaler",
            "fprs-autoscaler-client",
            "fprs-config",
            "fprs-control",
            "fprs-egress",
            "fprs-envoy",
            "fprs-forward",
            "fprs-proto",
            "fprs-relay",
            "fprs-testkit",
        ],
    ),
    ("fprs-testkit", &[]),
];

/// Crates from outside that only these may import: name, or its beginning with `*`.
const ONLY_FOR: &[(&str, &[&str])] = &[
    (
        "pingora*",
        &["fprs", "fprs-benches", "fprs-forward", "fprs-relay"],
    ),
    // Tests of fprs stand in for agents with it.
    ("gotatun", &["fprs-egress", "fprs"]),
    ("kube", &["fprs-kubernetes"]),
    ("redb", &["fprs-config"]),
    ("netlink-packet*", &["fprs-egress"]),
    ("rtnetlink", &["fprs-egress"]),
    ("google-cloud*", &["fprs-config"]),
    ("etcd-client", &["fprs-config"]),
];

/// Names that say nothing about what a file owns.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "mod", "util", "utils",
];

/// Longest source file, in lines.
const LONGEST_FILE: usize = 800;

#[test]
fn crates_import_only_what_lies_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for edge in edges(&workspace()) {
        let Some(below) = allowed.get(&*edge.from) else {
            wrong.push(format!("{} has no line in MAY_IMPORT", edge.from));
            continue;
        };
        let sibling = allowed.contains_key(&*edge.to);
        // Tests put crates together that don't know each other, as the binary does.
        let for_tests = edge.kind == DependencyKind::Development;
        if sibling && !for_tests && !below.contains(&&*edge.to) {
            wrong.push(format!("{} must not import {}", edge.from, edge.to));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_crate_has_its_line_in_the_table() {
    let members: BTreeSet<String> = names(&workspace());
    let listed = MAY_IMPORT.iter().map(|(name, _)| (*name).to_owned());
    assert_eq!(members, listed.collect());
}

#[test]
fn the_table_has_no_circle() {
    let mut placed = BTreeSet::new();
    while placed.len() < MAY_IMPORT.len() {
        let next = MAY_IMPORT.iter().find(|(name, below)| {
            !placed.contains(name) && below.iter().all(|below| placed.contains(below))
        });
        let (name, _) = next.expect("a crate all of whose imports are placed");
        placed.insert(*name);
    }
}

#[test]
fn frameworks_and_databases_stay_behind_their_crate() {
    let mut wrong = Vec::new();
    for edge in edges(&workspace()) {
        for (name, importers) in ONLY_FOR {
            let named = name
                .strip_suffix('*')
                .map_or(edge.to == *name, |start| edge.to.starts_with(start));
            if named && !importers.contains(&&*edge.from) {
                wrong.push(format!(
                    "{} must not import {}: only {} may",
                    edge.from,
                    edge.to,
                    importers.join(", ")
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn source_files_are_named_after_what_they_own() {
    let wrong: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|path| {
            path.with_extension("").iter().any(|part| {
                let part = part.to_string_lossy();
                EMPTY_NAMES.contains(&&*part)
            })
        })
        .collect();
    assert_eq!(wrong, Vec::<PathBuf>::new());
}

#[test]
fn source_files_open_by_saying_what_they_own() {
    let wrong: Vec<PathBuf> = sources()
        .into_iter()
        // A `tests.rs` owns what its parent owns.
        .filter(|path| !path.ends_with("tests.rs") && !read(path).starts_with("//! "))
        .collect();
    assert_eq!(wrong, Vec::<PathBuf>::new());
}

#[test]
fn source_files_stay_short_enough_to_read() {
    let wrong: Vec<(PathBuf, usize)> = sources()
        .into_iter()
        .map(|path| (path.clone(), read(&path).lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .collect();
    assert_eq!(wrong, Vec::<(PathBuf, usize)>::new());
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let listed = read(Path::new("docs/dependencies.md"));
    let members = names(&workspace());
    let wrong: BTreeSet<String> = edges(&workspace())
        .into_iter()
        .map(|edge| edge.to)
        .filter(|to| !members.contains(to) && !listed.contains(&format!("\n| `{to}` |")))
        .collect();
    assert_eq!(
        wrong,
        BTreeSet::new(),
        "these need a line in docs/dependencies.md"
    );
}

#[test]
fn every_example_can_be_deployed() {
    let mut found = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path().join("fprs.toml");
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let manifest = Manifest::from_toml(&text);
        assert!(manifest.is_ok(), "{}: {manifest:?}", path.display());
        found += 1;
    }
    assert!(found > 0, "no examples");
}

/// A promise's last column names files and their tests: `` `file.rs`: `one_test`, `another` ``.
#[test]
fn every_test_that_keeps_a_promise_exists() {
    let promises = read(Path::new("docs/promises.md"));
    let mut wrong = Vec::new();
    let mut found = 0;
    for line in promises.lines().filter(|line| line.starts_with("| ")) {
        let kept_by = line.trim_end_matches(" |").rsplit(" | ").next();
        let mut source = String::new();
        for quoted in kept_by.unwrap_or_default().split('`').skip(1).step_by(2) {
            if Path::new(quoted).extension().is_some() {
                source = std::fs::read_to_string(root().join(quoted)).unwrap_or_default();
            } else if source.contains(&format!("fn {quoted}(")) {
                found += 1;
            } else {
                wrong.push(format!("no test {quoted}: {line}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(found > 0, "no promise names a test");
}

/// One crate naming another in its manifest.
struct Edge {
    from: String,
    to: String,
    kind: DependencyKind,
}

fn edges(metadata: &Metadata) -> Vec<Edge> {
    let packages = metadata.packages.iter();
    let edges = packages.flat_map(|package| {
        package.dependencies.iter().map(|dependency| Edge {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            kind: dependency.kind,
        })
    });
    edges.collect()
}

fn names(metadata: &Metadata) -> BTreeSet<String> {
    let packages = metadata.packages.iter();
    packages.map(|package| package.name.to_string()).collect()
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .cargo_path(env!("CARGO"))
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap()
}

/// Every `.rs` file in a member's `src`, relative to the workspace.
fn sources() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    for package in workspace().packages {
        let crate_root = package.manifest_path.parent().unwrap();
        collect(&crate_root.as_std_path().join("src"), &mut found);
    }
    assert!(found.len() > MAY_IMPORT.len(), "no sources: {found:?}");
    found.sort();
    found
        .iter()
        .map(|path| path.strip_prefix(&root).unwrap().to_owned())
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}
