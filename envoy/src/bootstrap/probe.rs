//! PURE. What load balancers and Kubernetes ask the edge itself.

use serde::Serialize;

use super::value::{Extension, Message};

/// Answers 200, and 503 once the edge was told to fail its checks.
#[derive(Debug, Serialize)]
pub(crate) struct HealthCheck {
    pass_through_mode: bool,
    headers: [PathIs; 1],
}

impl Message for HealthCheck {
    const NAME: &'static str = "envoy.extensions.filters.http.health_check.v3.HealthCheck";
}

#[derive(Debug, Serialize)]
struct PathIs {
    name: &'static str,
    string_match: Exact,
}

#[derive(Debug, Serialize)]
struct Exact {
    exact: &'static str,
}

impl HealthCheck {
    pub(crate) fn of_the_edge() -> Extension<Self> {
        let check = Self {
            pass_through_mode: false,
            headers: [PathIs {
                name: ":path",
                string_match: Exact { exact: "/healthz" },
            }],
        };
        Extension::new("envoy.filters.http.health_check", check)
    }
}
