//! PURE. A recorded load, one JSON object a line: what a decision was made by and what it was. Enough
//! to make the same decisions again.

use fprs_config::ScalingChange;
use serde::{Deserialize, Serialize};

use crate::decide::{Decision, History, Inputs, Rule};
use crate::demand::Load;

/// One line of a trace. A line by hand needs no more than `{"at_ms":0,"load":{"average":3}}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// Milliseconds since anything; never less than in the line before.
    pub at_ms: u64,
    /// The settings from here on: in the first line and where they changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ScalingChange>,
    /// What was known from before: in the first line, and where the autoscaler began anew because
    /// the server had been at rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What was decided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Sample>,
    /// What was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
}

/// The load of a server over one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sample {
    /// Exchanges in flight and requests waiting, averaged over the tick.
    pub average: f64,
    /// Exchanges in flight at the newest reports.
    pub in_flight: u64,
    /// Requests waiting for a replica.
    pub waiting: u64,
    /// Requests that found no replica during the tick.
    pub unserved: u64,
}

/// A decision, without what it was decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Replicas it should have.
    pub wanted: u32,
    /// Replicas it had.
    pub current: u32,
    /// The rule that bound `wanted`.
    pub rule: Rule,
}

/// A line that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TraceError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a trace; empty lines are left out.
///
/// # Errors
/// Names the first line that can't be used.
pub fn parse(text: &str) -> Result<Vec<Line>, TraceError> {
    let mut lines: Vec<Line> = Vec::new();
    for (number, text) in text.lines().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        let error = |problem: String| TraceError {
            line: number + 1,
            problem,
        };
        let line: Line = serde_json::from_str(text).map_err(|wrong| error(wrong.to_string()))?;
        if let Some(last) = lines.last()
            && last.at_ms > line.at_ms
        {
            let problem = format!("`at_ms` is {}, before {}", line.at_ms, last.at_ms);
            return Err(error(problem));
        }
        lines.push(line);
    }
    Ok(lines)
}

impl Line {
    /// The line of a decision at `at_ms`.
    pub(crate) fn of(at_ms: u64, decision: &Decision) -> Self {
        Self {
            at_ms,
            load: Some(Sample::of(&decision.inputs)),
            decided: Some(Decided::of(decision)),
            ..Self::default()
        }
    }
}

impl Sample {
    const fn of(inputs: &Inputs) -> Self {
        Self {
            average: inputs.average,
            in_flight: inputs.in_flight,
            waiting: inputs.waiting,
            unserved: inputs.unserved,
        }
    }

    /// As the decision takes it.
    pub fn load(&self) -> Load {
        Load {
            average: self.average,
            in_flight: self.in_flight,
            waiting: self.waiting,
            unserved: self.unserved,
            ..Load::default()
        }
    }
}

impl Decided {
    /// What was decided.
    pub const fn of(decision: &Decision) -> Self {
        Self {
            wanted: decision.wanted,
            current: decision.current,
            rule: decision.rule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_by_hand_is_enough_and_a_wrong_one_is_named() {
        let lines = parse("{\"at_ms\":0,\"load\":{\"average\":3}}\n\n{\"at_ms\":200}\n").unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].load.map(|load| load.average), Some(3.0));
        let back = parse("{\"at_ms\":9}\n{\"at_ms\":8}").unwrap_err();
        assert_eq!((back.line, back.problem.contains("before 9")), (2, true));
        let unknown = parse("{\"at\":9}").unwrap_err();
        assert!(unknown.to_string().starts_with("line 1: unknown field"));
    }
}
