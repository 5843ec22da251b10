//! Captures on disk: a directory a mirror, in it zstd-compressed lines of JSON in files that are closed
//! after a while and then renamed, and that go again when they are old or too many. One thread writes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zstd::stream::write::Encoder;

/// A file is closed at this size, uncompressed: small enough to be read whole.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// And at this age: what is written gets a name by which others take it.
const FILE_AGE: Duration = Duration::from_secs(5 * 60);

/// Compressed bytes that a mirror's files may have altogether; the oldest go first.
const MIRROR_BYTES: u64 = 1024 * 1024 * 1024;

/// A file is deleted at this age.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Files being written at a time: mirrors that capture.
const OPEN: usize = 256;

/// The fastest level that is worth it.
const LEVEL: i32 = 3;

/// What became of files that were closed.
#[derive(Debug, Default)]
pub struct Spool {
    uploaded: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicU64,
}

impl Spool {
    /// Uploaded, uploads that failed and are tried again, and deleted for age or want of room.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        [
            ("uploaded", self.uploaded.load(Ordering::Relaxed)),
            ("failed", self.failed.load(Ordering::Relaxed)),
            ("dropped", self.dropped.load(Ordering::Relaxed)),
        ]
    }

    /// Files that wait to be uploaded.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// So many wait.
    #[cfg(feature = "s3")]
    pub(super) fn wait(&self, files: usize) {
        self.waiting.store(files as u64, Ordering::Relaxed);
    }

    /// One more is in the store, or isn't.
    #[cfg(feature = "s3")]
    pub(super) fn tried(&self, uploaded: bool) {
        let count = if uploaded {
            &self.uploaded
        } else {
            &self.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn drop_some(&self, files: u64) {
        self.dropped.fetch_add(files, Ordering::Relaxed);
    }
}

/// All files of a process.
#[derive(Default)]
pub(super) struct Files {
    dir: PathBuf,
    open: HashMap<String, Current>,
    spool: Arc<Spool>,
}

struct Current {
    encoder: Encoder<'static, File>,
    part: PathBuf,
    written: u64,
    begun: Instant,
}

impl Files {
    /// In a directory, which is made when it is needed.
    pub(super) fn new(dir: PathBuf, spool: Arc<Spool>) -> Self {
        Self {
            dir,
            open: HashMap::new(),
            spool,
        }
    }

    /// Writes one line of a mirror's.
    ///
    /// # Errors
    /// The file can't be made or written; the next line tries another one.
    pub(super) fn write(&mut self, mirror: &str, line: &[u8]) -> io::Result<()> {
        if !self.open.contains_key(mirror) {
            if self.open.len() >= OPEN {
                return Err(io::Error::other("too many mirrors capture"));
            }
            let current = Current::begin(&self.dir.join(mirror))?;
            self.open.insert(mirror.to_owned(), current);
        }
        let Some(current) = self.open.get_mut(mirror) else {
            return Ok(());
        };
        current.written += line.len() as u64;
        let written = current.encoder.write_all(line);
        if written.is_err() || current.written >= FILE_BYTES {
            self.close(mirror);
        }
        written
    }

    /// Makes readable what was written, and closes what is old.
    pub(super) fn tidy(&mut self) {
        let old = |current: &Current| current.begun.elapsed() >= FILE_AGE;
        let open = self.open.iter_mut();
        let closing: Vec<String> = open
            .filter_map(|(mirror, current)| {
                let failed = current.encoder.flush().is_err();
                (failed || old(current)).then(|| mirror.clone())
            })
            .collect();
        for mirror in closing {
            self.close(&mirror);
        }
    }

    /// Closes every file.
    pub(super) fn close_all(&mut self) {
        let open: Vec<String> = self.open.keys().cloned().collect();
        for mirror in open {
            self.close(&mirror);
        }
    }

    fn close(&mut self, mirror: &str) {
        let Some(current) = self.open.remove(mirror) else {
            return;
        };
        let closed = current.finish();
        match closed.and_then(|()| forget(&self.dir.join(mirror), MIRROR_BYTES)) {
            Ok(dropped) => self.spool.drop_some(dropped),
            Err(error) => tracing::warn!(mirror, %error, "a capture could not be closed"),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.close_all();
    }
}

impl Current {
    fn begin(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let name = format!(
            "{:016}-{:08x}.jsonl.zst.part",
            since.unwrap_or_default().as_micros(),
            fastrand::u32(..)
        );
        let part = dir.join(name);
        Ok(Self {
            encoder: Encoder::new(File::create_new(&part)?, LEVEL)?,
            part,
            written: 0,
            begun: Instant::now(),
        })
    }

    fn finish(self) -> io::Result<()> {
        self.encoder.finish()?.sync_all()?;
        fs::rename(&self.part, self.part.with_extension(""))
    }
}

/// A directory's closed files, the newest first, as names begin with the time.
pub(super) fn closed(dir: &Path) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let (path, data) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        if path.extension().is_some_and(|extension| extension == "zst") {
            files.push((path, data));
        }
    }
    files.sort_unstable_by(|a, b| b.0.cmp(&a.0));
    Ok(files)
}

/// Deletes files that are old, and the oldest of those that are too many; returns how many.
fn forget(dir: &Path, most: u64) -> io::Result<u64> {
    let (mut total, mut dropped) = (0, 0);
    for (path, data) in closed(dir)? {
        total += data.len();
        let age = data.modified()?.elapsed().unwrap_or_default();
        if total > most || age > KEPT_FOR {
            match fs::remove_file(path) {
                Ok(()) => dropped += 1,
                // Somebody took it in this moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn lines_can_be_read_while_they_are_written_and_after() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path().to_owned(), Arc::default());
        for number in 0..100 {
            files
                .write("m", format!("line {number}\n").as_bytes())
                .unwrap();
        }
        files.tidy();
        let part = dir.path().join("m").join(&names(&dir.path().join("m"))[0]);
        let mut read = Vec::new();
        let mut decoder = zstd::stream::read::Decoder::new(File::open(&part).unwrap()).unwrap();
        // What is not finished ends in the middle.
        assert!(io::copy(&mut decoder, &mut read).is_err());
        assert!(read.ends_with(b"line 99\n"));
        drop(files);
        let [name] = &names(&dir.path().join("m"))[..] else {
            panic!("one file");
        };
        assert!(name.ends_with(".jsonl.zst"), "{name}");
        let file = File::open(dir.path().join("m").join(name)).unwrap();
        let read = zstd::stream::decode_all(file).unwrap();
        assert_eq!(read.split(|byte| *byte == b'\n').count(), 101);
    }

    #[test]
    fn the_oldest_files_go_when_there_are_too_many_bytes() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..5 {
            fs::write(dir.path().join(format!("{number}.jsonl.zst")), [0; 100]).unwrap();
        }
        fs::write(dir.path().join("9.jsonl.zst.part"), [0; 1_000]).unwrap();
        assert_eq!(forget(dir.path(), 250).unwrap(), 3);
        assert_eq!(
            names(dir.path()),
            ["3.jsonl.zst", "4.jsonl.zst", "9.jsonl.zst.part"]
        );
    }
}
