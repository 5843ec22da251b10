//! What the fuzz targets hold every decoder to, and the exchange engine: a function per target that
//! takes any bytes and panics where a promise is broken. `fprs/tests/corpus.rs` compiles these files
//! too and replays `corpus/`, so that what fuzzing found stays fixed.

pub mod body;
pub mod credential;
pub mod exchange;
pub mod grpc_timeout;
pub mod host;
pub mod manifest;
pub mod record;
pub mod request_head;
pub mod response_head;
pub mod websocket;

/// What a target does with an input: it panics where a promise is broken.
pub type Check = fn(&[u8]);

/// Every target by name; its corpus is `corpus/<name>/`.
pub const TARGETS: [(&str, Check); 10] = [
    ("body", body::check),
    ("credential", credential::check),
    ("exchange", exchange::check),
    ("grpc_timeout", grpc_timeout::check),
    ("host", host::check),
    ("manifest", manifest::check),
    ("record", record::check),
    ("request_head", request_head::check),
    ("response_head", response_head::check),
    ("websocket", websocket::check),
];
