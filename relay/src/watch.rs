//! How long a relay's own part of an exchange takes, for whoever wants to know: its proxy, which writes
//! it down, and those who trace. For everybody else nothing is noted.

use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fprs_forward::exchange::{End, Outcome};
use fprs_forward::trace::{Span, Tracer};
use fprs_forward::{Reason, fields};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request};

use crate::replicas::Running;

/// One exchange; boxed, as it is rare.
#[derive(Debug)]
pub(crate) struct Watch(Option<Box<Watched>>);

#[derive(Debug)]
struct Watched {
    began: Instant,
    connected: Option<Duration>,
    /// The proxy asks for the times.
    asked: bool,
    span: Option<Box<Span>>,
}

impl Watch {
    /// Of a request; its program is told of the span, and not of what proxies ask.
    pub(crate) fn of(tracer: Option<&Rc<Tracer>>, request: &mut Request<()>) -> Self {
        let asked = request.headers_mut().remove(fields::TIMES).is_some();
        let span = tracer.and_then(|tracer| tracer.follow(request.headers_mut()));
        let span = span.map(|span| described(span, request));
        Self((asked || span.is_some()).then(|| {
            Box::new(Watched {
                began: Instant::now(),
                connected: None,
                asked,
                span,
            })
        }))
    }

    /// The replica takes it.
    pub(crate) fn begun(&mut self, replica: &Running) {
        if let Some(span) = self.span() {
            span.note("fprs.server", &**replica.server());
            span.part_of("connect", Some(replica.id()));
        }
    }

    /// There is a connection to the program; also another one, when the first was gone.
    pub(crate) fn connected(&mut self) {
        if let Some(watched) = &mut self.0 {
            watched.connected = Some(watched.began.elapsed());
        }
        if let Some(span) = self.span() {
            span.part("first byte");
        }
    }

    /// The program began to answer.
    pub(crate) fn head(&mut self, fields: &mut HeaderMap) {
        let Some(watched) = &mut self.0 else {
            return;
        };
        if watched.asked {
            let head = Some(watched.began.elapsed());
            if let Ok(times) = HeaderValue::try_from(times(watched.connected, head)) {
                fields.insert(fields::TIMES, times);
            }
        }
        if let Some(span) = &mut watched.span {
            span.part("body");
        }
    }

    /// The relay answers in its program's place.
    pub(crate) fn answered(&mut self, reason: Reason) {
        if let Some(span) = self.span() {
            span.note("fprs.reason", reason.name());
            span.answered(reason.status());
        }
    }

    /// What the program said has gone to the proxy, or not all of it.
    pub(crate) fn ended(&mut self, outcome: &Outcome) {
        let Some(span) = self.span() else {
            return;
        };
        if let Some(status) = outcome.status {
            span.answered(status);
        }
        match outcome.end {
            End::Complete => {}
            End::Client(_) => span.note("fprs.end", "left"),
            End::Shed | End::Upstream(_) => {
                span.note("fprs.end", "cut");
                span.failed("cut");
            }
        }
    }

    fn span(&mut self) -> Option<&mut Span> {
        self.0.as_mut()?.span.as_deref_mut()
    }
}

/// A span with what is known of its request when it comes.
fn described(mut span: Box<Span>, request: &Request<()>) -> Box<Span> {
    let method = request.method().as_str();
    span.name(method);
    span.note("http.request.method", method);
    let host = request.uri().authority().map_or("", Authority::as_str);
    span.note("server.address", host);
    span.note("url.path", request.uri().path());
    let fields = request.headers();
    span.note_field("fprs.replica", fields.get(fields::REPLICA));
    span.note_field("fprs.mirror", fields.get(fields::MIRROR));
    span.part("admission");
    span
}

/// In microseconds.
fn times(connected: Option<Duration>, head: Option<Duration>) -> String {
    let mut text = String::new();
    for time in [connected, head] {
        if !text.is_empty() {
            text.push(' ');
        }
        // Writing to a String can't fail.
        match time {
            Some(time) => write!(text, "{}", time.as_micros()).ok(),
            None => write!(text, "-").ok(),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_microseconds_and_what_did_not_happen_has_none() {
        let head = Some(Duration::from_micros(345));
        assert_eq!(times(Some(Duration::from_micros(12)), head), "12 345");
        assert_eq!(times(None, head), "- 345");
    }

    #[test]
    fn a_request_that_nobody_asks_about_is_not_watched() {
        let mut request = Request::new(());
        assert!(Watch::of(None, &mut request).0.is_none());
        let value = HeaderValue::from_static("1");
        request.headers_mut().insert(fields::TIMES, value);
        let mut watch = Watch::of(None, &mut request);
        assert!(request.headers().is_empty());
        watch.connected();
        let mut answer = HeaderMap::new();
        watch.head(&mut answer);
        assert_eq!(answer.len(), 1);
    }
}
