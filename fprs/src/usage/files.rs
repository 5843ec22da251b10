//! What a process used, by month, in a file that is its own: `<dir>/2026-11/<when it started>-<random>.json`.
//! A month is the sum of its files. One is replaced as a whole: a reader sees all of it, or what was there
//! before.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{OfServer, Used};

/// A month of the calendar, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Month(String);

/// By tenant and server.
type Totals = BTreeMap<(Arc<str>, Arc<str>), Used>;

#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    name: String,
    month: Month,
    /// What was used before this month began.
    before: Totals,
    /// What the file says.
    written: Totals,
}

#[derive(Deserialize, Serialize)]
struct File {
    v: u32,
    month: String,
    saved_unix_ms: u64,
    used: Vec<OfServer>,
}

impl Month {
    pub(super) fn of(time: SystemTime) -> Self {
        let text = humantime::format_rfc3339_seconds(time).to_string();
        Self(text.get(..7).unwrap_or_default().to_owned())
    }

    /// `None`: it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let month_is_one = (1..=12).contains(&month.parse::<u8>().ok()?);
        let is_one = year.len() == 4 && digits(year) && month.len() == 2 && digits(month);
        (is_one && month_is_one).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Files {
    pub(super) fn new(dir: PathBuf, now: SystemTime) -> Self {
        Self {
            dir,
            name: format!("{}-{:08x}.json", unix_ms(now), fastrand::u32(..)),
            month: Month::of(now),
            before: Totals::new(),
            written: Totals::new(),
        }
    }

    /// Writes what was used since the process started, as far as it is this month's; what was used
    /// since the last time belongs to the month it is now.
    pub(super) fn save(&mut self, since_start: &[OfServer], now: SystemTime) -> io::Result<()> {
        let month = Month::of(now);
        if month != self.month {
            for (name, used) in std::mem::take(&mut self.written) {
                let before = self.before.entry(name).or_default();
                *before = before.plus(used);
            }
            self.month = month;
        }
        let mut this_month = Totals::new();
        for OfServer {
            tenant,
            server,
            used,
        } in since_start
        {
            let name = (Arc::clone(tenant), Arc::clone(server));
            let before = self.before.get(&name).copied().unwrap_or_default();
            let used = used.minus(before);
            if used != Used::default() {
                this_month.insert(name, used);
            }
        }
        if this_month == self.written {
            return Ok(());
        }
        let file = File {
            v: 1,
            month: self.month.to_string(),
            saved_unix_ms: unix_ms(now),
            used: listed(this_month.clone()),
        };
        let folder = self.dir.join(&self.month.0);
        fs::create_dir_all(&folder)?;
        replace(&folder.join(&self.name), &serde_json::to_vec(&file)?)?;
        self.written = this_month;
        Ok(())
    }

    /// The sum of all files of a month.
    pub(super) fn read(&self, month: &Month) -> io::Result<Vec<OfServer>> {
        let files = match fs::read_dir(self.dir.join(&month.0)) {
            Ok(files) => files,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut totals = Totals::new();
        for file in files {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let named = |error: &dyn fmt::Display| {
                io::Error::other(format!("`{}`: {error}", path.display()))
            };
            let text = fs::read(&path).map_err(|error| named(&error))?;
            let file: File = serde_json::from_slice(&text).map_err(|error| named(&error))?;
            for of in file.used {
                let total = totals.entry((of.tenant, of.server)).or_default();
                *total = total.plus(of.used);
            }
        }
        Ok(listed(totals))
    }
}

fn listed(totals: Totals) -> Vec<OfServer> {
    let of = |((tenant, server), used)| OfServer {
        tenant,
        server,
        used,
    };
    totals.into_iter().map(of).collect()
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(text)?;
    file.sync_data()?;
    fs::rename(&unfinished, path)
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
