//! PURE. One exchange as a line of JSON: what a mirror's capture allows of it, and no more. A body that
//! is to be redacted and can't be looked into is left out.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fprs_config::Capture;
use fprs_config::record::is_secret;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::compare::{Paths, redact, redact_events};
use super::seen::{Kind, Seen};

/// An exchange that is to be written down.
#[derive(Debug)]
pub(super) struct Captured {
    /// The request's head.
    pub(super) request: Request<()>,
    /// When it came.
    pub(super) at: SystemTime,
    /// Its body.
    pub(super) body: Vec<u8>,
}

/// The line, with its end.
pub(super) fn line(mirror: &str, rules: &Capture, captured: &Captured, answer: &Seen) -> Vec<u8> {
    let Captured { request, at, body } = captured;
    let paths = Paths::new(&rules.redact);
    let answered = answer.bytes().unwrap_or_default();
    let target = match request.uri().path_and_query() {
        Some(target) if rules.query => target.as_str(),
        _ => request.uri().path(),
    };
    let id = request.headers().get("x-request-id");
    let kind = Kind::of(request.headers());
    let line = json!({
        "v": 1,
        "mirror": mirror,
        "time": humantime::format_rfc3339_micros(*at).to_string(),
        "request_id": id.and_then(|id| id.to_str().ok()),
        "request": {
            "method": request.method().as_str(),
            "target": target,
            "headers": headers(rules, request.headers()),
            "body": told(&paths, kind, body),
        },
        "response": {
            "status": answer.status,
            "headers": headers(rules, &answer.fields),
            "body": told(&paths, answer.kind, &answered),
        },
        "first_us": answer.first_us,
        "whole_us": answer.whole_us,
    });
    let mut line = line.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The headers that are allowed, as pairs.
fn headers(rules: &Capture, fields: &HeaderMap) -> Value {
    let allowed =
        |name: &str| rules.headers.iter().any(|allowed| allowed == name) && !is_secret(name);
    let fields = fields.iter().filter(|(name, _)| allowed(name.as_str()));
    let pairs = fields.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        json!([name.as_str(), value])
    });
    pairs.collect()
}

/// A body as it may be told.
fn told(paths: &Paths<'_>, kind: Kind, body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    if paths.is_empty() {
        return plain(body);
    }
    match kind {
        Kind::Json => match serde_json::from_slice::<Value>(body) {
            Ok(mut value) => {
                redact(paths, &mut value);
                json!({ "text": value.to_string() })
            }
            Err(_) => left_out(body),
        },
        Kind::Events => json!({ "text": redact_events(paths, body) }),
        Kind::Bytes => left_out(body),
    }
}

fn plain(body: &[u8]) -> Value {
    match std::str::from_utf8(body) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": STANDARD.encode(body) }),
    }
}

fn left_out(body: &[u8]) -> Value {
    json!({ "left_out": "can't be looked into, and has to be redacted", "bytes": body.len() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::Response;

    use super::*;
    use crate::proxy::mirror::{Account, Purse, Recorder};

    fn answer(kind: &str, body: &'static [u8]) -> Seen {
        let purse = Purse::new(usize::MAX);
        let mut recorder = Recorder::new(Account::new(usize::MAX, &purse, &purse), true);
        let mut response = Response::new(());
        let fields = response.headers_mut();
        fields.insert("content-type", kind.parse().unwrap());
        fields.insert("set-cookie", "s=planted".parse().unwrap());
        recorder.head(&response, false);
        recorder.piece(&Bytes::from_static(body), true);
        recorder.seen().unwrap()
    }

    fn captured(kind: &str, body: &[u8]) -> Captured {
        let request = Request::post("/v1/chat?key=planted")
            .header("content-type", kind)
            .header("authorization", "planted")
            .header("x-other", "planted");
        Captured {
            request: request.body(()).unwrap(),
            at: SystemTime::UNIX_EPOCH,
            body: body.to_vec(),
        }
    }

    fn rules(redact: &[&str], query: bool) -> Capture {
        let names = ["content-type", "authorization", "set-cookie"];
        Capture {
            headers: names.map(str::to_owned).into(),
            redact: redact.iter().map(|path| (*path).to_owned()).collect(),
            query,
        }
    }

    fn read(line: &[u8]) -> Value {
        assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'));
        serde_json::from_slice(line).unwrap()
    }

    #[test]
    fn planted_secrets_are_nowhere_in_a_line() {
        let json = "application/json";
        let events = "text/event-stream";
        let one = br#"{"user":{"mail":"planted"},"list":[{"key":"planted","keep":"kept"}]}"#;
        let stream = b"data: {\"user\":\"planted\",\"n\":\"kept\"}\n\ndata: planted words\n\ndata: [DONE]\n\n: planted\n\n";
        let rules = rules(&["/user", "/list/*/key"], false);
        for (kind, body) in [
            (json, &one[..]),
            (events, stream),
            (json, b"planted, no JSON"),
            ("text/plain", b"planted"),
            ("application/octet-stream", b"planted \xff"),
        ] {
            let body = Box::leak(body.to_vec().into_boxed_slice());
            let line = line("m", &rules, &captured(kind, body), &answer(kind, body));
            let text = String::from_utf8(line.clone()).unwrap();
            assert!(!text.contains("planted"), "{text}");
            let parts = read(&line);
            assert_eq!(parts["request"]["target"], "/v1/chat");
            assert_eq!(parts["request"]["headers"], json!([["content-type", kind]]));
            assert_eq!(
                text.matches("kept").count() > 0,
                body.windows(4).any(|four| four == b"kept")
            );
        }
    }

    #[test]
    fn what_is_not_redacted_is_there_to_the_byte() {
        for body in [&b"{ \"a\" : 1 }\r\n"[..], b"", b"\xff\x00\xfe"] {
            let body: &'static [u8] = Box::leak(body.to_vec().into_boxed_slice());
            let line = line(
                "m",
                &rules(&[], true),
                &captured("application/json", body),
                &answer("application/json", body),
            );
            let parts = read(&line);
            assert_eq!(parts["request"]["target"], "/v1/chat?key=planted");
            for side in ["request", "response"] {
                let told = &parts[side]["body"];
                let back = match (told["text"].as_str(), told["base64"].as_str()) {
                    (Some(text), _) => text.as_bytes().to_vec(),
                    (None, Some(text)) => STANDARD.decode(text).unwrap(),
                    (None, None) => Vec::new(),
                };
                assert_eq!(back, body);
            }
        }
    }

    #[test]
    fn an_answer_is_kept_whatever_it_is_where_it_is_captured() {
        let purse = Purse::new(usize::MAX);
        let account = Account::new(usize::MAX, &purse, &purse);
        let mut recorder = Recorder::new(Arc::clone(&account), true);
        recorder.head(&Response::new(()), false);
        recorder.piece(&Bytes::from_static(b"\x00\x01"), true);
        assert_eq!(recorder.seen().unwrap().bytes().unwrap(), b"\x00\x01");
        assert_eq!(purse.held(), 0);
    }
}
