//! PURE. Bodies of any size that cost no memory: byte `n` is a function of `n`, so a lost, doubled,
//! swapped or changed byte shows at its offset.

use std::sync::LazyLock;

use bytes::Bytes;

/// Reads or checks the pattern from its start.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    offset: u64,
}

impl Pattern {
    /// At the start.
    pub const fn new() -> Self {
        Self { offset: 0 }
    }

    /// Bytes read or checked so far.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes: at least one, at most `limit`, without a copy.
    ///
    /// # Panics
    /// When `limit` is 0.
    pub fn next(&mut self, limit: usize) -> Bytes {
        assert!(limit > 0, "no bytes asked for");
        let start = self.position();
        let end = BLOCK.len().min(start + limit);
        self.offset += (end - start) as u64;
        BLOCK.slice(start..end)
    }

    /// Checks that `bytes` are the next ones.
    ///
    /// # Errors
    /// The offset of the first byte that differs.
    pub fn check(&mut self, mut bytes: &[u8]) -> Result<(), u64> {
        while !bytes.is_empty() {
            let start = self.position();
            let length = bytes.len().min(BLOCK.len() - start);
            let (now, later) = bytes.split_at(length);
            let expected = &BLOCK[start..start + length];
            if now != expected {
                let same = now.iter().zip(expected).take_while(|(a, b)| a == b).count();
                return Err(self.offset + same as u64);
            }
            self.offset += length as u64;
            bytes = later;
        }
        Ok(())
    }

    /// The first `length` bytes as one value, for small bodies.
    pub fn bytes(length: usize) -> Bytes {
        let mut pattern = Self::new();
        let mut all = Vec::with_capacity(length);
        while all.len() < length {
            all.extend_from_slice(&pattern.next(length - all.len()));
        }
        all.into()
    }

    fn position(&self) -> usize {
        usize::try_from(self.offset % BLOCK.len() as u64).expect("below the block's length")
    }
}

/// A prime length, so that the pattern never lines up with buffers, frames or windows.
const BLOCK_LENGTH: usize = 65_521;

static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..BLOCK_LENGTH)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[3]
        })
        .collect::<Vec<u8>>()
        .into()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_checks_across_block_borders() {
        let mut read = Pattern::new();
        let mut checked = Pattern::new();
        while read.offset() < 3 * BLOCK_LENGTH as u64 {
            checked.check(&read.next(7_919)).unwrap();
        }
        assert_eq!(read.offset(), checked.offset());
    }

    #[test]
    fn a_changed_byte_shows_at_its_offset() {
        let mut bytes = Pattern::bytes(200_000).to_vec();
        bytes[131_313] ^= 1;
        assert_eq!(Pattern::new().check(&bytes), Err(131_313));
    }

    #[test]
    fn a_lost_byte_shows_close_to_where_it_was() {
        let mut bytes = Pattern::bytes(100_000).to_vec();
        bytes.remove(5_000);
        let at = Pattern::new().check(&bytes).unwrap_err();
        assert!((5_000..5_010).contains(&at), "{at}");
    }
}
