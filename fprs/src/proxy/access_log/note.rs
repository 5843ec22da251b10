//! What is noted of one request on its way, and becomes a line when it ends, however it does. Where
//! nobody wants lines a note is nothing, and noting costs a branch. Neither queries nor credentials
//! are noted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use fprs_autoscaler_client::clock;
use fprs_forward::downstream::Inbound;
use fprs_forward::exchange::{End, Outcome};
use fprs_forward::{Reason, fields};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use ipnet::IpNet;
use serde::Serialize;

use super::Pen;
use crate::proxy::forwarded;
use crate::proxy::table::{Replica, Route};

/// A note of one request.
pub(in crate::proxy) struct Note(Option<Box<Noted>>);

/// Never printed: a query may hold a credential.
struct Noted {
    pen: Pen,
    client: IpAddr,
    method: Method,
    uri: Uri,
    request_id: Option<HeaderValue>,
    token: Option<HeaderValue>,
    route: Option<Arc<Route>>,
    replica: Option<Arc<str>>,
    at: SystemTime,
    /// Of the steady clock, as what follows.
    began_us: u64,
    connected_us: Option<u64>,
    head_us: Option<u64>,
    offers: u32,
    status: Option<StatusCode>,
    reason: Option<Reason>,
    end: &'static str,
    received: u64,
    sent: u64,
}

impl Note {
    /// Of a request that has its id, for a core that writes lines.
    pub(in crate::proxy) fn of(pen: Option<&Pen>, inbound: &Inbound, edges: &[IpNet]) -> Self {
        Self(pen.map(|pen| {
            let fields = inbound.request.headers();
            Box::new(Noted {
                pen: pen.clone(),
                client: forwarded::source(fields, &inbound.client, edges),
                method: inbound.request.method().clone(),
                uri: inbound.request.uri().clone(),
                request_id: fields.get(forwarded::REQUEST_ID).cloned(),
                token: None,
                route: None,
                replica: None,
                at: SystemTime::now(),
                began_us: clock::now_us(),
                connected_us: None,
                head_us: None,
                offers: 0,
                status: None,
                reason: None,
                // Unless something else is noted.
                end: "left",
                received: 0,
                sent: 0,
            })
        }))
    }

    /// It may take that route; its fields say on whose behalf.
    pub(in crate::proxy) fn admitted(&mut self, route: &Arc<Route>, fields: &HeaderMap) {
        if let Some(noted) = &mut self.0 {
            noted.route = Some(Arc::clone(route));
            noted.token = fields.get(fields::TOKEN_ID).cloned();
        }
    }

    /// It is sent to that replica.
    pub(in crate::proxy) fn offered(&mut self, replica: &Replica) {
        if let Some(noted) = &mut self.0 {
            noted.replica = Some(Arc::clone(&replica.id));
            noted.connected_us = Some(clock::now_us());
            noted.offers += 1;
        }
    }

    /// The replica began to answer, or its relay for it, which gives a reason.
    pub(in crate::proxy) fn head(&mut self, fields: &HeaderMap) {
        if let Some(noted) = &mut self.0 {
            noted.head_us = Some(clock::now_us());
            let reason = fields.get(fields::REASON);
            noted.reason = reason.and_then(|reason| Reason::of(reason.as_bytes()));
        }
    }

    /// The proxy answered itself.
    pub(in crate::proxy) fn answered(&mut self, reason: Reason) {
        if let Some(noted) = &mut self.0 {
            noted.end = "answered";
            noted.status = Some(reason.status());
            noted.reason = Some(reason);
        }
    }

    /// The proxy answered with something that is no failure.
    pub(in crate::proxy) fn told(&mut self, status: StatusCode) {
        if let Some(noted) = &mut self.0 {
            noted.end = "answered";
            noted.status = Some(status);
        }
    }

    /// The stream was refused: an edge offers it to another proxy.
    pub(in crate::proxy) fn refused(&mut self, reason: Reason) {
        if let Some(noted) = &mut self.0 {
            noted.end = "refused";
            noted.reason = Some(reason);
        }
    }

    /// Its exchange with a replica has ended.
    pub(in crate::proxy) fn ended(&mut self, outcome: &Outcome) {
        if let Some(noted) = &mut self.0 {
            noted.status = outcome.status;
            noted.received = outcome.received;
            noted.sent = outcome.sent;
            noted.end = match outcome.end {
                End::Complete => "complete",
                End::Client(_) => "left",
                End::Shed | End::Upstream(_) => "cut",
            };
        }
    }
}

/// A line; docs/access-log.md says what its fields mean.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "collect")]
    time: humantime::Rfc3339Timestamp,
    request_id: Option<&'a str>,
    #[serde(serialize_with = "collect")]
    client: IpAddr,
    method: &'a str,
    host: Option<&'a str>,
    path: &'a str,
    tenant: Option<&'a str>,
    token: Option<&'a str>,
    server: Option<&'a str>,
    replica: Option<&'a str>,
    offers: u32,
    status: Option<u16>,
    reason: Option<&'static str>,
    end: &'static str,
    received_bytes: u64,
    sent_bytes: u64,
    connected_us: Option<u64>,
    head_us: Option<u64>,
    total_us: u64,
}

fn collect<S: serde::Serializer, T: std::fmt::Display>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Drop for Noted {
    fn drop(&mut self) {
        let since = |at: Option<u64>| at.map(|at| at.saturating_sub(self.began_us));
        let route = self.route.as_deref();
        self.pen.write(&Line {
            time: humantime::format_rfc3339_micros(self.at),
            request_id: text(self.request_id.as_ref()),
            client: self.client.to_canonical(),
            method: self.method.as_str(),
            host: self.uri.host(),
            path: self.uri.path(),
            tenant: route.map(|route| route.tenant.name()),
            token: text(self.token.as_ref()),
            server: route.map(|route| &*route.server),
            replica: self.replica.as_deref(),
            offers: self.offers,
            status: self.status.map(|status| status.as_u16()),
            reason: self.reason.map(Reason::name),
            end: self.end,
            received_bytes: self.received,
            sent_bytes: self.sent,
            connected_us: since(self.connected_us),
            head_us: since(self.head_us),
            total_us: clock::now_us().saturating_sub(self.began_us),
        });
    }
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}
