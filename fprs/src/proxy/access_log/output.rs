//! Where lines are written. A file that was renamed or removed, as rotation does, is noticed within a
//! second and opened again under its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Destination;

/// How long a file that was renamed may go on to get lines.
const LOOK: Duration = Duration::from_secs(1);

/// An open destination.
#[derive(Debug)]
pub(super) struct Output {
    to: To,
    /// The last write failed, and that was said.
    fails: bool,
}

#[derive(Debug)]
enum To {
    Stdout,
    File {
        path: PathBuf,
        file: File,
        looked: Instant,
    },
}

impl Output {
    pub(super) fn open(destination: Destination) -> io::Result<Self> {
        let to = match destination {
            Destination::Stdout => To::Stdout,
            Destination::File(path) => {
                let (file, looked) = (append(&path)?, Instant::now());
                To::File { path, file, looked }
            }
        };
        Ok(Self { to, fails: false })
    }

    /// Writes lines; `false` when they are lost. Says so once until it works again.
    pub(super) fn write(&mut self, lines: &[u8]) -> bool {
        if lines.is_empty() {
            return true;
        }
        match self.to.write(lines) {
            Ok(()) => self.fails = false,
            Err(error) if !self.fails => {
                self.fails = true;
                tracing::error!(%error, "the access log can't be written: lines are lost");
            }
            Err(_) => {}
        }
        !self.fails
    }
}

impl To {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(lines),
            Self::File { path, file, looked } => {
                if looked.elapsed() >= LOOK {
                    if !is_at(file, path) {
                        *file = append(path)?;
                    }
                    *looked = Instant::now();
                }
                file.write_all(lines)
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The open file is still the one of that name.
fn is_at(file: &File, path: &Path) -> bool {
    let of = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => of(open) == of(named),
        _ => false,
    }
}
