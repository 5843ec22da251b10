//! PURE. Some of a server's scaling settings, in the manifest's keys and words: what a change at run
//! time, a trace and a simulation say. What is absent stays as it is.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::raw::{NONE, duration, words};
use crate::record::{Invalid, Scaling};

/// Settings to change. `null` takes a limit or the target away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalingChange {
    /// As in the manifest; `Some(None)`: no autoscaling.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub target_concurrency: Option<Option<f64>>,
    /// As in the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<u32>,
    /// As in the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<u32>,
    /// As in the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_replicas: Option<u32>,
    /// As in the manifest: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaleup_window: Option<String>,
    /// As in the manifest: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaledown_window: Option<String>,
    /// As in the manifest; `Some(None)`: no limit.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub scaleup_rate_limit: Option<Option<u32>>,
    /// As in the manifest; `Some(None)`: no limit.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub scaledown_rate_limit: Option<Option<u32>>,
    /// The pool stays as large as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

impl ScalingChange {
    /// Every setting, as it is.
    pub fn whole(scaling: &Scaling) -> Self {
        Self {
            target_concurrency: Some(scaling.target_concurrency),
            min_replicas: Some(scaling.min_replicas),
            max_replicas: Some(scaling.max_replicas),
            buffer_replicas: Some(scaling.buffer_replicas),
            scaleup_window: Some(words(scaling.scaleup_window)),
            scaledown_window: Some(words(scaling.scaledown_window)),
            scaleup_rate_limit: Some(scaling.scaleup_rate_limit),
            scaledown_rate_limit: Some(scaling.scaledown_rate_limit),
            paused: Some(scaling.paused),
        }
    }

    /// Changes the settings that are given, and checks the result as a whole.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub fn apply(&self, scaling: &Scaling) -> Result<Scaling, Invalid> {
        let window = |field, text: &Option<String>, stays| duration(field, text.clone(), stays);
        let changed = Scaling {
            target_concurrency: self
                .target_concurrency
                .unwrap_or(scaling.target_concurrency),
            min_replicas: self.min_replicas.unwrap_or(scaling.min_replicas),
            max_replicas: self.max_replicas.unwrap_or(scaling.max_replicas),
            buffer_replicas: self.buffer_replicas.unwrap_or(scaling.buffer_replicas),
            scaleup_window: window(
                "scaleup_window",
                &self.scaleup_window,
                scaling.scaleup_window,
            )?,
            scaledown_window: window(
                "scaledown_window",
                &self.scaledown_window,
                scaling.scaledown_window,
            )?,
            scaleup_rate_limit: self
                .scaleup_rate_limit
                .unwrap_or(scaling.scaleup_rate_limit),
            scaledown_rate_limit: self
                .scaledown_rate_limit
                .unwrap_or(scaling.scaledown_rate_limit),
            paused: self.paused.unwrap_or(scaling.paused),
        };
        changed.check()?;
        Ok(changed)
    }

    /// Reads `key=value` words, e.g. `max_replicas=8`; `none` takes a limit or the target away.
    ///
    /// # Errors
    /// Says which word can't be used.
    pub fn from_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Self, String> {
        let mut given = Map::new();
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("`{word}` is not `key=value`"))?;
            given.insert(key.to_owned(), value_of(value));
        }
        serde_json::from_value(Value::Object(given)).map_err(|error| error.to_string())
    }
}

impl Default for Scaling {
    /// What a manifest that says nothing gets.
    fn default() -> Self {
        Self {
            target_concurrency: None,
            min_replicas: 0,
            max_replicas: super::raw::DEFAULT_MAX_REPLICAS,
            buffer_replicas: 0,
            scaleup_window: Duration::ZERO,
            scaledown_window: super::raw::DEFAULT_SCALEDOWN_WINDOW,
            scaleup_rate_limit: None,
            scaledown_rate_limit: None,
            paused: false,
        }
    }
}

/// A number, a truth, nothing, or else a text.
fn value_of(word: &str) -> Value {
    if word == NONE {
        return Value::Null;
    }
    match serde_json::from_str(word) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::from(word),
    }
}

/// Tells a field that is `null` from one that is absent.
fn given<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn what_is_not_given_stays_and_what_is_changes() {
        let change =
            ScalingChange::from_words(["target_concurrency=2.5", "scaledown_window=10s"]).unwrap();
        let changed = change.apply(&samples::scaling()).unwrap();
        let expected = Scaling {
            target_concurrency: Some(2.5),
            scaledown_window: Duration::from_secs(10),
            ..samples::scaling()
        };
        assert_eq!(changed, expected);
    }

    #[test]
    fn null_takes_a_limit_away_and_absence_does_not() {
        let limited = Scaling {
            scaleup_rate_limit: Some(3),
            ..samples::scaling()
        };
        let none: ScalingChange = serde_json::from_str(r#"{"scaleup_rate_limit":null}"#).unwrap();
        assert_eq!(none.apply(&limited).unwrap(), samples::scaling());
        assert_eq!(ScalingChange::default().apply(&limited).unwrap(), limited);
        let whole = ScalingChange::whole(&limited);
        let text = serde_json::to_string(&whole).unwrap();
        let back: ScalingChange = serde_json::from_str(&text).unwrap();
        assert_eq!(back.apply(&Scaling::default()).unwrap(), limited);
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused_by_name() {
        for (words, field) in [
            (vec!["min_replicas=9"], "min_replicas"),
            (vec!["max_replicas=0"], "max_replicas"),
            (vec!["scaledown_rate_limit=0"], "scaledown_rate_limit"),
            (vec!["scaleup_window=soon"], "scaleup_window"),
            (vec!["target_concurrency=-1"], "target_concurrency"),
        ] {
            let change = ScalingChange::from_words(words.iter().copied()).unwrap();
            let refused = change.apply(&samples::scaling()).unwrap_err();
            assert!(refused.to_string().contains(field), "{refused}");
        }
        assert!(ScalingChange::from_words(["max_replica=1"]).is_err());
        assert!(ScalingChange::from_words(["max_replicas"]).is_err());
    }
}
