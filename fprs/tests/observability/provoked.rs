//! Promise: every documented metric is above zero in a test: in the fleet that is hurt, in the plane whose
//! metrics are compared with the docs, or in one that is about nothing else.

use std::collections::BTreeSet;

use crate::{documented, read};

/// Those that a whole plane is asked to have above zero.
pub(crate) const OF_A_PLANE: &[&str] = &[
    "fprs_mirror_compared_total",
    "fprs_mirror_in_flight",
    "fprs_mirror_requests_total",
    "fprs_proxy_access_log_lines_lost_total",
    "fprs_split_requests_total",
    "fprs_tenant_exchanges_in_flight",
    "fprs_trace_spans_dropped_total",
    "fprs_usage_received_bytes_total",
];

/// Those of what happens in other tests alone: where one reads them.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "fprs_autoscaler_unheard_in_flight",
        "fprs/tests/plane/counting.rs",
    ),
    (
        "fprs_config_panics_total",
        "fprs/tests/observability/panics.rs",
    ),
    (
        "fprs_mirror_capture_files_total",
        "fprs/tests/mirror/uploading.rs",
    ),
    (
        "fprs_mirror_capture_files_waiting",
        "fprs/tests/mirror/uploading.rs",
    ),
    ("fprs_mirror_held_bytes", "fprs/tests/mirror/scene.rs"),
    ("fprs_proxy_late_cores", "fprs/tests/tenants/shares.rs"),
    ("fprs_tenant_dials", "fprs/tests/tenants/floods.rs"),
    (
        "fprs_tenant_dials_waited_total",
        "fprs/tests/tenants/floods.rs",
    ),
    (
        "fprs_trace_spans_exported_total",
        "fprs/tests/edge/traces.rs",
    ),
];

/// Of all others, those that a fleet has not had above zero, which is hurt in every way that an alert is
/// about.
pub(crate) fn missing_of_a_fleet(above: &BTreeSet<String>) -> BTreeSet<String> {
    let mut missing: BTreeSet<String> = documented().into_keys().collect();
    missing.retain(|name| {
        let apart = OF_A_PLANE.contains(&name.as_str())
            || ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == name);
        !apart && !above.contains(name)
    });
    missing
}

#[test]
fn metrics_that_are_provoked_elsewhere_are_read_there() {
    let known = documented();
    for (name, file) in ELSEWHERE {
        assert!(known.contains_key(*name), "there is no {name}");
        let read_there = read(file).contains(*name);
        assert!(read_there, "{file} doesn't read {name}");
    }
    let unknown = OF_A_PLANE.iter().find(|name| !known.contains_key(**name));
    assert_eq!(unknown, None);
}
