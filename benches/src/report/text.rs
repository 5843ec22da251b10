//! PURE. The report as tables of text.

use std::fmt::Write as _;

use super::{
    Report, Row,
    goals::{Verdict, verdicts},
};

/// Whom the ratios are for, where it took part; else whoever is first.
const OURS: &str = "fprs";

/// `report.md`: what ran, then a table for each case with the ratios of its headline.
#[must_use]
pub fn markdown(report: &Report, headline: &impl Fn(&str) -> &'static str) -> String {
    let mut out = String::from("# Side by side\n\n");
    let machine = &report.machine;
    line(
        &mut out,
        format_args!(
            "{} × {}, {} MiB, Linux {}, commit {}, load before {}. {}\n",
            machine.cores,
            machine.cpu,
            machine.memory_mib,
            machine.kernel,
            machine.commit,
            machine.load_before,
            report.effort,
        ),
    );
    for (name, version) in &report.versions {
        line(&mut out, format_args!("- {name}: {version}"));
    }
    goals(&mut out, report);
    for case in report.cases() {
        line(
            &mut out,
            format_args!("\n## {case}\n\n{}", table(report, case, headline(case))),
        );
    }
    if !report.notes.is_empty() {
        out.push_str("\n## Left out\n\n");
        for note in &report.notes {
            line(&mut out, format_args!("- {note}"));
        }
    }
    out
}

/// What is meant to be reached, where this comparison can say.
fn goals(out: &mut String, report: &Report) {
    let verdicts = verdicts(report);
    if verdicts.is_empty() {
        return;
    }
    out.push_str("\n## Goals\n\n| figure of fprs | ÷ | at most | is | |\n|---|---|---|---|---|\n");
    for verdict in verdicts {
        let Verdict {
            case,
            metric,
            than,
            limit,
            ratio,
            kept,
        } = verdict;
        let word = if kept { "kept" } else { "**missed**" };
        line(
            out,
            format_args!("| {case} {metric} | {than} | {limit:.2} | {ratio:.2} | {word} |"),
        );
    }
}

/// One case: a line for each proxy with `median (min–max)` of each figure, and what its headline
/// is to ours.
#[must_use]
pub fn table(report: &Report, case: &str, headline: &str) -> String {
    let metrics = report.metrics(case);
    let proxies = report.proxies(case);
    let ours = proxies
        .iter()
        .find(|name| **name == OURS)
        .or_else(|| proxies.first())
        .copied();
    let mut out = format!("| {case} |");
    for metric in &metrics {
        line_part(&mut out, format_args!(" {metric} |"));
    }
    line(
        &mut out,
        format_args!(" {} ÷ it ({headline}) |", ours.unwrap_or(OURS)),
    );
    line(
        &mut out,
        format_args!("|---|{}---|", "---|".repeat(metrics.len())),
    );
    let median = |proxy: &str| report.row(case, proxy, headline).map(Row::median);
    for proxy in &proxies {
        line_part(&mut out, format_args!("| {proxy} |"));
        for metric in &metrics {
            let cell = report
                .row(case, proxy, metric)
                .map_or_else(|| "–".to_owned(), cell);
            line_part(&mut out, format_args!(" {cell} |"));
        }
        let ratio = ours
            .and_then(median)
            .zip(median(proxy))
            .map(|(ours, it)| ours / it);
        line(
            &mut out,
            format_args!(
                " {} |",
                ratio.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"))
            ),
        );
    }
    out
}

fn cell(row: &Row) -> String {
    let digits = match row.median().abs() {
        x if x >= 1_000.0 => 0,
        x if x >= 100.0 => 1,
        _ => 2,
    };
    format!(
        "{:.digits$} ({:.digits$}–{:.digits$})",
        row.median(),
        row.min(),
        row.max()
    )
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    line_part(out, text);
    out.push('\n');
}

fn line_part(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    out.write_fmt(text).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::row;

    #[test]
    fn ratios_say_what_fprs_takes_of_a_peers_cost() {
        let rows = vec![row("fprs", &[4.0]), row("envoy", &[8.0])];
        let report = Report {
            rows,
            ..Report::default()
        };
        let table = table(&report, "h2-h2", "cpu_us_per_request");
        assert!(
            table.contains("| envoy | 8.00 (8.00–8.00) | 0.50 |"),
            "{table}"
        );
        assert!(
            table.contains("| fprs | 4.00 (4.00–4.00) | 1.00 |"),
            "{table}"
        );
    }
}
