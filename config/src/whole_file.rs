//! Files that others read while they are written: a reader sees all of one, or all of the one before,
//! whenever the writer is killed. The new one is written beside it, in the same directory, as a draft that
//! its writer has locked: what a killed one left can be told from what is being written.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Who may read a file; what the process's umask takes away is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone.
    Owner,
    /// Everybody.
    All,
}

/// What a replaced file must outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlives {
    /// The process: no wait for the disk.
    Process,
    /// The machine's power, once it is replaced. Waits for the disk, twice.
    Power,
}

/// Replaces the file, or makes it, with those bytes in it. Blocks.
///
/// # Errors
/// The file system refuses; the file before is still there.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers, outlives: Outlives) -> io::Result<()> {
    replace_by(path, readers, outlives, |file| file.write_all(bytes))
}

/// Like [`replace`], for what is too large to be in memory at once.
///
/// # Errors
/// The file system refuses, or `write` fails; the file before is still there.
pub fn replace_by(
    path: &Path,
    readers: Readers,
    outlives: Outlives,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let draft = draft(path);
    let mut file = begun(&draft, readers)?;
    let written = write(&mut file)
        .and_then(|()| match outlives {
            Outlives::Process => Ok(()),
            Outlives::Power => file.sync_all(),
        })
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // A disk that is full stays no fuller than it was.
        remove(&draft).ok();
    }
    written?;
    match outlives {
        Outlives::Process => Ok(()),
        Outlives::Power => File::open(directory(path))?.sync_all(),
    }
}

/// Removes the drafts in that directory that killed writers left. One that is being written stays: it is
/// locked; so does one of another process that is there, which may be of a build that locked none. Blocks.
///
/// # Errors
/// The directory can't be read.
pub fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let left = writer(&entry.file_name()).is_some_and(may_be_gone);
        // Not what a link names: that is nobody's draft.
        if left && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove_unlocked(&entry.path())?;
        }
    }
    Ok(())
}

/// A new draft that no sweep takes for one that was left: locked, and in its place since.
fn begun(draft: &Path, readers: Readers) -> io::Result<File> {
    loop {
        // What a killed one left may have another mode.
        remove(draft)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(match readers {
                Readers::Owner => 0o600,
                Readers::All => 0o644,
            })
            .open(draft)?;
        // Where there are no locks nobody gets one to sweep with either.
        if file.lock().is_err() || is_at(&file, draft)? {
            return Ok(file);
        }
    }
}

fn remove_unlocked(draft: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(draft) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // Its writer may have moved it into its place meanwhile.
    match file.try_lock().is_ok() && is_at(&file, draft)? {
        true => remove(draft),
        false => Ok(()),
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) => {
            let file = file.metadata()?;
            Ok((file.dev(), file.ino()) == (there.dev(), there.ino()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whose draft that is; `None`: it is none.
fn writer(name: &OsStr) -> Option<u32> {
    let (_, number) = name.to_str()?.strip_suffix(".new")?.rsplit_once('.')?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| digits)
}

/// Of drafts of its own a process knows by their locks alone: its number may have been another one's, in a
/// container every time.
fn may_be_gone(process: u32) -> bool {
    let proc = Path::new("/proc");
    let is_there = |process: u32| proc.join(process.to_string()).exists();
    let own = std::process::id();
    process == own || (is_there(own) && !is_there(process))
}

/// Of this process alone: another one may replace the same file, while it relieves this one.
fn draft(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    draft.into()
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn entries(dir: &tempfile::TempDir) -> usize {
        fs::read_dir(dir.path()).unwrap().count()
    }

    #[test]
    fn a_file_is_made_and_replaced_for_those_who_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        for (bytes, readers, outlives) in [
            (&b"one"[..], Readers::All, Outlives::Process),
            (b"", Readers::Owner, Outlives::Power),
            (b"three", Readers::Owner, Outlives::Process),
        ] {
            replace(&path, bytes, readers, outlives).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(mode(&path) & 0o077 == 0, readers == Readers::Owner);
            assert_eq!(entries(&dir), 1, "no draft stays");
        }
    }

    #[test]
    fn what_a_killed_writer_left_is_neither_kept_nor_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::write(draft(&path), "half of it and much mo").unwrap();
        replace(&path, b"whole", Readers::Owner, Outlives::Process).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(entries(&dir), 1);
    }

    #[test]
    fn a_sweep_takes_what_killed_writers_left_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let (other_draft, gone_draft) = (
            format!("state.{}.new", other.id()),
            format!("state.{}.new", gone.id()),
        );
        let kept = [
            "state",
            "state.new",
            "state.x.new",
            "state.+1.new",
            "state.1.newer",
            &*other_draft,
        ];
        // It would be, but for its lock: a process in another container is not seen here.
        let hidden = format!("hidden.{}.new", gone.id());
        for name in kept.iter().chain([&&*gone_draft, &&*hidden]) {
            fs::write(at(name), "half").unwrap();
        }
        fs::write(draft(&at("state")), "of one before with our number").unwrap();
        std::os::unix::fs::symlink(at("state"), at(&format!("link.{}.new", gone.id()))).unwrap();
        let lock = File::open(at(&hidden)).unwrap();
        lock.lock().unwrap();
        sweep(dir.path()).unwrap();
        let left = fs::read_dir(dir.path()).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = left.collect();
        left.retain(|name| !name.starts_with("link."));
        left.sort_unstable();
        let mut wanted: Vec<&str> = kept.into_iter().chain([&*hidden]).collect();
        wanted.sort_unstable();
        assert_eq!(left, wanted);
        drop(lock);
        other.kill().unwrap();
        other.wait().unwrap();
        sweep(dir.path()).unwrap();
        assert!(!at(&other_draft).exists() && !at(&hidden).exists());
        sweep(&at("nowhere")).unwrap_err();
    }

    #[test]
    fn nothing_that_is_written_is_lost_to_sweeps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for byte in 0..500_u16 {
                    let bytes = byte.to_le_bytes();
                    replace(&path, &bytes, Readers::All, Outlives::Process).unwrap();
                    assert_eq!(fs::read(&path).unwrap(), bytes);
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                sweep(dir.path()).unwrap();
            }
        });
        assert_eq!(entries(&dir), 1);
    }

    #[test]
    fn a_writer_that_fails_leaves_the_file_before_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace(&path, b"before", Readers::All, Outlives::Process).unwrap();
        let failed = replace_by(&path, Readers::All, Outlives::Power, |file| {
            file.write_all(b"half")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(entries(&dir), 1);
    }

    #[test]
    fn a_directory_in_its_place_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::create_dir(&path).unwrap();
        replace(&path, b"bytes", Readers::All, Outlives::Process).unwrap_err();
        assert!(path.is_dir());
        assert_eq!(entries(&dir), 1);
    }

    #[test]
    fn a_reader_never_sees_a_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let whole = |byte: u8| vec![byte; 64 * 1024];
        replace(&path, &whole(0), Readers::All, Outlives::Process).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for byte in 1..200 {
                    replace(&path, &whole(byte), Readers::All, Outlives::Process).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let bytes = fs::read(&path).unwrap();
                assert_eq!(bytes, whole(bytes[0]));
            }
        });
    }

    #[test]
    fn a_bare_name_is_in_the_directory_at_hand() {
        assert_eq!(directory(Path::new("state")), Path::new("."));
        assert_eq!(directory(Path::new("/var/state")), Path::new("/var"));
    }
}
