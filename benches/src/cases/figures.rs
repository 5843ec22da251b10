//! PURE. The figures that a run of a case gives.

use super::{Case, Kind};
use crate::{load::Outcome, process::Spent};

const GIBIBYTE: f64 = (1_u64 << 30) as f64;

/// One figure of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name.
    pub metric: &'static str,
    /// Its unit; empty for counts and ratios.
    pub unit: &'static str,
    /// Its value.
    pub value: f64,
}

/// What a run of a case measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The run itself; with interference the victim's.
    pub main: Outcome,
    /// The same while little or nothing was asked: fewer held exchanges, a quiet victim.
    pub base: Option<Outcome>,
    /// Changes of the routing table meanwhile, where some were made.
    pub changes_per_s: Option<f64>,
    /// The share of copies that their shadow answered whole, where there were any.
    pub copied: Option<f64>,
}

impl Case {
    /// The figures of a run, beside the same run without a proxy where there was one.
    #[must_use]
    pub fn figures(self, measured: &Measured, direct: Option<&Outcome>) -> Vec<Figure> {
        let main = &measured.main;
        match self.kind {
            Kind::Saturation | Kind::TwoCores => saturation(main),
            Kind::LowRate => low_rate(main, direct),
            Kind::Events => events(main, direct),
            Kind::WebSocket => messages(main),
            Kind::Bulk => bulk(main),
            Kind::Memory { .. } => memory(main, measured.base.as_ref()),
            Kind::Idle { .. } => idle(main, measured.base.as_ref()),
            Kind::Cold => cold(main),
            Kind::Stalled | Kind::Flood | Kind::Churn => {
                let mut figures = interference(main, measured.base.as_ref());
                let changes = measured.changes_per_s;
                figures.extend(changes.map(|changes| figure("changes_per_s", "1/s", changes)));
                figures
            }
            Kind::Mirror { low, .. } => mirror(low, measured),
        }
    }
}

fn figure(metric: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure {
        metric,
        unit,
        value,
    }
}

fn cpu_us(spent: Spent) -> f64 {
    spent.cpu_ns as f64 / 1_000.0
}

/// What a request costs the proxy; nothing where there is none.
fn per_request(main: &Outcome) -> Vec<Figure> {
    let Some(spent) = main.spent else {
        return Vec::new();
    };
    let requests = main.requests.max(1) as f64;
    vec![
        figure("cpu_us_per_request", "us", cpu_us(spent) / requests),
        figure("switches_per_request", "", spent.switches as f64 / requests),
    ]
}

fn saturation(main: &Outcome) -> Vec<Figure> {
    let mut figures = per_request(main);
    figures.push(figure(
        "requests_per_s",
        "1/s",
        main.requests as f64 / main.seconds,
    ));
    if let Some(spent) = main.spent {
        figures.push(figure(
            "core_busy",
            "",
            spent.cpu_ns as f64 / 1e9 / main.seconds,
        ));
    }
    figures.push(figure("p50_us", "us", main.latency_us.p50));
    figures.push(figure("p99_us", "us", main.latency_us.p99));
    figures
}

fn low_rate(main: &Outcome, direct: Option<&Outcome>) -> Vec<Figure> {
    let mut figures = per_request(main);
    let (with, without) = (&main.latency_us, direct.map(|direct| &direct.latency_us));
    for (total, added, value, without) in [
        (
            "p50_us",
            "added_p50_us",
            with.p50,
            without.map(|spread| spread.p50),
        ),
        (
            "p99_us",
            "added_p99_us",
            with.p99,
            without.map(|spread| spread.p99),
        ),
        (
            "p999_us",
            "added_p999_us",
            with.p999,
            without.map(|spread| spread.p999),
        ),
    ] {
        figures.push(figure(total, "us", value));
        figures.extend(without.map(|without| figure(added, "us", value - without)));
    }
    figures
}

fn events(main: &Outcome, direct: Option<&Outcome>) -> Vec<Figure> {
    let spread = &main.event_us;
    let mut figures = Vec::new();
    if let Some(spent) = main.spent {
        let chunks = spread.count.max(1) as f64;
        figures.push(figure("cpu_us_per_chunk", "us", cpu_us(spent) / chunks));
    }
    figures.push(figure("chunk_p50_us", "us", spread.p50));
    figures.push(figure("chunk_p99_us", "us", spread.p99));
    if let Some(direct) = direct {
        figures.push(figure(
            "added_chunk_p50_us",
            "us",
            spread.p50 - direct.event_us.p50,
        ));
        figures.push(figure(
            "added_chunk_p99_us",
            "us",
            spread.p99 - direct.event_us.p99,
        ));
    }
    figures
}

fn messages(main: &Outcome) -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Some(spent) = main.spent {
        let messages = main.requests.max(1) as f64;
        figures.push(figure("cpu_us_per_message", "us", cpu_us(spent) / messages));
    }
    let rate = main.requests as f64 / main.seconds;
    figures.push(figure("messages_per_s", "1/s", rate));
    figures.push(figure("p50_us", "us", main.latency_us.p50));
    figures.push(figure("p99_us", "us", main.latency_us.p99));
    figures
}

fn bulk(main: &Outcome) -> Vec<Figure> {
    let gibibytes = main.bytes as f64 / GIBIBYTE;
    let cpu_s = cpu_us(main.spent.unwrap_or_default()) / 1e6;
    vec![
        figure("cpu_s_per_gib", "s", cpu_s / gibibytes),
        figure("gib_per_s", "GiB/s", gibibytes / main.seconds),
    ]
}

/// From the burst to the answers, the start of the replica included.
fn cold(main: &Outcome) -> Vec<Figure> {
    let ms = |us: f64| us / 1_000.0;
    vec![
        figure("p50_ms", "ms", ms(main.latency_us.p50)),
        figure("p99_ms", "ms", ms(main.latency_us.p99)),
        figure("max_ms", "ms", ms(main.latency_us.max)),
        figure("answered", "", main.requests as f64),
    ]
}

fn idle(main: &Outcome, base: Option<&Outcome>) -> Vec<Figure> {
    let rss = |outcome: &Outcome| outcome.spent.unwrap_or_default().rss as f64 / 1024.0;
    let (before, fewer) = base.map_or((0.0, 0), |base| (rss(base), base.requests));
    let more = main.requests.saturating_sub(fewer).max(1) as f64;
    vec![
        figure("kib_per_connection", "KiB", (rss(main) - before) / more),
        figure("connections", "", main.requests as f64),
    ]
}

/// Exchanges are counted by the one event that each held exchange has received.
fn memory(main: &Outcome, base: Option<&Outcome>) -> Vec<Figure> {
    let rss = |outcome: &Outcome| outcome.spent.unwrap_or_default().rss as f64 / 1024.0;
    let held = |outcome: &Outcome| outcome.event_us.count as f64;
    let (base_rss, base_held) = base.map_or((0.0, 0.0), |base| (rss(base), held(base)));
    let more = (held(main) - base_held).max(1.0);
    vec![
        figure(
            "kib_per_held_exchange",
            "KiB",
            (rss(main) - base_rss) / more,
        ),
        figure("held", "", held(main)),
        figure("base_mib", "MiB", base_rss / 1024.0),
    ]
}

fn interference(main: &Outcome, base: Option<&Outcome>) -> Vec<Figure> {
    let quiet = base.map_or(f64::NAN, |base| base.latency_us.p99);
    vec![
        figure("quiet_p99_us", "us", quiet),
        figure("victim_p50_us", "us", main.latency_us.p50),
        figure("victim_p99_us", "us", main.latency_us.p99),
        figure("victim_p99_ratio", "", main.latency_us.p99 / quiet),
        figure("victim_unanswered", "", main.errors as f64),
    ]
}

/// Beside the same without a mirror, just before.
fn mirror(low: bool, measured: &Measured) -> Vec<Figure> {
    let (main, base) = (&measured.main, measured.base.as_ref());
    let cpu = |outcome: &Outcome| {
        let requests = outcome.requests.max(1) as f64;
        cpu_us(outcome.spent.unwrap_or_default()) / requests
    };
    let quiet = base.map_or(f64::NAN, cpu);
    let mut figures = vec![
        figure("quiet_cpu_us_per_request", "us", quiet),
        figure("cpu_us_per_request", "us", cpu(main)),
        figure("cpu_ratio", "", cpu(main) / quiet),
    ];
    if low {
        figures.extend(interference(main, base));
    } else {
        figures.push(figure(
            "requests_per_s",
            "1/s",
            main.requests as f64 / main.seconds,
        ));
    }
    figures.extend(measured.copied.map(|copied| figure("copied", "", copied)));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Pair;

    #[test]
    fn added_latency_is_what_the_proxy_puts_on_top_of_the_direct_run() {
        let case = Case {
            pair: Pair::H2_H2,
            kind: Kind::LowRate,
        };
        let mut measured = Measured::default();
        measured.main.latency_us.p50 = 70.0;
        let mut direct = Outcome::default();
        direct.latency_us.p50 = 45.0;
        let figures = case.figures(&measured, Some(&direct));
        let added = figures
            .iter()
            .find(|figure| figure.metric == "added_p50_us");
        assert_eq!(added.map(|figure| figure.value), Some(25.0));
    }

    #[test]
    fn memory_is_the_growth_over_the_exchanges_that_were_added() {
        let outcome = |rss, held| {
            let mut outcome = Outcome {
                spent: Some(Spent {
                    rss,
                    ..Spent::default()
                }),
                ..Outcome::default()
            };
            outcome.event_us.count = held;
            outcome
        };
        let figures = memory(&outcome(30 << 20, 1_100), Some(&outcome(10 << 20, 100)));
        assert_eq!(figures[0].value, 20.0 * 1024.0 / 1_000.0);
    }
}
