//! PURE. What is different between a server's answer and its shadow's. The same bytes are the same; of
//! JSON and of server-sent events it is said where they differ, except where they may.

mod events;
mod json;

use fprs_config::Compare;
use http::HeaderMap;

use self::json::Paths;
use super::seen::{Kind, Seen};

/// Differences told of one pair of answers: enough to see what is wrong.
pub(super) const TOLD: usize = 8;

/// Characters told of a value.
const QUOTED_CHARS: usize = 200;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of what.
    pub part: Part,
    /// Where in it: a header's name, a JSON path, an event's number.
    pub at: String,
    /// What the server answered.
    pub primary: String,
    /// What the shadow answered.
    pub shadow: String,
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The status.
    Status,
    /// A header.
    Header,
    /// A body that is not looked into.
    Body,
    /// A value in a JSON body.
    Json,
    /// A server-sent event.
    Event,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 5] = [
        Self::Status,
        Self::Header,
        Self::Body,
        Self::Json,
        Self::Event,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Header => "header",
            Self::Body => "body",
            Self::Json => "json",
            Self::Event => "event",
        }
    }
}

/// The differences that matter by `rules`, the first [`TOLD`] of them.
pub(super) fn compare(rules: &Compare, primary: &Seen, shadow: &Seen) -> Vec<Difference> {
    let mut found = Found::default();
    if primary.status != shadow.status {
        let (primary, shadow) = (primary.status.to_string(), shadow.status.to_string());
        found.add(Part::Status, String::new(), primary, shadow);
    }
    for name in &rules.headers {
        let (primary, shadow) = (values(&primary.fields, name), values(&shadow.fields, name));
        if primary != shadow {
            found.add(Part::Header, name.clone(), primary, shadow);
        }
    }
    let same = primary.length == shadow.length && primary.digest.as_ref() == shadow.digest.as_ref();
    if !same {
        let paths = Paths::new(&rules.ignore);
        if bodies(&paths, primary, shadow, &mut found).is_none() {
            let told = |seen: &Seen| format!("{} bytes, sha256 {}", seen.length, hex(seen));
            found.add(Part::Body, String::new(), told(primary), told(shadow));
        }
    }
    found.0
}

/// Looks into two bodies; `None`: they can't be looked into.
fn bodies(paths: &Paths<'_>, primary: &Seen, shadow: &Seen, found: &mut Found) -> Option<()> {
    if primary.kind != shadow.kind || primary.kind == Kind::Bytes {
        return None;
    }
    let (one, other) = (primary.bytes()?, shadow.bytes()?);
    match primary.kind {
        Kind::Json => {
            let one = serde_json::from_slice(&one).ok()?;
            let other = serde_json::from_slice(&other).ok()?;
            json::compare(paths, &one, &other, &mut |at, one, other| {
                found.add(Part::Json, at, one, other);
            });
        }
        Kind::Events => events::compare(paths, &one, &other, &mut |at, one, other| {
            found.add(Part::Event, at, one, other);
        }),
        Kind::Bytes => return None,
    }
    Some(())
}

/// The first differences.
#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn add(&mut self, part: Part, at: String, primary: String, shadow: String) {
        if self.0.len() < TOLD {
            self.0.push(Difference {
                part,
                at: cut(&at),
                primary: cut(&primary),
                shadow: cut(&shadow),
            });
        }
    }
}

fn values(fields: &HeaderMap, name: &str) -> String {
    let values = fields.get_all(name).iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.collect::<Vec<_>>().join(", ")
}

fn hex(seen: &Seen) -> String {
    let first = seen.digest.as_ref().iter().take(8);
    first.map(|byte| format!("{byte:02x}")).collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
