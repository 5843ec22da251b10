//! What became of every request, a line of JSON each, where somebody wants lines. A core writes them
//! into memory of its own, from where one thread takes them ten times a second, or sooner while there are
//! many. If they are not written as fast as they come, lines are lost and counted; no request ever waits for
//! its line.

mod line;
mod note;
mod output;
mod stamp;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;
use std::{fmt, io};

use self::note::Noted;
pub(in crate::proxy) use self::note::{Desk, Note};
use self::output::Output;
use self::stamp::Stamp;

/// How often lines are taken: whoever looks on sees them as they come.
const INTERVAL: Duration = Duration::from_millis(100);

/// Lines are taken sooner than that once a core holds so many bytes of them: what a core's own cache has
/// room for beside requests. Written to memory that is far away, a line would cost more than all the rest
/// of it.
const SOON: usize = 128 * 1024;

/// Lines one core holds, in bytes: what 20,000 requests per second come to while a disk stalls for a
/// second.
const ROOM: usize = 8 * 1024 * 1024;

/// Notes of requests that ended, kept for others: what small exchanges on a busy core come and go by.
const BLANKS: usize = 64;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// The end of this file. It is opened again once it was renamed or removed.
    File(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

/// The access log of one process.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cores: Mutex<Vec<Arc<Lines>>>,
    writing: Mutex<Writing>,
    lost: AtomicU64,
    /// The thread that takes lines.
    writer: OnceLock<Thread>,
}

/// What takes lines, one at a time.
#[derive(Debug)]
struct Writing {
    output: Output,
    /// Room for those of a core, which gets it for the next ones.
    taken: Vec<u8>,
}

/// The lines of one core. Its lock is that core's but for the moment in which they are taken.
type Lines = Mutex<Vec<u8>>;

impl AccessLog {
    /// Opens the destination and begins to write.
    ///
    /// # Errors
    /// The file can't be opened, or the system gives no thread.
    pub fn open(destination: Destination) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            cores: Mutex::default(),
            writing: Mutex::new(Writing {
                output: Output::open(destination)?,
                taken: Vec::new(),
            }),
            lost: AtomicU64::new(0),
            writer: OnceLock::new(),
        });
        let writes = Arc::downgrade(&shared);
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        let writer = thread.spawn(move || write(&writes))?;
        shared.writer.get_or_init(|| writer.thread().clone());
        Ok(Self(shared))
    }

    /// Lines that were never written.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Writes all there is. Waits for the disk.
    pub fn flush(&self) {
        self.0.take();
    }
}

fn write(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        shared.take();
        drop(shared);
        std::thread::park_timeout(INTERVAL);
    }
}

impl Shared {
    fn take(&self) {
        // First, so that whoever comes second finds everything written that was there before.
        let mut writing = lock(&self.writing);
        let Writing { output, taken } = &mut *writing;
        let cores = lock(&self.cores).clone();
        for core in cores {
            // With the room of the last one: a core's memory is not made anew while it is busy.
            std::mem::swap(&mut *lock(&core), taken);
            if !output.write(taken) {
                let lines = taken.iter().filter(|byte| **byte == b'\n').count();
                self.lose(u64::try_from(lines).unwrap_or(u64::MAX));
            }
            taken.clear();
        }
    }

    fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }
}

/// What one core writes with.
#[derive(Debug)]
pub struct Pen {
    shared: Arc<Shared>,
    lines: Arc<Lines>,
    /// Notes that were written, to be used again.
    #[expect(
        clippy::vec_box,
        reason = "a request holds its note boxed, and gives back the box"
    )]
    blanks: RefCell<Vec<Box<Noted>>>,
    stamp: RefCell<Stamp>,
}

impl Pen {
    /// For one more core.
    pub fn new(log: &AccessLog) -> Rc<Self> {
        let (shared, lines) = (Arc::clone(&log.0), Arc::default());
        lock(&shared.cores).push(Arc::clone(&lines));
        Rc::new(Self {
            shared,
            lines,
            blanks: RefCell::default(),
            stamp: RefCell::default(),
        })
    }

    fn blank(&self) -> Box<Noted> {
        self.blanks.borrow_mut().pop().unwrap_or_default()
    }

    fn keep(&self, noted: Box<Noted>) {
        let mut blanks = self.blanks.borrow_mut();
        if blanks.len() < BLANKS {
            blanks.push(noted);
        }
    }

    fn write(&self, line: &[u8]) {
        let mut lines = lock(&self.lines);
        let (before, after) = (lines.len(), lines.len() + line.len());
        if after > ROOM {
            return self.shared.lose(1);
        }
        lines.extend_from_slice(line);
        drop(lines);
        if before < SOON
            && after >= SOON
            && let Some(writer) = self.shared.writer.get()
        {
            writer.unpark();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one is held; what is in it would be whole all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
