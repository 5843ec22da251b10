//! PURE. Server-sent events of one fixed size, each carrying the time it was written, so that a
//! reader on the same machine can say how long it was on the way.

const PREFIX: &[u8] = b"data: ";
const DIGITS: usize = 20;
/// The smallest event that holds a timestamp and its ends.
pub const SMALLEST: usize = PREFIX.len() + DIGITS + 2;

/// Appends an event of exactly `size` bytes (at least [`SMALLEST`]) written at `at` ns.
pub fn put(out: &mut Vec<u8>, size: usize, at: u64) {
    let start = out.len();
    out.extend_from_slice(PREFIX);
    out.extend_from_slice(format!("{at:0DIGITS$}").as_bytes());
    out.resize((start + size).saturating_sub(2).max(out.len()), b'.');
    out.extend_from_slice(b"\n\n");
}

/// Finds event ends in a body that arrives in any pieces.
#[derive(Clone, Debug)]
pub struct Reader {
    size: usize,
    offset: usize,
    at: u64,
}

impl Reader {
    /// For events of `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size: size.max(SMALLEST),
            offset: 0,
            at: 0,
        }
    }

    /// Takes the next piece and calls `found` with the write time of each event it completes.
    pub fn take(&mut self, mut piece: &[u8], mut found: impl FnMut(u64)) {
        while !piece.is_empty() {
            let digits = PREFIX.len()..PREFIX.len() + DIGITS;
            let step = if self.offset < digits.end {
                if digits.contains(&self.offset) {
                    self.at = self.at.wrapping_mul(10) + u64::from(piece[0].wrapping_sub(b'0'));
                }
                1
            } else {
                piece.len().min(self.size - self.offset)
            };
            self.offset += step;
            piece = &piece[step..];
            if self.offset == self.size {
                found(self.at);
                (self.offset, self.at) = (0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_any_cut_of_the_body() {
        let mut body = Vec::new();
        for at in [1, 22_000_000_000, 333] {
            put(&mut body, 200, at);
        }
        assert_eq!(body.len(), 600);
        for cut in [1, 7, 26, 199, 200, 201, 600] {
            let (mut reader, mut seen) = (Reader::new(200), Vec::new());
            for piece in body.chunks(cut) {
                reader.take(piece, |at| seen.push(at));
            }
            assert_eq!(seen, [1, 22_000_000_000, 333], "cut every {cut}");
        }
    }
}
