//! PURE. Why the file can't be used, and what the operator can do about it.

use std::io;
use std::path::Path;

use super::SCHEMA;
use crate::store::StoreError;

/// Why the file can't be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// Another process has it open.
    Held,
    /// The file system refuses.
    Io(io::Error),
    /// It is not what was written.
    Damage(String),
    /// A later build wrote it.
    NewerSchema(u64),
}

impl Fault {
    /// The error for users: what, where, and what to do.
    pub(super) fn explain(self, path: &Path) -> StoreError {
        let path = path.display();
        match self {
            Self::Held => StoreError::Held(format!(
                "the store at {path} is held by another process; stop that one, or choose another \
                 data directory"
            )),
            Self::Io(error) => StoreError::Unavailable(format!(
                "the store at {path} can't be opened: {error}; its directory must exist and be \
                 writable by this user"
            )),
            Self::Damage(detail) => StoreError::Corrupt(format!(
                "the store at {path} is damaged or no store: {detail}; it is left in place: \
                 restore a backup, or move it away to begin with an empty one"
            )),
            Self::NewerSchema(schema) => StoreError::Corrupt(format!(
                "the store at {path} was written by a later build (schema {schema}, this build \
                 knows {SCHEMA}); run that build, or choose another data directory"
            )),
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::Held,
            redb::Error::Io(error) => error.into(),
            other => Self::Damage(other.to_string()),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damage(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}
