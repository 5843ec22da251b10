//! PURE. Bytes into lines: whatever a program writes, a line is text and has a longest length.

/// Makes lines of bytes as they come.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    /// The line so far, never more than `MAX_LINE`.
    line: Vec<u8>,
    /// It was longer: the rest up to its end is not kept.
    cut: bool,
}

/// Bytes of a line that are kept.
pub(super) const MAX_LINE: usize = 8 * 1024;
const CUT_MARK: &str = " … (line cut)";

impl LineCutter {
    /// Takes bytes in and gives every line they end.
    pub(super) fn push(&mut self, bytes: &[u8], mut give: impl FnMut(&str)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.keep(line);
            self.give(&mut give);
            rest = after.get(1..).unwrap_or_default();
        }
        self.keep(rest);
    }

    /// Gives the last line if it wasn't ended.
    pub(super) fn finish(mut self, mut give: impl FnMut(&str)) {
        if !self.line.is_empty() {
            self.give(&mut give);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.cut |= bytes.len() > room;
        self.line
            .extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }

    fn give(&mut self, give: &mut impl FnMut(&str)) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let text = String::from_utf8_lossy(line);
        if self.cut {
            give(&format!("{text}{CUT_MARK}"));
        } else {
            give(&text);
        }
        self.line.clear();
        self.cut = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut cutter = LineCutter::default();
        for piece in pieces {
            cutter.push(piece, |line| lines.push(line.to_owned()));
        }
        cutter.finish(|line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn lines_are_whole_however_their_bytes_arrive() {
        let expected = ["one", "", "two", "end"];
        assert_eq!(cut(&[b"one\n\ntwo\r\nend"]), expected);
        assert_eq!(
            cut(&[b"on", b"e", b"\n\n", b"two\r", b"\ne", b"nd"]),
            expected
        );
        assert!(cut(&[b""]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'x'; 3 * MAX_LINE];
        let lines = cut(&[&long, b"\nnext\n"]);
        assert_eq!(lines[0], format!("{}{CUT_MARK}", "x".repeat(MAX_LINE)));
        assert_eq!(lines[1], "next");
        let exact = vec![b'x'; MAX_LINE];
        assert_eq!(cut(&[&exact, b"\n"]), ["x".repeat(MAX_LINE)]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(cut(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }
}
