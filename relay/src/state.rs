//! The relay's state directory: held by one relay at a time, and keeper of the worker's name, so
//! that a worker stays itself across restarts.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::relay::RelayError;

/// A state directory that is ours while this lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

const LOCK_FILE: &str = "relay.lock";
const NAME_FILE: &str = "worker-id";
const PROGRAMS_DIR: &str = "programs";

impl StateDir {
    /// Makes it if it isn't there, and takes it.
    ///
    /// # Errors
    /// It can't be written, or another relay has it.
    pub(crate) fn take(path: &Path) -> Result<Self, RelayError> {
        let failed = |source| RelayError::state_dir(path, source);
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(RelayError::StateDirTaken(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The worker's name: the one kept here, made up on the first call.
    pub(crate) fn worker_id(&self) -> Result<String, RelayError> {
        let file = self.path.join(NAME_FILE);
        let failed = |source| RelayError::state_dir(&self.path, source);
        match fs::read_to_string(&file) {
            Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let id = format!("w-{:012x}", fastrand::u64(..1 << 48));
        fs::write(file, format!("{id}\n")).map_err(failed)?;
        Ok(id)
    }

    /// Where running programs are noted.
    pub(crate) fn programs(&self) -> PathBuf {
        self.path.join(PROGRAMS_DIR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_keeps_its_name_and_its_directory_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::take(dir.path()).unwrap();
        let name = first.worker_id().unwrap();
        assert!(matches!(
            StateDir::take(dir.path()),
            Err(RelayError::StateDirTaken(_))
        ));
        drop(first);
        let second = StateDir::take(dir.path()).unwrap();
        assert_eq!(second.worker_id().unwrap(), name);
    }
}
