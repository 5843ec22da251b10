//! PURE. Wire messages between fprs's own processes, generated from `fprs/**/*.proto`, and what
//! fprs uses of the protocols of etcd and of OpenTelemetry; no logic.
//! Modules follow the proto packages, since generated code refers to its siblings by that path.

/// What the store holds.
pub mod record {
    /// Version 1 of the messages.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::use_self,
        clippy::too_many_lines,
        clippy::or_fun_call,
        clippy::large_futures,
        reason = "generated"
    )]
    pub mod v1 {
        tonic::include_proto!("fprs.record.v1");
    }
    pub use v1::*;
}

/// The store's contract over gRPC.
pub mod feed {
    /// Version 1 of the messages.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::use_self,
        clippy::too_many_lines,
        clippy::or_fun_call,
        clippy::large_futures,
        reason = "generated"
    )]
    pub mod v1 {
        tonic::include_proto!("fprs.feed.v1");
    }
    pub use v1::*;
}

/// The channel between a relay and control.
pub mod worker {
    /// Version 1 of the messages.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::use_self,
        clippy::too_many_lines,
        clippy::or_fun_call,
        clippy::large_futures,
        reason = "generated"
    )]
    pub mod v1 {
        tonic::include_proto!("fprs.worker.v1");
    }
    pub use v1::*;
}

/// What proxies tell the autoscaler.
pub mod demand {
    /// Version 1 of the messages.
    #[allow(
        missing_docs,
        missing_debug_implementations,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::use_self,
        clippy::too_many_lines,
        clippy::or_fun_call,
        clippy::large_futures,
        reason = "generated"
    )]
    pub mod v1 {
        tonic::include_proto!("fprs.demand.v1");
    }
    pub use v1::*;
}

/// What fprs uses of etcd's API.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::use_self,
    clippy::too_many_lines,
    clippy::or_fun_call,
    clippy::large_futures,
    reason = "generated"
)]
pub mod etcd {
    tonic::include_proto!("etcdserverpb");
}

/// What fprs uses of OpenTelemetry's protocol.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::use_self,
    clippy::too_many_lines,
    clippy::or_fun_call,
    clippy::large_futures,
    reason = "generated"
)]
pub mod otlp {
    tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
}
