//! The name by which an autoscaler holds its lease: kept in the data dir, so that one that is started
//! again takes its own lease back at once. One process at a time has it; another one beside it in the
//! same data dir gets a name of its own.

use std::fs::{self, File};
use std::io;

use crate::data_dir::DataDir;

/// A name that is ours while this lives.
#[derive(Debug)]
pub struct Holder {
    name: String,
    _lock: Option<File>,
}

impl Holder {
    /// The data dir's name, made up the first time.
    pub fn take(dir: &DataDir) -> Self {
        match Self::kept(dir) {
            Ok(holder) => holder,
            Err(error) => {
                tracing::info!(
                    %error,
                    "this autoscaler has a new name; after a restart it waits for its own lease to end"
                );
                Self {
                    name: new_name(),
                    _lock: None,
                }
            }
        }
    }

    /// As the lease says it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn kept(dir: &DataDir) -> io::Result<Self> {
        let path = dir.holder();
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)?;
        file.try_lock()?;
        let kept = fs::read_to_string(&path)?;
        let mut name = kept.trim().to_owned();
        if name.is_empty() {
            name = new_name();
            fs::write(&path, format!("{name}\n"))?;
        }
        Ok(Self {
            name,
            _lock: Some(file),
        })
    }
}

fn new_name() -> String {
    format!("autoscaler-{:016x}", fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_keeps_its_name_over_restarts_and_shares_it_with_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let dir = DataDir::open(dir.path()).unwrap();
        let first = Holder::take(&dir);
        let name = first.name().to_owned();
        assert_ne!(Holder::take(&dir).name(), name, "two at once");
        drop(first);
        assert_eq!(Holder::take(&dir).name(), name);
    }
}
