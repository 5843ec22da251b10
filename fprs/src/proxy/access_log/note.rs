//! What is noted of one request on its way: a line when it ends, however it does, where somebody wants
//! lines, and a span where it is traced. Where nobody wants either a note is nothing, and noting costs
//! a branch. Neither queries nor credentials are noted.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use fprs_forward::downstream::Inbound;
use fprs_forward::exchange::{End, Outcome};
use fprs_forward::message::Gone;
use fprs_forward::trace::context::Context;
use fprs_forward::trace::{Span, Tracer};
use fprs_forward::{Reason, fields, turn};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode};
use ipnet::IpNet;

use super::Pen;
use super::line::{Line, key};
use crate::proxy::table::{Replica, Route};
use crate::proxy::{clock, forwarded};

/// A note of one request.
pub(in crate::proxy) struct Note {
    line: Option<(Rc<Pen>, Box<Noted>)>,
    span: Option<Box<Span>>,
}

/// What is known of a request until its end. The memory of one is used for many.
#[derive(Debug, Default)]
pub(super) struct Noted {
    line: Line,
    routed: bool,
    /// The line is inside its object of buckets.
    sampled: bool,
    variant: Option<Arc<str>>,
    replica: Option<Arc<str>>,
    /// Of the steady clock, as what follows.
    began_us: u64,
    admitted_us: Option<u64>,
    chosen_us: Option<u64>,
    connected_us: Option<u64>,
    head_us: Option<u64>,
    relay: RelayTimes,
    offers: u64,
    status: Option<StatusCode>,
    reason: Option<Reason>,
    end: Option<&'static str>,
    received: u64,
    sent: u64,
}

/// What the relay says of its own part, in microseconds since it had the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RelayTimes {
    connected_us: Option<u64>,
    head_us: Option<u64>,
}

impl RelayTimes {
    /// Two numbers, or `-` in the place of one.
    fn parse(text: &str) -> Self {
        let mut numbers = text.split(' ').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        Self {
            connected_us: next(),
            head_us: next(),
        }
    }
}

/// What a core notes with.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Desk {
    /// Where somebody wants lines.
    pub(in crate::proxy) pen: Option<Rc<Pen>>,
    /// Where requests are traced.
    pub(in crate::proxy) tracer: Option<Rc<Tracer>>,
}

impl Note {
    /// Of a request that has its id. Its fields ask and tell of it from now on.
    pub(in crate::proxy) fn of(desk: &Desk, inbound: &mut Inbound, edges: &[IpNet]) -> Self {
        let fields = inbound.request.headers_mut();
        let span = desk.tracer.as_ref().and_then(|tracer| tracer.begin(fields));
        let span = span.map(|span| described(span, inbound));
        let line = desk.pen.as_ref().map(|pen| {
            let mut noted = pen.blank();
            noted.begin(pen, inbound, edges);
            let fields = inbound.request.headers_mut();
            fields.insert(fields::TIMES, HeaderValue::from_static("1"));
            (Rc::clone(pen), noted)
        });
        Self { line, span }
    }

    /// Of what nobody wants to know of.
    pub(in crate::proxy) const fn nothing() -> Self {
        Self {
            line: None,
            span: None,
        }
    }

    /// It is one of those by which the edge looks whether this proxy is ready: no trace of anybody's.
    pub(in crate::proxy) fn internal(&mut self) {
        if let Some(span) = self.span.take() {
            span.cancel();
        }
    }

    /// It may take that route; its fields say on whose behalf.
    pub(in crate::proxy) fn routed(&mut self, route: &Route, fields: &HeaderMap) {
        if let Some((_, noted)) = &mut self.line {
            let token = text(fields.get(fields::TOKEN_ID));
            noted.routed(Some(route.tenant.name()), token, Some(&route.server));
        }
        if let Some(span) = &mut self.span {
            span.note("fprs.tenant", route.tenant.name());
            span.note("fprs.server", &*route.server);
        }
    }

    /// Its tenant may have it; now a replica is looked for.
    pub(in crate::proxy) fn admitted(&mut self) {
        if let Some((_, noted)) = &mut self.line {
            noted.admitted_us = Some(clock::now_us());
        }
        if let Some(span) = &mut self.span {
            span.part("balance");
        }
    }

    /// That replica is to have it, as soon as there is room on a connection.
    pub(in crate::proxy) fn chosen(&mut self, replica: &Replica) {
        if let Some((_, noted)) = &mut self.line {
            noted.chosen_us = Some(clock::now_us());
        }
        if let Some(span) = &mut self.span {
            span.part_of("connect", Some(replica.id()));
        }
    }

    /// The replica that was chosen can't have it, and another one is looked for.
    pub(in crate::proxy) fn passed_over(&mut self) {
        if let Some(span) = &mut self.span {
            span.part("balance");
        }
    }

    /// Somebody wants a line.
    pub(in crate::proxy) const fn is_wanted(&self) -> bool {
        self.line.is_some()
    }

    /// It falls into that bucket of that mirror or split. Only once it is admitted, and before it is sent.
    pub(in crate::proxy) fn sampled(&mut self, name: &str, bucket: u32) {
        if let Some((_, noted)) = &mut self.line {
            let first = !std::mem::replace(&mut noted.sampled, true);
            if first {
                noted.line.open(key!("buckets"));
            }
            noted.line.member(first, name, bucket.into());
        }
    }

    /// It is served by that server instead.
    pub(in crate::proxy) fn variant(&mut self, server: &Arc<str>) {
        if let Some((_, noted)) = &mut self.line {
            noted.variant = Some(Arc::clone(server));
        }
    }

    /// It is sent to that replica.
    pub(in crate::proxy) fn offered(&mut self, replica: &Replica) {
        if let Some((_, noted)) = &mut self.line {
            noted.replica = Some(Arc::clone(replica.id()));
            noted.connected_us = Some(clock::now_us());
            noted.offers += 1;
        }
        if let Some(span) = &mut self.span {
            span.part_of("first byte", Some(replica.id()));
        }
    }

    /// The replica began to answer, or its relay for it, which gives a reason.
    pub(in crate::proxy) fn head(&mut self, reason: Option<Reason>, times: Option<&HeaderValue>) {
        if let Some((_, noted)) = &mut self.line {
            noted.head_us = Some(clock::now_us());
            let times = times.and_then(|times| times.to_str().ok());
            noted.relay = times.map(RelayTimes::parse).unwrap_or_default();
            noted.reason = reason;
        }
        if let Some(span) = &mut self.span {
            span.part("body");
        }
    }

    /// The proxy answered itself.
    pub(in crate::proxy) fn answered(&mut self, reason: Reason) {
        self.told(reason.status());
        if let Some((_, noted)) = &mut self.line {
            noted.reason = Some(reason);
        }
        if let Some(span) = &mut self.span {
            span.note("fprs.reason", reason.name());
        }
    }

    /// The proxy answered with something that is no failure.
    pub(in crate::proxy) fn told(&mut self, status: StatusCode) {
        if let Some((_, noted)) = &mut self.line {
            noted.end = Some("answered");
            noted.status = Some(status);
        }
        if let Some(span) = &mut self.span {
            span.note("fprs.end", "answered");
            span.answered(status);
        }
    }

    /// The stream was refused: an edge offers it to another proxy.
    pub(in crate::proxy) fn refused(&mut self, reason: Reason) {
        if let Some((_, noted)) = &mut self.line {
            noted.end = Some("refused");
            noted.reason = Some(reason);
        }
        if let Some(span) = &mut self.span {
            span.note("fprs.end", "refused");
            span.note("fprs.reason", reason.name());
        }
    }

    /// Its exchange with a replica has ended.
    pub(in crate::proxy) fn ended(&mut self, outcome: &Outcome) {
        let end = match outcome.end {
            End::Complete => "complete",
            End::Client(_) => "left",
            End::Shed | End::Upstream(_) => "cut",
        };
        if let Some((_, noted)) = &mut self.line {
            noted.status = outcome.status;
            noted.received = outcome.received;
            noted.sent = outcome.sent;
            noted.end = Some(end);
        }
        let Some(span) = &mut self.span else {
            return;
        };
        match outcome.status {
            Some(status) => {
                span.note("fprs.end", end);
                span.answered(status);
                if end == "cut" {
                    span.failed("cut");
                }
            }
            None if outcome.end == End::Client(Gone::Left) => span.note("fprs.end", end),
            // The proxy answers, and that is noted then.
            None => {}
        }
    }
}

/// A span with what is known of its request when it comes.
fn described(mut span: Box<Span>, inbound: &Inbound) -> Box<Span> {
    let (request, uri) = (&inbound.request, inbound.request.uri());
    let method = request.method().as_str();
    span.name(method);
    span.note("http.request.method", method);
    let host = uri.authority().map_or("", Authority::as_str);
    span.note("server.address", host);
    span.note("url.path", uri.path());
    span.note_field(
        "fprs.request_id",
        request.headers().get(forwarded::REQUEST_ID),
    );
    span.part("admission");
    span
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some((pen, mut noted)) = self.line.take() {
            pen.write(noted.end());
            pen.keep(noted);
        }
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note")
            .field("line", &self.line.is_some())
            .field("span", &self.span)
            .finish()
    }
}

/// docs/access-log.md says what the fields mean.
impl Noted {
    fn begin(&mut self, pen: &Pen, inbound: &Inbound, edges: &[IpNet]) {
        *self = Self {
            line: std::mem::take(&mut self.line),
            began_us: clock::now_us(),
            ..Self::default()
        };
        let (fields, uri) = (inbound.request.headers(), inbound.request.uri());
        let line = &mut self.line;
        line.begin();
        line.time(key!("time"), turn::wall(), &mut pen.stamp.borrow_mut());
        line.text(key!("request_id"), text(fields.get(forwarded::REQUEST_ID)));
        let client = forwarded::source_text(fields, &inbound.client, edges);
        line.text(key!("client"), client);
        line.word(key!("method"), Some(inbound.request.method().as_str()));
        line.text(key!("host"), uri.authority().map(Authority::as_str));
        line.text(key!("path"), Some(uri.path()));
        match Context::of(fields) {
            Some(Ok(context)) => {
                line.shown(key!("trace"), format_args!("{:032x}", context.trace()))
            }
            Some(Err(_)) | None => line.text(key!("trace"), None),
        }
    }

    fn routed(&mut self, tenant: Option<&str>, token: Option<&str>, server: Option<&str>) {
        self.routed = true;
        self.line.word(key!("tenant"), tenant);
        self.line.text(key!("token"), token);
        self.line.word(key!("server"), server);
    }

    fn end(&mut self) -> &[u8] {
        if !self.routed {
            self.routed(None, None, None);
        }
        let since = |at: u64| at.saturating_sub(self.began_us);
        let line = &mut self.line;
        if self.sampled {
            line.close();
        }
        if self.variant.is_some() {
            line.word(key!("variant"), self.variant.as_deref());
        }
        line.word(key!("replica"), self.replica.as_deref());
        line.number(key!("offers"), Some(self.offers));
        let status = self.status.map(|status| status.as_u16().into());
        line.number(key!("status"), status);
        line.word(key!("reason"), self.reason.map(Reason::name));
        // What nobody ended, its client did.
        line.word(key!("end"), Some(self.end.unwrap_or("left")));
        line.number(key!("received_bytes"), Some(self.received));
        line.number(key!("sent_bytes"), Some(self.sent));
        line.number(key!("admitted_us"), self.admitted_us.map(since));
        line.number(key!("chosen_us"), self.chosen_us.map(since));
        line.number(key!("connected_us"), self.connected_us.map(since));
        line.number(key!("head_us"), self.head_us.map(since));
        line.number(key!("relay_connected_us"), self.relay.connected_us);
        line.number(key!("relay_head_us"), self.relay.head_us);
        line.number(key!("total_us"), Some(since(clock::now_us())));
        line.end()
    }
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_tells_what_it_knows_and_garbage_is_nothing() {
        let table = [
            ("12 345", Some(12), Some(345)),
            ("12 -", Some(12), None),
            ("- -", None, None),
            ("", None, None),
            ("7", Some(7), None),
            ("x 5", None, Some(5)),
        ];
        for (text, connected_us, head_us) in table {
            let times = RelayTimes {
                connected_us,
                head_us,
            };
            assert_eq!(RelayTimes::parse(text), times, "{text:?}");
        }
    }
}
