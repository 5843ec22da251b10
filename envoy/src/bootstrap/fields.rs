//! PURE. Header fields that outsiders may not send, and those that none of ours may leak.

use serde::Serialize;

use super::value::{Extension, Message};

/// Changes to the fields of a message.
#[derive(Debug, Serialize)]
pub(crate) struct EarlyMutation {
    mutations: Vec<Mutation>,
}

impl Message for EarlyMutation {
    const NAME: &'static str =
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";
}

/// The same where trailers and responses are seen too.
#[derive(Debug, Serialize)]
pub(crate) struct LateMutation {
    mutations: LateMutations,
}

impl Message for LateMutation {
    const NAME: &'static str = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
}

#[derive(Debug, Serialize)]
struct LateMutations {
    request_trailers_mutations: Vec<Mutation>,
    response_mutations: Vec<Mutation>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mutation {
    Remove(&'static str),
    RemoveOnMatch { key_matcher: Prefix },
}

#[derive(Debug, Serialize)]
struct Prefix {
    prefix: &'static str,
    ignore_case: bool,
}

/// What every name that is ours to say begins with.
const OURS: [&str; 3] = ["x-fprs-", "x-envoy-", "x-internal-"];

/// What fprs trusts of an edge, or what programs take for the truth about the client.
const OF_THE_EDGE: [&str; 9] = [
    // Gone before the edge writes its own: fprs sees exactly one address.
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "forwarded",
    "proxy-connection",
    // CGI programs would take it for HTTP_PROXY.
    "proxy",
    // Says that a request may be a replay; the edge takes no early data.
    "early-data",
];

impl EarlyMutation {
    /// Before anything looks at a request.
    pub(crate) fn of_requests() -> Extension<Self> {
        let named = OF_THE_EDGE.map(Mutation::Remove);
        let mutations = beginning_with(&OURS).chain(named).collect();
        Extension::new(
            "envoy.http.early_header_mutation.header_mutation",
            Self { mutations },
        )
    }
}

impl LateMutation {
    /// Trailers pass the early mutation unseen; and what Envoy and a program say of the inside stays
    /// there. `x-fprs-reason` is for clients.
    pub(crate) fn of_trailers_and_responses() -> Extension<Self> {
        let mutations = LateMutations {
            request_trailers_mutations: beginning_with(&OURS).collect(),
            response_mutations: beginning_with(&["x-envoy-", "x-internal-"]).collect(),
        };
        Extension::new("envoy.filters.http.header_mutation", Self { mutations })
    }
}

fn beginning_with(prefixes: &[&'static str]) -> impl Iterator<Item = Mutation> {
    prefixes.iter().map(|prefix| Mutation::RemoveOnMatch {
        key_matcher: Prefix {
            prefix,
            ignore_case: true,
        },
    })
}
