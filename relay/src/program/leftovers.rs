//! What a relay that was killed left running: one small file per program in the state directory,
//! named by a token that is also in the program's environment. On the next start the programs are
//! killed, by that token and by their number where the start time proves it is still the same
//! process; never a stranger.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::process::{self, Stat};

/// Names one start of one program, on any machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunToken(u64);

/// The files that tell of running programs.
#[derive(Debug)]
pub(crate) struct RunNotes {
    dir: PathBuf,
}

impl RunToken {
    pub(super) fn random() -> Self {
        Self(fastrand::u64(..))
    }

    /// The environment variable that marks a program and its descendants.
    pub(super) const VARIABLE: &'static str = "FPRS_RUN";

    /// The variable as it stands in an environment.
    pub(super) fn variable(&self) -> String {
        format!("{}={self}", Self::VARIABLE)
    }

    fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl RunNotes {
    /// Keeps its files in that directory, which is made.
    ///
    /// # Errors
    /// The directory can't be made.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Kills what runs by files of an earlier relay process and removes them; returns how many
    /// programs they told of. No other relay may use the directory.
    ///
    /// # Errors
    /// The directory can't be read.
    pub(crate) fn clear(&self) -> io::Result<usize> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(run) = token(&path) else { continue };
            if let Some((leader, start)) = read(&path)
                && Stat::of(leader).is_some_and(|stat| stat.start == start)
            {
                kill_group(leader);
            }
            runs.push(run);
        }
        process::sweep(&runs);
        for run in &runs {
            self.forget(*run);
        }
        Ok(runs.len())
    }

    /// A program with that token is about to start.
    pub(super) fn expect(&self, run: RunToken) -> io::Result<()> {
        fs::write(self.file(run), "")
    }

    /// It has started as that process. A failed write is survived: the token is there.
    pub(super) fn started(&self, run: RunToken, leader: i32) {
        let Some(stat) = Stat::of(leader) else { return };
        if let Err(error) = fs::write(self.file(run), format!("{leader} {}\n", stat.start)) {
            tracing::warn!(%error, dir = %self.dir.display(), "cannot note a program's process");
        }
    }

    /// Nothing of it is left.
    pub(super) fn forget(&self, run: RunToken) {
        match fs::remove_file(self.file(run)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, dir = %self.dir.display(), "cannot remove a program's note");
            }
        }
    }

    fn file(&self, run: RunToken) -> PathBuf {
        self.dir.join(run.to_string())
    }
}

fn token(path: &Path) -> Option<RunToken> {
    RunToken::parse(path.file_name()?.to_str()?)
}

fn read(path: &Path) -> Option<(i32, u64)> {
    let text = fs::read_to_string(path).ok()?;
    let (leader, start) = text.trim_end().split_once(' ')?;
    Some((leader.parse().ok()?, start.parse().ok()?))
}

fn kill_group(leader: i32) {
    match killpg(Pid::from_raw(leader), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::warn!(leader, %error, "cannot kill a leftover program"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command};

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("1000").process_group(0);
        command
    }

    fn number(child: &Child) -> i32 {
        i32::try_from(child.id()).unwrap()
    }

    fn killed(mut child: Child) {
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn what_a_killed_relay_left_is_killed_by_number_or_by_token() {
        let dir = tempfile::tempdir().unwrap();
        let notes = RunNotes::open(dir.path().join("programs")).unwrap();
        let (noted, expected) = (RunToken::random(), RunToken::random());
        let by_number = sleeper().spawn().unwrap();
        notes.expect(noted).unwrap();
        notes.started(noted, number(&by_number));
        notes.expect(expected).unwrap();
        let by_token = sleeper()
            .env(RunToken::VARIABLE, expected.to_string())
            .spawn()
            .unwrap();
        // A process just started has no environment to be seen for some microseconds.
        while !process::is_marked(number(&by_token), &[expected.variable()]) {
            std::thread::yield_now();
        }
        assert_eq!(notes.clear().unwrap(), 2);
        killed(by_number);
        killed(by_token);
        assert_eq!(notes.clear().unwrap(), 0, "notes are gone");
    }

    #[test]
    fn a_stranger_that_has_the_number_now_lives_on() {
        let dir = tempfile::tempdir().unwrap();
        let notes = RunNotes::open(dir.path().to_owned()).unwrap();
        let mut stranger = sleeper().spawn().unwrap();
        let (leader, run) = (number(&stranger), RunToken::random());
        let start = Stat::of(leader).unwrap().start;
        fs::write(notes.file(run), format!("{leader} {}\n", start - 1)).unwrap();
        assert_eq!(notes.clear().unwrap(), 1);
        assert!(stranger.try_wait().unwrap().is_none(), "still runs");
        stranger.kill().unwrap();
        killed(stranger);
    }
}
