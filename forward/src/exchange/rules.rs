//! PURE. What one exchange is held to, as its request says.

use std::time::Duration;

use http::HeaderMap;

use crate::grpc;
use crate::message::Body;

/// What one exchange is held to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// From now to the response's head.
    pub head_timeout: Option<Duration>,
    /// From now to the exchange's end.
    pub deadline: Option<Duration>,
    /// A gRPC call: told of a failure in trailers, also after its head.
    pub grpc: bool,
    /// The request's body has an announced length, so the client is to go on sending it.
    pub announced: bool,
    /// A WebSocket: it is closed when the process or the program ends.
    pub tunnel: bool,
}

impl Rules {
    /// The rules for a request; a gRPC call brings its own deadline.
    pub fn of(request: &HeaderMap, body: Body, head_timeout: Option<Duration>) -> Self {
        let grpc = grpc::is_call(request);
        Self {
            head_timeout,
            deadline: if grpc { grpc::timeout(request) } else { None },
            grpc,
            announced: matches!(body, Body::Length(_)),
            tunnel: body == Body::Tunnel,
        }
    }
}
