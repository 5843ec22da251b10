//! When an HTTP/2 connection on which nothing is asked is to end: told to leave first, so that a
//! request on its way is still served, then cut.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::limits;

/// Watches one connection.
#[derive(Debug)]
pub(super) struct Idle {
    streams: Rc<Streams>,
    /// Without a stream for this long, it is to leave.
    after: Duration,
    sleep: Pin<Box<Sleep>>,
    told: bool,
}

/// What is to be done with an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It begins no more streams.
    Tell,
    /// It didn't go.
    Cut,
}

/// A connection's open streams.
#[derive(Debug)]
struct Streams {
    open: Cell<usize>,
    /// When the last one ended, or the connection began.
    since: Cell<Instant>,
}

/// One open stream, until dropped.
#[derive(Debug)]
pub(super) struct Open(Rc<Streams>);

impl Idle {
    /// A connection without a stream so far.
    pub(super) fn new(after: Duration) -> Self {
        let now = Instant::now();
        Self {
            streams: Rc::new(Streams {
                open: Cell::new(0),
                since: Cell::new(now),
            }),
            after,
            sleep: Box::pin(tokio::time::sleep_until(now + after)),
            told: false,
        }
    }

    /// A stream begins.
    pub(super) fn open(&self) -> Open {
        self.streams.open.set(self.streams.open.get() + 1);
        Open(Rc::clone(&self.streams))
    }

    /// Ready when something is to be done.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            if self.streams.open.get() > 0 {
                self.streams.since.set(now);
            }
            let patience = if self.told {
                limits::LINGER
            } else {
                self.after
            };
            let deadline = self.streams.since.get() + patience;
            if now < deadline {
                // It costs one timer a connection to notice a stream's end only now.
                self.sleep.as_mut().reset(deadline);
                continue;
            }
            if self.told {
                return Poll::Ready(Step::Cut);
            }
            self.told = true;
            self.streams.since.set(now);
            self.sleep.as_mut().reset(now + limits::LINGER);
            return Poll::Ready(Step::Tell);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let open = self.0.open.get() - 1;
        self.0.open.set(open);
        if open == 0 {
            self.0.since.set(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_streams_is_told_and_then_cut() {
        let begun = Instant::now();
        let mut idle = Idle::new(AFTER);
        assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Step::Tell);
        assert_eq!(begun.elapsed().as_secs(), 10);
        assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Step::Cut);
        assert_eq!(begun.elapsed().as_secs(), 12);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_keeps_its_connection_and_its_end_starts_the_time_anew() {
        let begun = Instant::now();
        let mut idle = Idle::new(AFTER);
        let stream = idle.open();
        let ended = async {
            tokio::time::sleep(Duration::from_secs(35)).await;
            drop(stream);
        };
        let ((), step) = tokio::join!(ended, poll_fn(|cx| idle.poll(cx)));
        assert_eq!(step, Step::Tell);
        let after = begun.elapsed().as_secs();
        assert!((45..=55).contains(&after), "{after} s");
    }
}
