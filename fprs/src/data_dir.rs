//! What a plane keeps in its data dir: the store, the admin token, and, while it runs, where it
//! answers, so that commands on the same machine need no flags.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fprs_config::Secret;
use fprs_config::whole_file::{self, Outlives, Readers};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A data dir that exists and can be written to.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// Where a running plane answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// The data plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Control API, metrics, probes.
    pub admin: SocketAddr,
    /// The edge, with TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<SocketAddr>,
    /// The suffix it answers for.
    pub zone: String,
}

impl DataDir {
    /// Makes the directory where it is missing.
    ///
    /// # Errors
    /// It can't be made or written to.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let unusable = |error: std::io::Error| {
            Failure::new(format!(
                "can't use data dir `{}`: {error}; give one that is writable with --data-dir",
                path.display()
            ))
        };
        fs::create_dir_all(path).map_err(unusable)?;
        // Absolute, since programs run in directories of their own.
        let path = fs::canonicalize(path).map_err(unusable)?;
        let probe = path.join(".writable");
        File::create(&probe)
            .and_then(|_| fs::remove_file(&probe))
            .map_err(unusable)?;
        let dir = Self { path };
        dir.sweep();
        Ok(dir)
    }

    /// A snapshot may be large, and a process that is killed again and again leaves one each time.
    fn sweep(&self) {
        for place in [self.path.clone(), self.edge()] {
            match whole_file::sweep(&place) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let place = place.display();
                    tracing::warn!(%place, %error, "what killed processes left can't be removed");
                }
                _ => {}
            }
        }
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    /// The last snapshot that served well, for a role that follows a store.
    pub fn last_good(&self, role: &str) -> PathBuf {
        self.path.join(format!("{role}-last-good"))
    }

    /// Whoever has this file locked is the data dir's only proxy.
    pub fn proxy_lock(&self) -> PathBuf {
        self.path.join("proxy.lock")
    }

    /// Where the running proxy can be relieved.
    pub fn proxy_socket(&self) -> PathBuf {
        self.path.join("proxy.sock")
    }

    /// Where it is kept what tenants use, by month.
    pub fn usage(&self) -> PathBuf {
        self.path.join("usage")
    }

    /// The autoscaler's name; whoever has this file locked has the name.
    pub fn holder(&self) -> PathBuf {
        self.path.join("autoscaler")
    }

    /// Who changed what, a JSON line each.
    pub fn audit_log(&self) -> PathBuf {
        self.path.join("audit.jsonl")
    }

    /// Itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The edge's directory.
    pub fn edge(&self) -> PathBuf {
        self.path.join("edge")
    }

    /// The relay's directory.
    pub fn relay(&self) -> PathBuf {
        self.path.join("relay")
    }

    /// The admin token: the one given, else the one here, made the first time.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub fn token(&self, given: Option<&Secret>) -> Result<String, Failure> {
        if let Some(given) = given {
            return Ok(given.expose().to_owned());
        }
        let path = token_path(&self.path);
        if let Some(token) = read_token(&path)? {
            return Ok(token);
        }
        let token = random_token().map_err(|error| unwritable(&path, &error))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{token}").and_then(|()| file.sync_all()))
            .map_err(|error| unwritable(&path, &error))?;
        Ok(token)
    }

    /// Tells commands where this plane answers.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn announce(&self, running: &Running) -> Result<(), Failure> {
        write_whole(&running_path(&self.path), running)
    }

    /// The plane answers no more.
    pub fn retract(&self) {
        // A stale file only makes a command say that nothing answers.
        fs::remove_file(running_path(&self.path)).ok();
    }
}

/// Where the plane of that data dir answers, if it was told to run.
///
/// # Errors
/// The file is there but can't be understood.
pub fn running(data_dir: &Path) -> Result<Option<Running>, Failure> {
    let path = running_path(data_dir);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| unreadable(&path, &error))
}

/// The admin token of that data dir, if there is one.
///
/// # Errors
/// The file is there but can't be read.
pub fn token(data_dir: &Path) -> Result<Option<String>, Failure> {
    read_token(&token_path(data_dir))
}

/// Writes JSON so that a reader sees all of it or nothing.
///
/// # Errors
/// The file can't be written.
pub fn write_whole(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_vec(value).map_err(|error| unwritable(path, &error))?;
    whole_file::replace(path, &text, Readers::All, Outlives::Process)
        .map_err(|error| unwritable(path, &error))
}

fn token_path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin-token")
}

fn running_path(data_dir: &Path) -> PathBuf {
    data_dir.join("running.json")
}

fn read_token(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => Ok(Some(token.trim().to_owned())),
        Ok(_) => Err(Failure::new(format!(
            "`{}` is empty; remove it and start the plane again to get a new token",
            path.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// 256 bits from the system, as hexadecimal digits.
fn random_token() -> std::io::Result<String> {
    use std::io::Read;

    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("can't read `{}`: {error}", path.display()))
}

fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("can't write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opened_data_dir_has_no_drafts_of_the_dead() {
        let dir = tempfile::tempdir().unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let edge = dir.path().join("edge");
        fs::create_dir(&edge).unwrap();
        let of = |name: &str, process: u32| format!("{name}.{process}.new");
        let left = [
            dir.path().join(of("up-last-good", gone.id())),
            edge.join(of("wildcard.yaml", gone.id())),
        ];
        // The system's first process is always there.
        let written = dir.path().join(of("up-last-good", 1));
        for draft in left.iter().chain([&written]) {
            fs::write(draft, "half of it").unwrap();
        }
        DataDir::open(dir.path()).unwrap();
        assert!(left.iter().all(|draft| !draft.exists()));
        assert!(written.exists());
    }
}
