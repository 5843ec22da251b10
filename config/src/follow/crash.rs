//! Remembers across crashes what was about to come in force: a snapshot that crashed the process
//! twice in a row is refused at the third start, which serves the last good one instead. The marker
//! is there from before a snapshot is applied until it has served for a while, or the process ends
//! as it should.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use crate::key::Revision;
use crate::limits;
use crate::store::StoreError;

/// The marker's file, beside the last-good one: revision and crashes, as text.
#[derive(Debug)]
pub(super) struct CrashMarker {
    path: PathBuf,
    started: Instant,
    /// What earlier processes died of.
    crashed: Option<Crashed>,
    /// Since when what is marked serves.
    marked: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crashed {
    /// The newest that was about to come in force.
    revision: Revision,
    /// Processes in a row.
    times: u32,
}

impl CrashMarker {
    /// Reads what the process before left. Blocks for a small file.
    pub(super) fn beside(last_good: &Path) -> Self {
        let mut path = last_good.to_path_buf().into_os_string();
        path.push("-applying");
        let path = PathBuf::from(path);
        let crashed = fs::read_to_string(&path).ok().and_then(|text| parse(&text));
        Self {
            path,
            started: Instant::now(),
            crashed,
            marked: None,
        }
    }

    /// That revision is about to come in force. Blocks for a small file.
    ///
    /// # Errors
    /// It is likely to crash this process too, and there is something else to serve.
    pub(super) fn begin(&mut self, revision: Revision, instead: bool) -> Result<(), StoreError> {
        let crashed = self.crashed.unwrap_or(Crashed { revision, times: 0 });
        if instead && crashed.refuses(revision, self.started.elapsed() >= limits::CRASH_HOLD) {
            return Err(StoreError::Unavailable(format!(
                "revision {revision} is refused: {} processes in a row crashed with {}; correct \
                 what was written before it",
                crashed.times, crashed.revision
            )));
        }
        if self.marked.is_none() {
            let times = crashed.times.saturating_add(1);
            let text = format!("{revision} {times}\n");
            if let Err(error) = fs::write(&self.path, text) {
                let path = self.path.display();
                tracing::warn!(%path, %error, "a crash would not be remembered");
            }
        }
        self.marked = Some(Instant::now());
        Ok(())
    }

    /// What is in force serves. Call again and again.
    pub(super) fn serves(&mut self) {
        if self
            .marked
            .is_some_and(|since| since.elapsed() >= limits::CRASH_AFTER)
        {
            self.clear();
        }
    }

    fn clear(&mut self) {
        if self.marked.take().is_some() {
            self.crashed = None;
            // Gone already is as good.
            fs::remove_file(&self.path).ok();
        }
    }
}

impl Drop for CrashMarker {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.clear();
        }
    }
}

impl Crashed {
    /// Whether that revision is likely to crash again; `late`: the process has served for long.
    fn refuses(self, revision: Revision, late: bool) -> bool {
        self.times >= limits::CRASHES && (revision <= self.revision || !late)
    }
}

fn parse(text: &str) -> Option<Crashed> {
    let (revision, times) = text.trim_end().split_once(' ')?;
    Some(Crashed {
        revision: Revision(revision.parse().ok()?),
        times: times.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_revision_that_crashed_two_processes_is_refused_by_the_third() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("last-good");
        let left = |revision: u64, times: u32| {
            let marker = dir.path().join("last-good-applying");
            fs::write(marker, format!("{revision} {times}\n")).unwrap();
        };
        left(7, 1);
        let mut second = CrashMarker::beside(&place);
        assert!(
            second.begin(Revision(7), true).is_ok(),
            "once may be anything"
        );

        left(7, 2);
        let mut third = CrashMarker::beside(&place);
        let error = third.begin(Revision(7), true).unwrap_err().to_string();
        assert!(error.contains("revision 7 is refused"), "{error}");
        assert!(
            third.begin(Revision(8), true).is_err(),
            "what is wrong may be in it still"
        );
        tokio::time::advance(limits::CRASH_HOLD).await;
        assert!(third.begin(Revision(7), true).is_err());
        assert!(third.begin(Revision(8), true).is_ok());

        left(7, 2);
        let mut nothing_else = CrashMarker::beside(&place);
        assert!(nothing_else.begin(Revision(7), false).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_served_for_a_while_or_ended_well_leaves_no_marker() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("last-good");
        let marker = dir.path().join("last-good-applying");
        let mut serving = CrashMarker::beside(&place);
        serving.begin(Revision(3), true).unwrap();
        serving.serves();
        assert_eq!(fs::read_to_string(&marker).unwrap(), "3 1\n");
        tokio::time::advance(limits::CRASH_AFTER).await;
        serving.serves();
        assert!(!marker.exists());
        serving.begin(Revision(4), true).unwrap();
        assert!(marker.exists());
        drop(serving);
        assert!(!marker.exists(), "ending is no crash");
    }
}
