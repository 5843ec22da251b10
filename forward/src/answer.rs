//! PURE. Everything fprs answers itself, in one place: the closed set of reasons, each with its
//! status, and their form on the wire, an RFC 9457 problem or gRPC's trailers-only response.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::downstream::Downstream;
use crate::message::{Body, Gone};
use crate::upstream::Failure;
use crate::{fields, grpc};

/// Why fprs answered itself; the value of `x-fprs-reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request is malformed or ambiguous.
    BadRequest,
    /// The replica is going away.
    Draining,
    /// Valid credentials, but not for this server.
    Forbidden,
    /// There is no such server, or it has no replica.
    NoReplica,
    /// More than can be served now, through no fault of the caller.
    Overloaded,
    /// A replica is starting.
    Starting,
    /// The caller's tenant is over its limits.
    TenantLimit,
    /// The request or one of its parts is too large.
    TooLarge,
    /// No or wrong credentials.
    Unauthenticated,
    /// No replica could be reached.
    UpstreamConnect,
    /// The program broke its protocol.
    UpstreamProtocol,
    /// The program ended or closed before its answer.
    UpstreamReset,
    /// The program did not answer in time.
    UpstreamTimeout,
    /// The host name is of another zone.
    WrongZone,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::Draining,
        Self::Forbidden,
        Self::NoReplica,
        Self::Overloaded,
        Self::Starting,
        Self::TenantLimit,
        Self::TooLarge,
        Self::Unauthenticated,
        Self::UpstreamConnect,
        Self::UpstreamProtocol,
        Self::UpstreamReset,
        Self::UpstreamTimeout,
        Self::WrongZone,
    ];

    /// Said by whoever a request was sent to, it means that no byte of the request has reached the
    /// program: it may go elsewhere.
    pub const fn is_before_program(self) -> bool {
        matches!(
            self,
            Self::Draining
                | Self::NoReplica
                | Self::Overloaded
                | Self::Starting
                | Self::UpstreamConnect
        )
    }

    /// The reason with that name on the wire.
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.name().as_bytes() == name)
    }

    /// The reason's name on the wire, in logs and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Draining => "draining",
            Self::Forbidden => "forbidden",
            Self::NoReplica => "no_replica",
            Self::Overloaded => "overloaded",
            Self::Starting => "starting",
            Self::TenantLimit => "tenant_limit",
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::WrongZone => "wrong_zone",
        }
    }

    /// The status a caller gets.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongZone => StatusCode::MISDIRECTED_REQUEST,
            Self::TenantLimit => StatusCode::TOO_MANY_REQUESTS,
            Self::NoReplica | Self::Starting | Self::Overloaded | Self::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamConnect | Self::UpstreamReset | Self::UpstreamProtocol => {
                StatusCode::BAD_GATEWAY
            }
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What a caller can make of it, where the place that answers has nothing better to say.
    pub const fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "the request is malformed",
            Self::Draining => "the replica is going away; try again",
            Self::Forbidden => "these credentials are not for this server",
            Self::NoReplica => "no such server, or it has no replica; if it is deployed, try again",
            Self::Overloaded => "too much load right now; try again later",
            Self::Starting => "a replica is starting; try again",
            Self::TenantLimit => "your limit is reached; slow down",
            Self::TooLarge => "the request is too large",
            Self::Unauthenticated => "credentials are missing or wrong",
            Self::UpstreamConnect => "no replica could be reached",
            Self::UpstreamProtocol => "the program's answer is malformed",
            Self::UpstreamReset => "the program closed before it answered",
            Self::UpstreamTimeout => "the program did not answer in time",
            Self::WrongZone => "this host name is not served here",
        }
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect => Self::UpstreamConnect,
            Failure::Full | Failure::Refused => Self::Overloaded,
            Failure::Protocol => Self::UpstreamProtocol,
            Failure::Reset => Self::UpstreamReset,
            Failure::Timeout => Self::UpstreamTimeout,
        }
    }
}

/// An answer of our own.
#[derive(Clone, Debug)]
pub struct Answer {
    reason: Reason,
    detail: Option<&'static str>,
    retry_after: Option<u64>,
    in_flight: Option<u64>,
}

impl Answer {
    /// An answer for that reason.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
            retry_after: None,
            in_flight: None,
        }
    }

    /// Says more than the reason alone.
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// When it is worth to try again, in seconds from now.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Of a relay that had given the request to its program: it tells the replica's load, as with the
    /// program's own answers, and the proxy offers the request to nobody else.
    #[must_use]
    pub const fn in_flight(mut self, count: u64) -> Self {
        self.in_flight = Some(count);
        self
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Sends the answer to a request with those fields. The response is whole once the session has
    /// been flushed; a client that is gone by now misses it.
    pub fn send<D: Downstream>(&self, request: &HeaderMap, downstream: &mut D) {
        self.send_as(grpc::is_call(request), downstream);
    }

    /// As [`send`](Self::send), where the request's fields are gone by now.
    pub fn send_as<D: Downstream>(&self, grpc: bool, downstream: &mut D) {
        let sent = if grpc {
            downstream.send_head(self.grpc(), Body::None)
        } else {
            self.send_problem(downstream)
        };
        if sent.is_err() {
            tracing::debug!(
                reason = self.reason.name(),
                "the client left before its answer"
            );
        }
    }

    fn send_problem<D: Downstream>(&self, downstream: &mut D) -> Result<(), Gone> {
        let body = self.problem();
        let mut response = self.response(self.reason.status());
        let fields = response.headers_mut();
        fields.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        fields.insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if self.reason == Reason::Unauthenticated {
            fields.insert(
                http::header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"fprs\""),
            );
        }
        downstream.send_head(response, Body::Length(body.len() as u64))?;
        downstream.send_data(body, true)
    }

    fn problem(&self) -> Bytes {
        let status = self.reason.status();
        let mut body = String::with_capacity(192);
        // Every text is ours and holds nothing that JSON would escape.
        if writeln!(
            body,
            "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{},\"reason\":\"{}\",\"detail\":\"{}\"}}",
            status.canonical_reason().unwrap_or_default(),
            status.as_u16(),
            self.reason.name(),
            self.text(),
        )
        .is_err()
        {
            body.clear();
        }
        body.into()
    }

    /// Status 200 and `grpc-status` in the only header block, which is how gRPC ends a call that
    /// never began.
    fn grpc(&self) -> Response<()> {
        let mut response = self.response(StatusCode::OK);
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.extend(grpc::ending(self.reason, self.text()));
        response
    }

    fn response(&self, status: StatusCode) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(fields::REASON, HeaderValue::from_static(self.reason.name()));
        if let Some(seconds) = self.retry_after {
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(count) = self.in_flight {
            fields.insert(fields::IN_FLIGHT, HeaderValue::from(count));
        }
        response
    }

    fn text(&self) -> &'static str {
        self.detail.unwrap_or_else(|| self.reason.text())
    }
}
