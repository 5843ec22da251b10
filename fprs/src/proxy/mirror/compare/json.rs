//! PURE. Where two JSON values differ, as paths; some paths may.

use serde_json::Value;

/// Paths that may differ, with all below them.
pub(super) struct Paths<'a>(Vec<Vec<&'a str>>);

impl<'a> Paths<'a> {
    /// As users write them: `/usage`, `/choices/*/id`.
    pub(super) fn new(paths: &'a [String]) -> Self {
        let steps = |path: &'a String| path.split('/').skip(1).collect();
        Self(paths.iter().map(steps).collect())
    }

    fn ignore(&self, at: &[String]) -> bool {
        self.0.iter().any(|path| {
            let fits = |(step, at): (&&str, &String)| *step == "*" || *step == at;
            path.len() == at.len() && path.iter().zip(at).all(fits)
        })
    }
}

/// Tells of every place where the values differ: its path, and both values there. What only one of
/// them has is `(nothing)` in the other.
pub(super) fn compare(
    paths: &Paths<'_>,
    one: &Value,
    other: &Value,
    tell: &mut dyn FnMut(String, String, String),
) {
    walk(paths, &mut Vec::new(), Some(one), Some(other), tell);
}

fn walk(
    paths: &Paths<'_>,
    at: &mut Vec<String>,
    one: Option<&Value>,
    other: Option<&Value>,
    tell: &mut dyn FnMut(String, String, String),
) {
    if one == other || paths.ignore(at) {
        return;
    }
    let mut below = |step: String, one: Option<&Value>, other: Option<&Value>| {
        at.push(step);
        walk(paths, at, one, other, tell);
        at.pop();
    };
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            for (name, value) in one {
                below(name.clone(), Some(value), other.get(name));
            }
            for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
                below(name.clone(), None, Some(value));
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for place in 0..one.len().max(other.len()) {
                below(place.to_string(), one.get(place), other.get(place));
            }
        }
        _ => {
            let text = |value: Option<&Value>| {
                value.map_or_else(|| "(nothing)".to_owned(), ToString::to_string)
            };
            tell(format!("/{}", at.join("/")), text(one), text(other));
        }
    }
}
