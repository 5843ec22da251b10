//! The terminal while it is ours: keys come at once, the screen is another one, the cursor is hidden.
//! Dropping it gives everything back, also after a panic.

use std::io::{IsTerminal, Read, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

use super::frame::Size;
use crate::failure::Failure;

/// A terminal that is ours.
#[derive(Debug)]
pub(super) struct Terminal {
    before: Termios,
}

/// The other screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
/// And back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Of a terminal that doesn't say.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

impl Terminal {
    /// Takes it.
    ///
    /// # Errors
    /// Input or output is none.
    pub(super) fn enter() -> Result<Self, Failure> {
        let unusable = |what: &dyn std::fmt::Display| {
            Failure::new(format!("{what}; `fprs top --once` prints plain text"))
        };
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !std::io::stdout().is_terminal() {
            return Err(unusable(&"this is no terminal"));
        }
        let unable =
            |error: rustix::io::Errno| unusable(&format!("can't use the terminal: {error}"));
        let before = tcgetattr(&stdin).map_err(unable)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).map_err(unable)?;
        let terminal = Self { before };
        terminal.draw(ENTER)?;
        Ok(terminal)
    }

    /// As it is now.
    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
                columns: size.ws_col.into(),
                rows: size.ws_row.into(),
            },
            Ok(_) | Err(_) => USUAL,
        }
    }

    /// Writes all of it at once.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn draw(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| Failure::new(format!("can't write to the terminal: {error}")))
    }

    /// What is typed, a byte at a time. The thread that reads ends with the process.
    pub(super) fn keys(&self) -> mpsc::Receiver<u8> {
        let (to, keys) = mpsc::channel(16);
        std::thread::spawn(move || {
            for byte in std::io::stdin().lock().bytes() {
                let Ok(byte) = byte else { return };
                if to.blocking_send(byte).is_err() {
                    return;
                }
            }
        });
        keys
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        self.draw(LEAVE).ok();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before).ok();
    }
}
