//! PURE. Where two streams of server-sent events differ: event by event, and within the data of an
//! event where that is JSON. How the streams were cut into pieces makes no difference, nor do comments.

use serde_json::Value;

use super::json::{self, Paths};

/// One event: its type, id and data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    kind: String,
    id: String,
    data: String,
}

/// The events of a stream (WHATWG HTML §9.2.6). What is left without a blank line is one more: the
/// stream ended, and nothing is to be lost here.
pub(super) fn parse(stream: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let mut event = Event::default();
    for line in text.split('\n').chain([""]) {
        if line.is_empty() {
            let event = std::mem::take(&mut event);
            if event != Event::default() {
                events.push(event);
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.kind),
            "id" => value.clone_into(&mut event.id),
            "data" => {
                if !event.data.is_empty() {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            _ => {}
        }
    }
    events
}

/// Tells of every event that differs, by its number from 0, with the path where its data is JSON.
pub(super) fn compare(
    paths: &Paths<'_>,
    one: &[u8],
    other: &[u8],
    tell: &mut dyn FnMut(String, String, String),
) {
    let (one, other) = (parse(one), parse(other));
    for number in 0..one.len().max(other.len()) {
        match (one.get(number), other.get(number)) {
            (Some(one), Some(other)) => pair(paths, number, one, other, tell),
            (one, other) => {
                let text = |event: Option<&Event>| {
                    event.map_or_else(|| "(nothing)".to_owned(), |event| event.data.clone())
                };
                tell(number.to_string(), text(one), text(other));
            }
        }
    }
}

fn pair(
    paths: &Paths<'_>,
    number: usize,
    one: &Event,
    other: &Event,
    tell: &mut dyn FnMut(String, String, String),
) {
    if (&one.kind, &one.id) != (&other.kind, &other.id) {
        let text = |event: &Event| format!("event `{}`, id `{}`", event.kind, event.id);
        tell(number.to_string(), text(one), text(other));
    }
    if one.data == other.data {
        return;
    }
    let read = |event: &Event| serde_json::from_str::<Value>(&event.data);
    match (read(one), read(other)) {
        (Ok(one), Ok(other)) => json::compare(paths, &one, &other, &mut |at, one, other| {
            tell(format!("{number} {at}"), one, other);
        }),
        _ => tell(number.to_string(), one.data.clone(), other.data.clone()),
    }
}
