//! The rendered bootstrap: as it was accepted, explained setting by setting, and valid to Envoy.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fprs_envoy::{
    AccessLog, Admin, Bootstrap, Certificate, Custom, Fleet, Header, Listeners, Settings, Tracing,
    document, yaml,
};
use serde_json::Value;

/// An edge with everything that can be had.
fn whole() -> Settings {
    Settings {
        listeners: Listeners {
            https: Some("0.0.0.0:8443".parse().unwrap()),
            proxied: Some("0.0.0.0:8444".parse().unwrap()),
            redirect: Some("0.0.0.0:8080".parse().unwrap()),
            probe: Some("0.0.0.0:8002".parse().unwrap()),
        },
        custom: vec![Custom {
            domains: vec!["shop.example.com".to_owned(), "www.example.com".to_owned()],
            certificate: Certificate::Files {
                chain: "/etc/fprs/edge/shop.pem".into(),
                key: "/etc/fprs/edge/shop.key".into(),
            },
        }],
        access_log: AccessLog::Stdout,
        tracing: Some(Tracing {
            host: "collector.observability.svc.cluster.local".to_owned(),
            port: 4317,
            authorities: Some("/etc/fprs/edge/collector.pem".into()),
            headers: vec![Header {
                name: "authorization".to_owned(),
                value: "Bearer TOKEN".to_owned(),
            }],
            sample: 0.01,
        }),
        http3: true,
        hsts: true,
        ..Settings::new(
            "us-west.region.example",
            Certificate::Watched("/etc/fprs/edge/wildcard.yaml".into()),
            Fleet::Dns {
                name: "fprs-proxy.fprs.svc.cluster.local".to_owned(),
                port: 8080,
            },
            Admin::Loopback(9901),
        )
    }
}

/// As `fprs up --edge` has it.
fn small() -> Settings {
    let mut settings = Settings::new(
        "region.localhost",
        Certificate::Watched("/data/edge/wildcard.yaml".into()),
        Fleet::Fixed(vec!["127.0.0.1:8080".parse().unwrap()]),
        Admin::Socket("/data/edge/admin.sock".into()),
    );
    settings.listeners.https = Some("127.0.0.1:8443".parse().unwrap());
    settings.source = Some("127.0.0.2".parse().unwrap());
    settings.access_log = AccessLog::File("/data/edge/access.json".into());
    settings
}

/// As a fleet that something else keeps a list of.
fn watched() -> Settings {
    Settings {
        fleet: Fleet::Watched("/run/fprs/endpoints.yaml".into()),
        ..small()
    }
}

/// `BLESS=1 cargo test -p fprs-envoy` accepts what is rendered now.
#[test]
fn bootstraps_are_rendered_as_they_were_accepted() {
    let all = [
        ("small", small()),
        ("watched", watched()),
        ("whole", whole()),
    ];
    for (name, settings) in all {
        let rendered = yaml(&Bootstrap::new(&settings)).unwrap();
        let file = here(&format!("tests/golden/{name}.yaml"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &rendered).unwrap();
        }
        let accepted = std::fs::read_to_string(&file).unwrap();
        assert!(accepted == rendered, "{name} differs:\n{rendered}");
    }
}

#[test]
fn watched_files_are_written_as_they_were_accepted() {
    let secret = yaml(&document::wildcard("CHAIN\n", "KEY\n")).unwrap();
    let endpoints = yaml(&document::endpoints(&["10.0.0.1:8080".parse().unwrap()])).unwrap();
    let rendered = format!("{secret}---\n{endpoints}");
    let file = here("tests/golden/documents.yaml");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &rendered).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), rendered);
}

#[test]
fn a_secret_is_not_shown_by_debug() {
    let settings = whole();
    for shown in [
        format!("{settings:?}"),
        format!("{:?}", Bootstrap::new(&settings)),
    ] {
        assert!(!shown.contains("TOKEN"), "{shown}");
    }
    let shown = format!("{:?}", document::wildcard("CHAIN", "PRIVATE"));
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

/// The fleet's windows: readers that stall must never take a neighbour's credit.
#[test]
fn the_connection_window_is_twice_what_all_streams_may_hold() {
    let h2 = |bootstrap: &Value| {
        let options =
            &bootstrap["static_resources"]["clusters"][0]["typed_extension_protocol_options"];
        options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]["explicit_http_config"]
            ["http2_protocol_options"]
            .clone()
    };
    let h2 = h2(&serde_json::to_value(Bootstrap::new(&whole())).unwrap());
    let number = |name: &str| h2[name].as_u64().unwrap();
    assert!(
        number("initial_connection_window_size")
            >= 2 * number("max_concurrent_streams") * number("initial_stream_window_size")
    );
}

/// A row's setting is a run of keys; it explains every value whose path has that run.
#[test]
fn every_setting_is_explained_and_everything_explained_is_a_setting() {
    let mut paths = BTreeSet::new();
    for settings in [small(), watched(), whole()] {
        let bootstrap = serde_json::to_value(Bootstrap::new(&settings)).unwrap();
        collect(&bootstrap, &mut Vec::new(), &mut paths);
    }
    let rows = table("## Settings");
    let covers = |row: &str, path: &[String]| {
        let row: Vec<&str> = row.split('.').collect();
        path.windows(row.len())
            .any(|run| run.iter().zip(&row).all(|(key, named)| key == named))
    };
    let unexplained: Vec<String> = paths
        .iter()
        .filter(|path| !rows.keys().any(|row| covers(row, path)))
        .map(|path| path.join("."))
        .collect();
    assert_eq!(unexplained, Vec::<String>::new(), "no row in README.md");
    let unset: Vec<&String> = rows
        .keys()
        .filter(|row| !paths.iter().any(|path| covers(row, path)))
        .collect();
    assert_eq!(unset, Vec::<&String>::new(), "in README.md, but no setting");
}

#[test]
fn every_limit_is_in_the_table_and_nothing_else() {
    let source = std::fs::read_to_string(here("src/limits.rs")).unwrap();
    let named: BTreeSet<String> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next())
        .map(str::to_owned)
        .collect();
    let listed: BTreeSet<String> = table("## Limits").into_keys().collect();
    assert_eq!(named, listed);
}

/// The rows of the tables of a section of README.md: what their first column quotes.
fn table(section: &str) -> BTreeMap<String, String> {
    let readme = std::fs::read_to_string(here("README.md")).unwrap();
    let (_, after) = readme.split_once(&format!("\n{section}\n")).unwrap();
    let section = after.split("\n## ").next().unwrap();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let (first, rest) = line[2..].split_once(" | ").unwrap();
        assert!(
            rest.trim_end_matches('|').trim().len() > 10,
            "no reason: {line}"
        );
        for quoted in first.split('`').skip(1).step_by(2) {
            rows.insert(quoted.to_owned(), rest.to_owned());
        }
    }
    assert!(!rows.is_empty());
    rows
}

/// What only gives things their names and places.
const NAMES: [&str; 6] = [
    "@type",
    "address",
    "cluster_name",
    "name",
    "path",
    "stat_prefix",
];

/// The paths to all values, without the places in lists; keys have dots of their own in some maps. Of
/// an extension that has only a name, the path to itself.
fn collect(value: &Value, path: &mut Vec<String>, paths: &mut BTreeSet<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            let settings = || {
                let is_name = |key: &str, value: &Value| NAMES.contains(&key) && value.is_string();
                fields
                    .iter()
                    .filter(move |(key, value)| !is_name(key, value))
            };
            if settings().count() == 0 {
                paths.insert(path.clone());
            }
            for (key, value) in settings() {
                let length = path.len();
                path.extend(key.split('.').map(str::to_owned));
                collect(value, path, paths);
                path.truncate(length);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, path, paths)),
        _ => {
            paths.insert(path.clone());
        }
    }
}

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}
