//! Replicas' output on its way from a relay to one reader: bounded, and never waited for. A reader
//! that is too slow misses lines and is told how many.

use std::sync::Arc;

use tokio::sync::mpsc;

/// One request for output, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TailId(pub(crate) u64);

/// The writing side of one replica's output; its end is the drop.
#[derive(Debug)]
pub(crate) struct Tail {
    replica: Arc<str>,
    chunks: mpsc::Sender<Chunk>,
    missed: usize,
}

/// Some lines of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Whose.
    pub(crate) replica: Arc<str>,
    /// Without line ends.
    pub(crate) lines: Vec<String>,
    /// Lines before these that the reader was too slow for.
    pub(crate) missed: usize,
}

impl Tail {
    /// A tail of that replica for the reader of `chunks`.
    pub(crate) const fn new(replica: Arc<str>, chunks: mpsc::Sender<Chunk>) -> Self {
        Self {
            replica,
            chunks,
            missed: 0,
        }
    }

    /// A channel for the tails of one reader.
    pub(crate) fn channel() -> (mpsc::Sender<Chunk>, mpsc::Receiver<Chunk>) {
        mpsc::channel(MAX_CHUNKS)
    }

    /// Hands lines to the reader, or counts them as missed.
    pub(crate) fn tell(&mut self, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        let count = lines.len();
        let chunk = Chunk {
            replica: Arc::clone(&self.replica),
            lines,
            missed: self.missed,
        };
        match self.chunks.try_send(chunk) {
            Ok(()) => self.missed = 0,
            Err(_) => self.missed += count,
        }
    }
}

impl Chunk {
    /// The lines as text, each behind its replica's id.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut push = |line: &str| {
            text.push_str(&self.replica);
            text.push_str(" | ");
            text.push_str(line);
            text.push('\n');
        };
        if self.missed > 0 {
            push(&format!(
                "… {} lines left out: the reader is too slow",
                self.missed
            ));
        }
        self.lines.iter().for_each(|line| push(line));
        text
    }
}

/// Chunks that wait for one reader. A relay sends a chunk per write of a program or per message of
/// backlog, so this rides out a slow second without holding much.
const MAX_CHUNKS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_is_told_how_many_lines_it_missed() {
        let (chunks, mut reader) = mpsc::channel(1);
        let mut tail = Tail::new("r1".into(), chunks);
        tail.tell(vec!["one".to_owned()]);
        tail.tell(vec!["two".to_owned(), "three".to_owned()]);
        assert_eq!(reader.try_recv().unwrap().text(), "r1 | one\n");
        tail.tell(vec!["four".to_owned()]);
        assert_eq!(
            reader.try_recv().unwrap().text(),
            "r1 | … 2 lines left out: the reader is too slow\nr1 | four\n"
        );
    }
}
