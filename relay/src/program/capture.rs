//! A program's output: its last lines, kept within bounds, and followers that get what comes. A
//! program never waits for a reader of its logs: a follower that falls behind loses lines.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::broadcast;

mod lines;
mod ring;

use lines::LineCutter;
use ring::Ring;

/// What a program wrote, both of its streams together.
#[derive(Debug)]
pub(crate) struct Output {
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    ring: Ring,
    /// `None` once nothing more can come.
    followers: Option<broadcast::Sender<Arc<str>>>,
}

/// The end of the output and what comes after it, without a gap.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) lines: Vec<Arc<str>>,
    /// `None` if nothing more can come.
    pub(crate) follow: Option<broadcast::Receiver<Arc<str>>>,
}

/// Lines a follower may be behind before it loses some: 2 MiB of the longest.
const FOLLOW_BEHIND: usize = 256;
const READ_BYTES: usize = 16 * 1024;

impl Output {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            book: Mutex::new(Book {
                ring: Ring::default(),
                followers: Some(broadcast::Sender::new(FOLLOW_BEHIND)),
            }),
        })
    }

    /// At most that many of the last lines, and the way to what comes next.
    pub(crate) fn tail(&self, lines: usize) -> Tail {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        Tail {
            lines: book.ring.last(lines),
            follow: book.followers.as_ref().map(broadcast::Sender::subscribe),
        }
    }

    /// At most that many of the last lines.
    pub(crate) fn last(&self, lines: usize) -> Vec<Arc<str>> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.ring.last(lines)
    }

    /// Nothing more comes: followers are at their end.
    pub(crate) fn close(&self) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.followers = None;
    }

    /// Adds a line of the relay's own.
    pub(crate) fn say(&self, line: &str) {
        self.push(line);
    }

    fn push(&self, line: &str) {
        let line: Arc<str> = line.into();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.ring.push(Arc::clone(&line));
        if let Some(followers) = &book.followers {
            // Fails when nobody follows, which is how it mostly is.
            drop(followers.send(line));
        }
    }
}

/// Reads one stream of a program to its end.
pub(crate) async fn read(mut stream: impl AsyncRead + Unpin, output: Arc<Output>) {
    let mut cutter = LineCutter::default();
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        cutter.push(buffer.get(..count).unwrap_or_default(), |line| {
            output.push(line);
        });
    }
    cutter.finish(|line| output.push(line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::broadcast::error::RecvError;

    #[tokio::test]
    async fn a_follower_gets_the_tail_and_then_every_line_and_then_the_end() {
        let output = Output::new();
        read(&b"one\ntwo\n"[..], Arc::clone(&output)).await;
        let mut tail = output.tail(1);
        assert_eq!(tail.lines, ["two".into()]);
        read(&b"three\nunfinished"[..], Arc::clone(&output)).await;
        output.close();
        let follow = tail.follow.as_mut().unwrap();
        assert_eq!(&*follow.recv().await.unwrap(), "three");
        assert_eq!(&*follow.recv().await.unwrap(), "unfinished");
        assert_eq!(follow.recv().await, Err(RecvError::Closed));
        assert!(output.tail(9).follow.is_none());
        assert_eq!(output.last(9).len(), 4);
    }

    #[tokio::test]
    async fn a_slow_follower_loses_lines_and_is_told_how_many() {
        let output = Output::new();
        let mut follow = output.tail(0).follow.unwrap();
        for number in 0..FOLLOW_BEHIND + 10 {
            output.push(&number.to_string());
        }
        assert_eq!(follow.recv().await, Err(RecvError::Lagged(10)));
        assert_eq!(&*follow.recv().await.unwrap(), "10");
    }
}
