//! `fprs top`: the fleet in a terminal, looked at again and again; or once, as plain text. Whatever
//! ends it, the terminal is as it was before.

mod frame;
mod look;
mod terminal;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::frame::{Frame, Size};
use self::look::{Eyes, Look};
use self::terminal::Terminal;
use super::ask::print;
use crate::cli::Target;
use crate::client::Client;
use crate::failure::Failure;

/// What fits a screen when it is printed and nobody says how wide one is.
const PRINTED: Size = Size {
    columns: 120,
    rows: usize::MAX,
};

/// The shortest time between two looks: a tenth of it is what a look may cost a plane.
const SHORTEST: Duration = Duration::from_millis(100);

/// Shows it until `q` or Ctrl-C.
///
/// # Errors
/// Nobody answers at the start, or there is no terminal.
pub(super) fn run(
    once: bool,
    interval: &str,
    proxies: &[String],
    target: &Target,
) -> Result<(), Failure> {
    let every = humantime::parse_duration(interval)
        .ok()
        .filter(|every| *every >= SHORTEST)
        .ok_or_else(|| {
            Failure::usage(format!(
                "`--interval {interval}`: not a duration like 1s, of 100ms at least"
            ))
        })?;
    let eyes = Eyes::new(Client::find(target)?, proxies);
    // A rate takes two looks; what is wrong at the first is told as of any command.
    let first = eyes.look()?;
    if once {
        std::thread::sleep(every);
        let frame = Frame::new(&eyes.look()?, Some(&first), PRINTED);
        return print(&frame.plain());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("can't start: {error}")))?;
    let terminal = Terminal::enter()?;
    let ended = runtime.block_on(watch(&terminal, eyes, first, every));
    drop(terminal);
    // A look that is on its way is not waited for.
    runtime.shutdown_background();
    ended
}

/// Draws what it sees, in the size that the terminal has by then.
async fn watch(
    terminal: &Terminal,
    eyes: Eyes,
    first: Look,
    every: Duration,
) -> Result<(), Failure> {
    let unable = |error| Failure::new(format!("can't wait for signals: {error}"));
    let mut resized = signal(SignalKind::window_change()).map_err(unable)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(unable)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(unable)?;
    let mut keys = terminal.keys();
    let mut looks = looks(eyes, every);
    let (mut latest, mut before, mut trouble) = (first, None, None);
    loop {
        let frame = Frame::new(&latest, before.as_ref(), terminal.size());
        terminal.draw(&frame.styled(trouble.as_deref()))?;
        tokio::select! {
            _ = resized.recv() => {}
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
            key = keys.recv() => match key {
                Some(b'q' | b'Q' | CTRL_C | CTRL_D) | None => return Ok(()),
                Some(_) => {}
            },
            look = looks.recv() => match look {
                Some(Ok(look)) => {
                    before = Some(std::mem::replace(&mut latest, look));
                    trouble = None;
                }
                // What is shown is old, and that is said.
                Some(Err(failure)) => trouble = Some(failure.to_string()),
                None => return Ok(()),
            },
        }
    }
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// Looks on a thread of its own: a plane that does not answer holds up no key.
fn looks(eyes: Eyes, every: Duration) -> mpsc::Receiver<Result<Look, Failure>> {
    let (to, looks) = mpsc::channel(1);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(every);
            if to.blocking_send(eyes.look()).is_err() {
                return;
            }
        }
    });
    looks
}
