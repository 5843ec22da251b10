//! PURE. What a look shows, in so many columns and rows: whatever comes from a plane is text of one line.

use std::collections::BTreeMap;

use serde_json::Value;

use super::look::Look;
use crate::commands::ask::{at, items, text};

/// Of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// One picture.
#[derive(Debug)]
pub(super) struct Frame {
    lines: Vec<Line>,
    size: Size,
}

#[derive(Debug)]
struct Line {
    text: String,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bad,
    Heading,
    Plain,
}

/// A column: its heading, how wide it is, and on which side its cells are.
struct Column(&'static str, usize, Side);

enum Side {
    Left,
    Right,
}

const SERVERS: [Column; 9] = [
    Column("SERVER", 24, Side::Left),
    Column("TENANT", 12, Side::Left),
    Column("VERSION", 7, Side::Right),
    Column("READY", 5, Side::Right),
    Column("START", 5, Side::Right),
    Column("DRAIN", 5, Side::Right),
    Column("IN FLIGHT", 9, Side::Right),
    Column("REQ/S", 8, Side::Right),
    Column("REPLICAS", 0, Side::Left),
];
const PROCESSES: [Column; 4] = [
    Column("PROCESS", 30, Side::Left),
    Column("REVISION", 9, Side::Right),
    Column("STATE", 22, Side::Left),
    Column("AGE", 0, Side::Left),
];
const WORKERS: [Column; 5] = [
    Column("WORKER", 30, Side::Left),
    Column("REPLICAS", 9, Side::Right),
    Column("ROOM FOR", 9, Side::Right),
    Column("STATE", 22, Side::Left),
    Column("ADDRESS", 0, Side::Left),
];
const REFUSALS: [Column; 3] = [
    Column("REFUSED, BY REASON", 30, Side::Left),
    Column("TOTAL", 9, Side::Right),
    Column("PER SECOND", 11, Side::Right),
];

impl Frame {
    /// What `look` shows; rates are since `before`.
    pub(super) fn new(look: &Look, before: Option<&Look>, size: Size) -> Self {
        let mut frame = Self {
            lines: Vec::new(),
            size,
        };
        frame.summary(look, before);
        frame.servers(look, before);
        frame.refusals(look, before);
        frame.processes(look);
        frame.workers(look);
        frame
    }

    /// As text, all of it.
    pub(super) fn plain(&self) -> String {
        let lines = self.lines.iter().map(|line| line.text.trim_end());
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// For a terminal, no more than fits; the last row says what is wrong with looking, or how it ends.
    pub(super) fn styled(&self, trouble: Option<&str>) -> String {
        let Size { columns, rows } = self.size;
        let mut text = String::from("\x1b[H");
        let room = rows.saturating_sub(1);
        for line in self.lines.iter().take(room) {
            let fitted = fit(&line.text, columns);
            match line.style {
                Style::Plain => text.push_str(fitted.trim_end()),
                Style::Heading => text.push_str(&format!("\x1b[7m{fitted}\x1b[0m")),
                Style::Bad => text.push_str(&format!("\x1b[1;31m{fitted}\x1b[0m")),
            }
            text.push_str("\x1b[K\r\n");
        }
        let hidden = self.lines.len().saturating_sub(room);
        let last = match (trouble, hidden) {
            (Some(trouble), _) => format!("what is above is old: {}", one_line(trouble)),
            (None, 0) => "q ends".to_owned(),
            (None, hidden) => format!("q ends; {hidden} more lines don't fit"),
        };
        text.push_str(fit(&last, columns).trim_end());
        text.push_str("\x1b[J");
        text
    }

    fn summary(&mut self, look: &Look, before: Option<&Look>) {
        let status = &look.status;
        let total = |state| at(status, &["totals", state]);
        let sum = |counts: &BTreeMap<String, f64>| counts.values().sum::<f64>();
        let requests = rate(look, before, |look| sum(&look.counted.exchanges));
        let refused = rate(look, before, |look| sum(&look.counted.refusals));
        self.plain_line(&format!(
            "fprs {}   revision {}, {} old",
            text(status, "zone"),
            at(status, &["revision"]),
            age(look.config.get("age_seconds"))
        ));
        self.plain_line(&format!(
            "servers {}   replicas {} ready, {} starting, {} draining, {} failed   in flight {}   \
             requests/s {requests}   refused/s {refused}",
            at(status, &["servers_found"]),
            total("ready"),
            total("starting"),
            total("draining"),
            total("failed"),
            at(status, &["in_flight"]),
        ));
    }

    fn servers(&mut self, look: &Look, before: Option<&Look>) {
        let servers = items(look.status.get("servers").unwrap_or_default());
        self.table(&SERVERS);
        for server in servers {
            let name = text(server, "name");
            let of = |look: &Look| {
                look.counted
                    .exchanges
                    .get(name)
                    .copied()
                    .unwrap_or_default()
            };
            let requests = rate(look, before, of);
            let version = at(server, &["generation"]);
            let proven = server.get("proven") == Some(&Value::Bool(true));
            let count = |state| at(server, &["counts", state]);
            self.row(
                &SERVERS,
                &[
                    name.to_owned(),
                    text(server, "tenant").to_owned(),
                    if proven {
                        version
                    } else {
                        format!("{version}?")
                    },
                    count("ready"),
                    count("starting"),
                    count("draining"),
                    at(server, &["in_flight"]),
                    requests,
                    replicas(server),
                ],
            );
            if let Some(problem) = server.get("problem").and_then(Value::as_str) {
                self.line(format!("  {}", one_line(problem)), Style::Bad);
            }
        }
        let found = look.status.get("servers_found").and_then(Value::as_u64);
        let more = found
            .unwrap_or_default()
            .saturating_sub(servers.len() as u64);
        if more > 0 {
            self.plain_line(&format!("  and {more} more, less busy"));
        }
    }

    fn refusals(&mut self, look: &Look, before: Option<&Look>) {
        let refusals = &look.counted.refusals;
        let reasons: Vec<&String> = refusals
            .iter()
            .filter(|(_, count)| **count > 0.0)
            .map(|(reason, _)| reason)
            .collect();
        if reasons.is_empty() {
            return;
        }
        self.table(&REFUSALS);
        for reason in reasons {
            let of = |look: &Look| {
                look.counted
                    .refusals
                    .get(reason)
                    .copied()
                    .unwrap_or_default()
            };
            let cells = [
                reason.clone(),
                format!("{:.0}", of(look)),
                rate(look, before, of),
            ];
            self.row(&REFUSALS, &cells);
        }
    }

    fn processes(&mut self, look: &Look) {
        let config = &look.config;
        if config.is_null() {
            return;
        }
        self.table(&PROCESSES);
        let revision = config
            .get("revision")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let refused = items(config.get("refused").unwrap_or_default());
        let state = match (
            text(config, "trouble"),
            refused.len(),
            text(config, "source"),
        ) {
            ("", 0, "store") => "current".to_owned(),
            ("", 0, source) => source.replace('_', " "),
            ("", refused, _) => format!("{refused} records refused"),
            (trouble, _, _) => one_line(trouble),
        };
        let own = [
            "asked",
            &revision.to_string(),
            &state,
            &age(config.get("age_seconds")),
        ];
        self.row(&PROCESSES, &own.map(str::to_owned));
        for follower in items(&look.followers) {
            let told = follower
                .get("told_revision")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            let state = match revision.saturating_sub(told) {
                0 => "current".to_owned(),
                behind => format!("{behind} revisions behind"),
            };
            let follows = format!("follows for {}", age(follower.get("watches_for_seconds")));
            let cells = [
                text(follower, "name").to_owned(),
                told.to_string(),
                state,
                follows,
            ];
            self.row(&PROCESSES, &cells);
        }
    }

    fn workers(&mut self, look: &Look) {
        let Some(workers) = look
            .status
            .get("workers")
            .filter(|workers| !workers.is_null())
        else {
            return;
        };
        self.table(&WORKERS);
        for worker in items(workers) {
            let attached = worker.get("attached") == Some(&Value::Bool(true));
            let draining = worker.get("draining") == Some(&Value::Bool(true));
            let state = match (attached, draining) {
                (false, _) => "away",
                (true, true) => "draining",
                (true, false) => "attached",
            };
            let cells = [
                text(worker, "id").to_owned(),
                at(worker, &["replicas"]),
                at(worker, &["capacity"]),
                state.to_owned(),
                text(worker, "address").to_owned(),
            ];
            self.row(&WORKERS, &cells);
        }
    }

    fn table(&mut self, columns: &[Column]) {
        let headings: Vec<String> = columns.iter().map(|column| column.0.to_owned()).collect();
        self.plain_line("");
        let line = joined(columns, &headings);
        self.line(line, Style::Heading);
    }

    fn row(&mut self, columns: &[Column], cells: &[String]) {
        self.plain_line(&joined(columns, cells));
    }

    fn plain_line(&mut self, text: &str) {
        self.line(text.to_owned(), Style::Plain);
    }

    fn line(&mut self, text: String, style: Style) {
        self.lines.push(Line { text, style });
    }
}

fn joined(columns: &[Column], cells: &[String]) -> String {
    let mut line = String::new();
    for (Column(_, width, side), cell) in columns.iter().zip(cells) {
        let cell = one_line(cell);
        let cell = match (width, side) {
            (0, _) => cell,
            (width, Side::Left) => fit(&cell, *width),
            (width, Side::Right) => format!("{cell:>width$}"),
        };
        line.push_str(&cell);
        line.push_str("  ");
    }
    line
}

/// What each replica of a server has in flight, those that are ready first.
fn replicas(server: &Value) -> String {
    let replicas = items(server.get("replicas").unwrap_or_default());
    let of = |state: &str, mark: &str| {
        let those = replicas
            .iter()
            .filter(|replica| text(replica, "state") == state);
        let counts: Vec<String> = those
            .map(|replica| format!("{}{mark}", at(replica, &["in_flight"])))
            .collect();
        counts.join(" ")
    };
    let shown = [of("ready", ""), of("draining", "d")];
    let shown: Vec<&str> = shown
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    match shown.is_empty() {
        true => format!("none of up to {}", at(server, &["max_replicas"])),
        false => shown.join(" "),
    }
}

/// How fast something grew; `-`: nobody knows.
fn rate(look: &Look, before: Option<&Look>, of: impl Fn(&Look) -> f64) -> String {
    let Some(before) = before.filter(|before| look.counted.any && before.counted.any) else {
        return "-".to_owned();
    };
    let seconds = look.at.duration_since(before.at).as_secs_f64().max(0.001);
    // A process that started again counts from 0.
    format!("{:.1}", (of(look) - of(before)).max(0.0) / seconds)
}

fn age(seconds: Option<&Value>) -> String {
    match seconds.and_then(Value::as_f64) {
        None => "of unknown age,".to_owned(),
        Some(seconds) if seconds < 1.0 => "under a second".to_owned(),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.0} s"),
        Some(seconds) if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{:.0} h", seconds / 3_600.0),
    }
}

/// Exactly so many characters.
fn fit(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    match length.cmp(&columns) {
        std::cmp::Ordering::Greater => {
            let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
            cut.push('…');
            cut
        }
        _ => format!("{text:<columns$}"),
    }
}

/// Without anything that a terminal would obey.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::super::look::Counted;
    use super::*;

    fn look(at: Instant, exchanges: f64) -> Look {
        let server = |name: &str, problem: Option<&str>| {
            json!({
                "name": name, "tenant": "acme", "generation": 3, "proven": problem.is_none(),
                "counts": {"ready": 2, "starting": 1, "draining": 1, "failed": 0},
                "max_replicas": 4, "in_flight": 7, "problem": problem,
                "replicas": [
                    {"state": "ready", "in_flight": 4}, {"state": "ready", "in_flight": 2},
                    {"state": "draining", "in_flight": 1}, {"state": "starting", "in_flight": 0},
                ],
            })
        };
        Look {
            at,
            status: json!({
                "zone": "region.test", "revision": 42, "servers_found": 3, "in_flight": 7,
                "totals": {"ready": 2, "starting": 1, "draining": 1, "failed": 0},
                "servers": [server("web", None), server("bad", Some("exited\u{1b}[2J\nwith 3"))],
                "workers": [{"id": "w1", "replicas": 3, "capacity": 8, "attached": true, "address": "h:1"}],
            }),
            config: json!({"revision": 42, "source": "store", "age_seconds": 0.2, "refused": []}),
            followers: json!([{"name": "proxy-1", "told_revision": 40, "watches_for_seconds": 300}]),
            counted: Counted {
                exchanges: [("web".to_owned(), exchanges)].into(),
                refusals: [("no_replica".to_owned(), 5.0), ("draining".to_owned(), 0.0)].into(),
                any: true,
            },
        }
    }

    fn frame(columns: usize, rows: usize) -> Frame {
        let (then, size) = (Instant::now(), Size { columns, rows });
        let before = look(then, 100.0);
        let now = look(then + Duration::from_secs(2), 121.0);
        Frame::new(&now, Some(&before), size)
    }

    #[test]
    fn a_frame_has_servers_replicas_rates_refusals_processes_and_workers() {
        let text = frame(120, 50).plain();
        let line = |start: &str| {
            let mut lines = text.lines();
            let line = lines.find(|line| line.starts_with(start));
            let line = line.unwrap_or_else(|| panic!("no {start} in {text}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(
            line("fprs").contains("region.test revision 42, under a second old"),
            "{text}"
        );
        assert!(
            line("servers").contains("in flight 7 requests/s 10.5 refused/s 0.0"),
            "{text}"
        );
        assert_eq!(line("web "), "web acme 3 2 1 1 7 10.5 4 2 1d");
        assert_eq!(line("bad "), "bad acme 3? 2 1 1 7 0.0 4 2 1d");
        assert_eq!(line("  and"), "and 1 more, less busy");
        assert_eq!(line("no_replica"), "no_replica 5 0.0");
        assert_eq!(line("asked"), "asked 42 current under a second");
        assert_eq!(
            line("proxy-1"),
            "proxy-1 40 2 revisions behind follows for 5 min"
        );
        assert_eq!(line("w1"), "w1 3 8 attached h:1");
        assert!(!text.contains("\ndraining"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_screen_is_never_more_than_its_columns_and_rows() {
        for (columns, rows) in [(120, 50), (40, 10), (10, 3), (1, 1)] {
            let screen = frame(columns, rows).styled(Some("nobody answers\nat all"));
            let lines: Vec<&str> = screen.split("\r\n").collect();
            assert!(lines.len() <= rows, "{screen:?}");
            for line in lines {
                let mut shown = line.to_owned();
                for code in [
                    "\x1b[H",
                    "\x1b[K",
                    "\x1b[J",
                    "\x1b[7m",
                    "\x1b[0m",
                    "\x1b[1;31m",
                ] {
                    shown = shown.replace(code, "");
                }
                assert!(shown.chars().count() <= columns, "{columns}: {shown:?}");
                assert!(!shown.contains('\x1b'), "{shown:?}");
            }
        }
    }

    #[test]
    fn a_process_that_counts_no_requests_has_no_rates() {
        let mut look = look(Instant::now(), 0.0);
        look.counted = Counted::default();
        let size = Size {
            columns: 120,
            rows: 50,
        };
        let text = Frame::new(&look, Some(&look), size).plain();
        assert!(text.contains("requests/s -"), "{text}");
    }
}
