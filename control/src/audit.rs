//! The audit log: who changed what, and with which commit. One JSON line each, in a file of its own
//! where one is set, and as an event of target `audit` in the process's log. Names only, no values.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fprs_config::Revision;
use serde_json::json;

use crate::access::Who;
use crate::driver::unix_ms;

/// Where changes are noted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AuditLog {
    file: Option<Arc<Mutex<File>>>,
}

impl AuditLog {
    /// Appends to that file, which only its owner may read.
    ///
    /// # Errors
    /// It can't be written to.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: Some(Arc::new(Mutex::new(file))),
        })
    }

    /// Notes a change that was committed.
    pub(crate) fn note(&self, who: &Who, action: &str, what: &str, revision: Revision) {
        tracing::info!(target: "audit", %who, action, what, %revision, "changed");
        let Some(file) = self.file.clone() else {
            return;
        };
        let line = json!({
            "unix_ms": unix_ms(),
            "who": who.to_string(),
            "action": action,
            "what": what,
            "revision": revision.0,
        });
        // A line is a few hundred bytes to the page cache: not worth a thread.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(file, "{line}") {
            tracing::error!(%error, "the audit log can't be written; the change stands");
        }
    }
}
