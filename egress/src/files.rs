//! State in small files of JSON: what outlives the process, for its owner alone.

use std::fs;
use std::io;
use std::path::Path;

use fprs_config::whole_file::{self, Outlives, Readers};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Replaces the file by one with that value in it, and makes its directory.
///
/// # Errors
/// The file system refuses.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // What it describes is the kernel's, and gone with the machine's power.
    whole_file::replace(path, &text, Readers::Owner, Outlives::Process)
}

/// The value in the file; none if there is no file.
///
/// # Errors
/// It can't be read, or holds something else.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let value = serde_json::from_slice(&text);
    value.map(Some).map_err(io::Error::other)
}
