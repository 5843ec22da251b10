//! PURE. One bar a proxy: its median, with the spread from its best to its worst round.

use std::fmt::Write as _;

use super::{Report, Row};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 40.0;
const STEP: f64 = 28.0;
const BAR: f64 = 18.0;

/// The figure `metric` of every proxy in `case`, as an SVG document.
#[must_use]
pub fn bars(report: &Report, case: &str, metric: &str) -> String {
    let rows: Vec<&Row> = report
        .proxies(case)
        .into_iter()
        .filter_map(|proxy| report.row(case, proxy, metric))
        .collect();
    let largest = rows
        .iter()
        .map(|row| row.max())
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / largest;
    let unit = rows.first().map_or("", |row| row.unit.as_str());
    let height = TOP + STEP * rows.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"20\" font-size=\"14\">{case}: {metric} ({unit}), median and spread</text>\n"
    );
    for (place, row) in rows.into_iter().enumerate() {
        bar(&mut out, row, TOP + STEP * place as f64, scale);
    }
    out.push_str("</svg>\n");
    out
}

fn bar(out: &mut String, row: &Row, y: f64, scale: f64) {
    let at = |value: f64| LEFT + value.max(0.0) * scale;
    let fill = if row.proxy.starts_with("fprs") {
        "#c8401a"
    } else {
        "#7a93ad"
    };
    let (text_y, middle) = (y + BAR * 0.75, y + BAR / 2.0);
    let (low, high) = (at(row.min()), at(row.max()));
    // Writing to a string can't fail.
    write!(
        out,
        "<text x=\"{:.1}\" y=\"{text_y:.1}\" text-anchor=\"end\">{}</text>\n\
         <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>\n\
         <path d=\"M{low:.1} {middle:.1}H{high:.1}\" stroke=\"black\"/>\n\
         <text x=\"{:.1}\" y=\"{text_y:.1}\">{:.2}</text>\n",
        LEFT - 8.0,
        row.proxy,
        at(row.median()) - LEFT,
        high + 6.0,
        row.median(),
    )
    .ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::row;

    #[test]
    fn the_longest_bar_belongs_to_the_largest_median() {
        let rows = vec![row("fprs", &[5.0]), row("envoy", &[10.0])];
        let svg = bars(
            &Report {
                rows,
                ..Report::default()
            },
            "h2-h2",
            "cpu_us_per_request",
        );
        assert!(svg.contains("width=\"220.0\""), "{svg}");
        assert!(svg.contains("width=\"440.0\""), "{svg}");
    }
}
