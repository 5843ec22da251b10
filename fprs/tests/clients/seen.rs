//! The notes a program leaves in its `SEEN` file (`seen.py`): a line an event, a word and the time.

use std::path::{Path, PathBuf};

/// One program's notes.
#[derive(Debug)]
pub(crate) struct Seen {
    file: PathBuf,
}

impl Seen {
    pub(crate) const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// How many exchanges it saw begin.
    pub(crate) fn begun(&self) -> u64 {
        self.times("begun").count() as u64
    }

    /// How many exchanges it saw end.
    pub(crate) fn ended(&self) -> u64 {
        self.times("ended").count() as u64
    }

    /// When it first noted that word, in seconds since 1970.
    pub(crate) fn when(&self, word: &str) -> Option<f64> {
        self.times(word).next()
    }

    fn times(&self, word: &str) -> impl Iterator<Item = f64> {
        let notes = std::fs::read_to_string(&self.file).unwrap_or_default();
        // The last line may still be on its way.
        let times: Vec<f64> = notes
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n')?.split_once(' '))
            .filter(|(noted, _)| *noted == word)
            .map(|(_, time)| time.parse().expect("a time"))
            .collect();
        times.into_iter()
    }
}
