//! Promise: docs/getting-started.md can be typed as it stands: its files are written, and its commands
//! run in order by a shell, but for those that fetch and build.

use std::path::{Path, PathBuf};

use fprs_testkit::{Plane, until};
use tokio::process::Command;

use crate::{FPRS, SOON};

/// What a machine does once, and what is of the newcomer's own measurement (examples/newcomer.sh).
const ONCE: [&str; 6] = ["git clone", "make ", "cargo ", "export PATH", "pip ", "ln "];

#[tokio::test]
async fn the_first_steps_can_be_typed_as_they_stand() {
    let plane = Plane::start(FPRS).await;
    let home = Home::new(&plane);
    let mut token: Option<String> = None;
    let mut ran = 0;
    for block in blocks("One machine").chain(blocks("A server of your own")) {
        if let Some(name) = block.file() {
            std::fs::write(home.dir.join(name), &block.text).unwrap();
            continue;
        }
        assert_eq!(block.language, "sh", "{}", block.text);
        for line in block.text.lines() {
            let (command, says) = line.split_once("# ").unwrap_or((line, ""));
            let once = ONCE.iter().any(|start| command.starts_with(start));
            // The plane is up already, on ports of its own.
            if command.trim().is_empty() || once || command.trim() == "fprs up" {
                continue;
            }
            let command = match &token {
                Some(token) => command.replace("<id>.<secret>", token),
                None => command.to_owned(),
            };
            let output = home.types(&command, says).await;
            token = found_token(&output).or(token);
            ran += 1;
        }
    }
    assert!(ran >= 8, "only {ran} commands");
    assert!(token.is_some(), "no token was made");
}

/// Where a newcomer types: a clone's directory, with a plane's data in it.
struct Home {
    dir: PathBuf,
    path: String,
    port: String,
}

impl Home {
    fn new(plane: &Plane) -> Self {
        let dir = plane.dir().join("clone");
        std::fs::create_dir(&dir).unwrap();
        let link = |from: &Path, name: &str| {
            std::os::unix::fs::symlink(from, dir.join(name)).unwrap();
        };
        link(&root().join("examples"), "examples");
        link(&plane.data_dir(), ".fprs");
        let binary = Path::new(FPRS).parent().unwrap().display().to_string();
        Self {
            dir,
            path: format!("{binary}:{}", std::env::var("PATH").unwrap()),
            port: format!(":{}/", plane.listen().port()),
        }
    }

    /// Runs a line as it stands but for the port, until it does what its comment says; what it printed.
    async fn types(&self, command: &str, says: &str) -> String {
        // What follows goes on until somebody ends it.
        let follows = command.trim_end().ends_with(" -f");
        let command = command.replace(":8080/", &self.port);
        // A status that comes is waited for.
        let wanted = ["200", "503"]
            .into_iter()
            .rfind(|status| says.contains(status));
        until(&command, SOON, async || {
            let mut shell = Command::new("timeout");
            shell.args([if follows { "1" } else { "20" }, "bash", "-c", &command]);
            let shell = shell.current_dir(&self.dir).env("PATH", &self.path);
            let output = shell.kill_on_drop(true).output().await.unwrap();
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            let ended = output.status.success() || (follows && output.status.code() == Some(124));
            assert!(ended, "{command}: {}: {printed}{complaint}", output.status);
            let came =
                wanted.is_none_or(|status| printed.starts_with(&format!("HTTP/1.1 {status}")));
            came.then_some(printed)
        })
        .await
    }
}

/// A fenced block of a page.
struct Block {
    language: String,
    text: String,
}

impl Block {
    /// The file it is, by its first line's comment.
    fn file(&self) -> Option<&str> {
        let name = self.text.lines().next()?.strip_prefix("# ")?;
        let name = name.split([':', ' ']).next()?;
        name.contains('.').then_some(name)
    }
}

/// The blocks of a section, in order.
fn blocks(section: &str) -> impl Iterator<Item = Block> {
    let page = std::fs::read_to_string(root().join("docs/getting-started.md")).unwrap();
    let section = page
        .split("\n## ")
        .find(|it| it.lines().next() == Some(section));
    let section = section.expect("the section is there").to_owned();
    let fenced: Vec<String> = section
        .split("```")
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert!(!fenced.is_empty());
    fenced.into_iter().map(|fenced| {
        let (language, text) = fenced.split_once('\n').unwrap();
        Block {
            language: language.to_owned(),
            text: text.to_owned(),
        }
    })
}

/// Credentials, as a line shows them.
fn found_token(printed: &str) -> Option<String> {
    printed.split_whitespace().find_map(|word| {
        let (id, secret) = word.split_once('.')?;
        (id.starts_with("tk-") && secret.len() == 43).then(|| word.to_owned())
    })
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}
