//! PURE. What fprs is meant to reach beside its peers, and whether this comparison shows it.

use serde::Serialize;

use super::{Report, Row};

/// Whose goals these are.
const OURS: &str = "fprs";

/// One goal: a figure of ours is at most so many times another one.
#[derive(Clone, Copy, Debug)]
struct Goal {
    case: &'static str,
    metric: &'static str,
    than: Than,
    limit: f64,
}

/// What a figure is compared with.
#[derive(Clone, Copy, Debug)]
enum Than {
    /// The same figure of a peer.
    Peer(&'static str),
    /// The same figure in another case.
    Case(&'static str),
    /// Nothing: the figure is a ratio.
    Itself,
    /// That figure of the same case, measured undisturbed.
    Quiet(&'static str),
}

/// What a comparison says of a goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The case.
    pub case: String,
    /// The figure.
    pub metric: String,
    /// What it is divided by, in words.
    pub than: String,
    /// The most that it should be.
    pub limit: f64,
    /// What it is, of the medians.
    pub ratio: f64,
    /// Whether that is reached.
    pub kept: bool,
}

const fn goal(case: &'static str, metric: &'static str, than: Than, limit: f64) -> Goal {
    Goal {
        case,
        metric,
        than,
        limit,
    }
}

const CPU: &str = "cpu_us_per_request";

const GOALS: [Goal; 38] = [
    goal("h2-h2", CPU, Than::Peer("envoy"), 0.50),
    goal("h2-h2", CPU, Than::Peer("pingora-ns"), 0.70),
    goal("h2-h2", CPU, Than::Peer("h2-relay"), 1.35),
    // Not asked for yet: the leader of this table, and the next goal.
    goal("h2-h2", CPU, Than::Peer("haproxy"), 1.00),
    goal("h1-h1", CPU, Than::Peer("envoy"), 0.65),
    goal("h1-h1", CPU, Than::Peer("pingora"), 0.85),
    goal("h1-h1", CPU, Than::Peer("pingora-ns"), 0.85),
    goal("h2-h1", CPU, Than::Peer("envoy"), 0.65),
    goal("h2-h1", CPU, Than::Peer("pingora"), 0.85),
    goal("h2-h1", CPU, Than::Peer("pingora-ns"), 0.85),
    goal("h2-h2-low", "p50_us", Than::Peer("h2-relay"), 1.10),
    goal("h2-h2-low", "p99_us", Than::Peer("h2-relay"), 1.25),
    goal("h2-h2-low", "p99_us", Than::Peer("envoy"), 1.00),
    goal("h2-h2-low", "p999_us", Than::Peer("envoy"), 1.00),
    goal("h2-h2-low", "p99_us", Than::Peer("haproxy"), 1.00),
    goal("h2-h2-low", "p999_us", Than::Peer("haproxy"), 1.00),
    goal("h2-h2-sse", "added_chunk_p50_us", Than::Peer("envoy"), 1.00),
    goal("h2-h2-sse", "added_chunk_p99_us", Than::Peer("envoy"), 0.80),
    goal("h2-h1-sse", "added_chunk_p50_us", Than::Peer("envoy"), 1.00),
    goal("h2-h1-sse", "added_chunk_p99_us", Than::Peer("envoy"), 0.80),
    goal("h2-h2-bulk", "cpu_s_per_gib", Than::Peer("envoy"), 1.00),
    goal("h1-h1-bulk", "cpu_s_per_gib", Than::Peer("envoy"), 1.00),
    goal("h2-h1-bulk", "cpu_s_per_gib", Than::Peer("envoy"), 1.00),
    goal(
        "h2-h2-stalled-readers",
        "victim_p99_us",
        Than::Quiet("quiet_p99_us"),
        1.20,
    ),
    goal(
        "h2-h2-flood",
        "victim_p99_us",
        Than::Quiet("quiet_p99_us"),
        1.20,
    ),
    goal(
        "h2-h2-churn",
        "victim_p99_us",
        Than::Quiet("quiet_p99_us"),
        1.20,
    ),
    goal("h2-h2-mirror", "cpu_ratio", Than::Itself, 1.60),
    goal(
        "h2-h2-mirror-low",
        "victim_p99_us",
        Than::Quiet("quiet_p99_us"),
        1.05,
    ),
    goal("h2-h2-mirror-stuck", "cpu_ratio", Than::Itself, 1.60),
    goal(
        "h2-h2-mirror-stuck-low",
        "victim_p99_us",
        Than::Quiet("quiet_p99_us"),
        1.05,
    ),
    goal("h2-h2-memory", HELD, Than::Peer("h2-relay"), 1.00),
    goal("h2-h2-memory", HELD, Than::Peer("haproxy"), 1.00),
    goal("h1-h1-memory", HELD, Than::Peer("pingora-ns"), 0.60),
    goal("h1-h1-memory", HELD, Than::Peer("haproxy"), 1.00),
    goal("h2-h2-two-cores", CPU, Than::Case("h2-h2"), 1.10),
    goal("h1-h2-ws", "cpu_us_per_message", Than::Peer("envoy"), 1.00),
    goal("h2-h1-ws", "cpu_us_per_message", Than::Peer("envoy"), 1.00),
    goal("h1-h1-ws", "cpu_us_per_message", Than::Peer("envoy"), 1.00),
];

const HELD: &str = "kib_per_held_exchange";

/// Every goal that the report has the figures for.
#[must_use]
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    GOALS
        .iter()
        .filter_map(|goal| goal.verdict(report))
        .collect()
}

impl Goal {
    fn verdict(&self, report: &Report) -> Option<Verdict> {
        let median = |case, proxy| report.row(case, proxy, self.metric).map(Row::median);
        let ours = median(self.case, OURS)?;
        let (theirs, than) = match self.than {
            Than::Peer(peer) => (median(self.case, peer)?, peer.to_owned()),
            Than::Case(case) => (median(case, OURS)?, format!("its {case}")),
            Than::Itself => (1.0, "itself undisturbed".to_owned()),
            Than::Quiet(metric) => {
                let row = report.row(self.case, OURS, metric)?;
                (row.median(), "itself undisturbed".to_owned())
            }
        };
        let ratio = ours / theirs;
        Some(Verdict {
            case: self.case.to_owned(),
            metric: self.metric.to_owned(),
            than,
            limit: self.limit,
            ratio,
            kept: ratio <= self.limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, report::tests::row};

    #[test]
    fn a_goal_is_kept_by_the_ratio_of_medians_and_left_out_without_figures() {
        let rows = vec![
            row(OURS, &[5.0]),
            row("envoy", &[11.0]),
            row("haproxy", &[4.0]),
        ];
        let report = Report {
            rows,
            ..Report::default()
        };
        let verdicts = verdicts(&report);
        let kept: Vec<(&str, bool)> = verdicts
            .iter()
            .map(|verdict| (verdict.than.as_str(), verdict.kept))
            .collect();
        assert_eq!(kept, [("envoy", true), ("haproxy", false)]);
    }

    #[test]
    fn every_goal_is_of_a_case_that_there_is() {
        for goal in GOALS {
            assert!(cases::Case::named(goal.case).is_some(), "{}", goal.case);
        }
    }
}
