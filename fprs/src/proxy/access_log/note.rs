//! What is noted of one request on its way, and becomes a line when it ends, however it does. Where
//! nobody wants lines a note is nothing, and noting costs a branch. Neither queries nor credentials
//! are noted.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use fprs_autoscaler_client::clock;
use fprs_forward::downstream::Inbound;
use fprs_forward::exchange::{End, Outcome};
use fprs_forward::{Reason, fields};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode};
use ipnet::IpNet;

use super::Pen;
use super::line::{Line, key};
use crate::proxy::forwarded;
use crate::proxy::table::{Replica, Route};

/// A note of one request.
pub(in crate::proxy) struct Note(Option<(Rc<Pen>, Box<Noted>)>);

/// What is known of a request until its end. The memory of one is used for many.
#[derive(Debug, Default)]
pub(super) struct Noted {
    line: Line,
    admitted: bool,
    replica: Option<Arc<str>>,
    /// Of the steady clock, as what follows.
    began_us: u64,
    connected_us: Option<u64>,
    head_us: Option<u64>,
    offers: u64,
    status: Option<StatusCode>,
    reason: Option<Reason>,
    end: Option<&'static str>,
    received: u64,
    sent: u64,
}

impl Note {
    /// Of a request that has its id, for a core that writes lines.
    pub(in crate::proxy) fn of(pen: Option<&Rc<Pen>>, inbound: &Inbound, edges: &[IpNet]) -> Self {
        Self(pen.map(|pen| {
            let mut noted = pen.blank();
            noted.begin(inbound, edges);
            (Rc::clone(pen), noted)
        }))
    }

    /// Of what nobody wants a line of.
    pub(in crate::proxy) const fn nothing() -> Self {
        Self(None)
    }

    /// It may take that route; its fields say on whose behalf.
    pub(in crate::proxy) fn admitted(&mut self, route: &Route, fields: &HeaderMap) {
        if let Some((_, noted)) = &mut self.0 {
            let token = text(fields.get(fields::TOKEN_ID));
            noted.admitted(Some(route.tenant.name()), token, Some(&route.server));
        }
    }

    /// It is sent to that replica.
    pub(in crate::proxy) fn offered(&mut self, replica: &Replica) {
        if let Some((_, noted)) = &mut self.0 {
            noted.replica = Some(Arc::clone(replica.id()));
            noted.connected_us = Some(clock::now_us());
            noted.offers += 1;
        }
    }

    /// The replica began to answer, or its relay for it, which gives a reason.
    pub(in crate::proxy) fn head(&mut self, fields: &HeaderMap) {
        if let Some((_, noted)) = &mut self.0 {
            noted.head_us = Some(clock::now_us());
            let reason = fields.get(fields::REASON);
            noted.reason = reason.and_then(|reason| Reason::of(reason.as_bytes()));
        }
    }

    /// The proxy answered itself.
    pub(in crate::proxy) fn answered(&mut self, reason: Reason) {
        self.told(reason.status());
        if let Some((_, noted)) = &mut self.0 {
            noted.reason = Some(reason);
        }
    }

    /// The proxy answered with something that is no failure.
    pub(in crate::proxy) fn told(&mut self, status: StatusCode) {
        if let Some((_, noted)) = &mut self.0 {
            noted.end = Some("answered");
            noted.status = Some(status);
        }
    }

    /// The stream was refused: an edge offers it to another proxy.
    pub(in crate::proxy) fn refused(&mut self, reason: Reason) {
        if let Some((_, noted)) = &mut self.0 {
            noted.end = Some("refused");
            noted.reason = Some(reason);
        }
    }

    /// Its exchange with a replica has ended.
    pub(in crate::proxy) fn ended(&mut self, outcome: &Outcome) {
        if let Some((_, noted)) = &mut self.0 {
            noted.status = outcome.status;
            noted.received = outcome.received;
            noted.sent = outcome.sent;
            noted.end = Some(match outcome.end {
                End::Complete => "complete",
                End::Client(_) => "left",
                End::Shed | End::Upstream(_) => "cut",
            });
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some((pen, mut noted)) = self.0.take() {
            pen.write(noted.end());
            pen.keep(noted);
        }
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Note").field(&self.0.is_some()).finish()
    }
}

/// docs/access-log.md says what the fields mean.
impl Noted {
    fn begin(&mut self, inbound: &Inbound, edges: &[IpNet]) {
        *self = Self {
            line: std::mem::take(&mut self.line),
            began_us: clock::now_us(),
            ..Self::default()
        };
        let (fields, uri) = (inbound.request.headers(), inbound.request.uri());
        let line = &mut self.line;
        line.begin();
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        line.shown(key!("time"), now);
        line.text(key!("request_id"), text(fields.get(forwarded::REQUEST_ID)));
        let client = forwarded::source_text(fields, &inbound.client, edges);
        line.text(key!("client"), client);
        line.text(key!("method"), Some(inbound.request.method().as_str()));
        line.text(key!("host"), uri.authority().map(Authority::as_str));
        line.text(key!("path"), Some(uri.path()));
    }

    fn admitted(&mut self, tenant: Option<&str>, token: Option<&str>, server: Option<&str>) {
        self.admitted = true;
        self.line.text(key!("tenant"), tenant);
        self.line.text(key!("token"), token);
        self.line.text(key!("server"), server);
    }

    fn end(&mut self) -> &[u8] {
        if !self.admitted {
            self.admitted(None, None, None);
        }
        let since = |at: u64| at.saturating_sub(self.began_us);
        let line = &mut self.line;
        line.text(key!("replica"), self.replica.as_deref());
        line.number(key!("offers"), Some(self.offers));
        let status = self.status.map(|status| status.as_u16().into());
        line.number(key!("status"), status);
        line.text(key!("reason"), self.reason.map(Reason::name));
        // What nobody ended, its client did.
        line.text(key!("end"), Some(self.end.unwrap_or("left")));
        line.number(key!("received_bytes"), Some(self.received));
        line.number(key!("sent_bytes"), Some(self.sent));
        line.number(key!("connected_us"), self.connected_us.map(since));
        line.number(key!("head_us"), self.head_us.map(since));
        line.number(key!("total_us"), Some(since(clock::now_us())));
        line.end()
    }
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}
