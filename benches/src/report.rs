//! What a comparison found: rows of medians, and everything one must know to run it again.

pub mod goals;
pub mod machine;
pub mod plot;
pub mod text;

use std::{fs, path::Path};

use anyhow::Result;
use serde_json::json;

use machine::Machine;

/// One figure of one proxy in one case, over all rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The case.
    pub case: String,
    /// The proxy, or `direct`.
    pub proxy: String,
    /// The figure.
    pub metric: String,
    /// Its unit.
    pub unit: String,
    /// Its value in each round.
    pub rounds: Vec<f64>,
}

impl Row {
    fn sorted(&self) -> Vec<f64> {
        let mut values = self.rounds.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The middle, or between the middle two.
    #[must_use]
    pub fn median(&self) -> f64 {
        let values = self.sorted();
        let middle = values.len() / 2;
        match values.get(middle) {
            None => f64::NAN,
            Some(upper) if values.len() % 2 == 1 => *upper,
            Some(upper) => f64::midpoint(*upper, values[middle - 1]),
        }
    }

    /// The smallest.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    /// The largest.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(f64::NAN)
    }
}

/// A whole comparison.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Where it ran.
    pub machine: Machine,
    /// Each proxy's version.
    pub versions: Vec<(String, String)>,
    /// How it was run.
    pub effort: String,
    /// All figures.
    pub rows: Vec<Row>,
    /// What did not work, and was left out.
    pub notes: Vec<String>,
}

impl Report {
    /// Says at once that something was left out, and keeps it.
    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            eprintln!("   left out: {note}");
            self.notes.push(note);
        }
    }

    /// The row of that name.
    #[must_use]
    pub fn row(&self, case: &str, proxy: &str, metric: &str) -> Option<&Row> {
        let is = |row: &&Row| row.case == case && row.proxy == proxy && row.metric == metric;
        self.rows.iter().find(is)
    }

    /// The cases in the order they ran.
    #[must_use]
    pub fn cases(&self) -> Vec<&str> {
        distinct(self.rows.iter().map(|row| row.case.as_str()))
    }

    /// The proxies of a case, in order.
    #[must_use]
    pub fn proxies(&self, case: &str) -> Vec<&str> {
        let of_case = self.rows.iter().filter(|row| row.case == case);
        distinct(of_case.map(|row| row.proxy.as_str()))
    }

    /// The figures of a case, in order.
    #[must_use]
    pub fn metrics(&self, case: &str) -> Vec<&str> {
        let of_case = self.rows.iter().filter(|row| row.case == case);
        distinct(of_case.map(|row| row.metric.as_str()))
    }

    /// `report.json`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "case": row.case, "proxy": row.proxy, "metric": row.metric, "unit": row.unit,
                    "median": row.median(), "min": row.min(), "max": row.max(),
                    "rounds": row.rounds,
                })
            })
            .collect();
        let versions: serde_json::Map<_, _> = self
            .versions
            .iter()
            .map(|(name, version)| (name.clone(), json!(version)))
            .collect();
        json!({
            "machine": self.machine, "versions": versions, "effort": self.effort,
            "rows": rows, "goals": goals::verdicts(self), "notes": self.notes,
        })
    }

    /// Writes `report.json`, `report.md` and a plot of each case's headline into `folder`.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn write(&self, folder: &Path, headline: impl Fn(&str) -> &'static str) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(
            folder.join("report.json"),
            serde_json::to_string_pretty(&self.json())?,
        )?;
        fs::write(folder.join("report.md"), text::markdown(self, &headline))?;
        for case in self.cases() {
            let metric = headline(case);
            fs::write(
                folder.join(format!("{case}-{metric}.svg")),
                plot::bars(self, case, metric),
            )?;
        }
        Ok(())
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(proxy: &str, rounds: &[f64]) -> Row {
        Row {
            case: "h2-h2".to_owned(),
            proxy: proxy.to_owned(),
            metric: "cpu_us_per_request".to_owned(),
            unit: "us".to_owned(),
            rounds: rounds.to_vec(),
        }
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(row("a", &[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(row("a", &[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(row("a", &[]).median().is_nan());
    }

    #[test]
    fn the_json_has_what_readers_of_it_rely_on() {
        let report = Report {
            rows: vec![row("fprs", &[5.0, 4.0, 6.0])],
            ..Report::default()
        };
        let json = report.json();
        assert!(json["machine"].is_object());
        let row = &json["rows"][0];
        assert_eq!(
            (&row["case"], &row["proxy"]),
            (&json!("h2-h2"), &json!("fprs"))
        );
        assert_eq!(
            (&row["metric"], &row["unit"]),
            (&json!("cpu_us_per_request"), &json!("us"))
        );
        assert_eq!(
            (&row["median"], &row["min"], &row["max"]),
            (&json!(5.0), &json!(4.0), &json!(6.0))
        );
    }
}
