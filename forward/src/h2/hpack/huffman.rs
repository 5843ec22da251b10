//! PURE. The Huffman code of header strings (RFC 7541 Appendix B). The code is canonical: among codes of
//! one length they rise with the symbol, so the lengths alone say all of it.

#![allow(
    clippy::cast_possible_truncation,
    reason = "symbols are below 256, and codes and their lengths are what the table below has"
)]

/// Bits of each byte's code; the 257th, which ends a string and may not occur in one, has 30 ones.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LONGEST: usize = 30;

/// Of each length: the first code, and where its symbols begin in `SYMBOLS`.
#[derive(Clone, Copy)]
struct Rank {
    first: u32,
    count: u32,
    symbols: u32,
}

static RANKS: [Rank; LONGEST + 1] = ranks();
static SYMBOLS: [u8; 256] = symbols();
/// By the next eight bits: the symbol and the length of its code, 0 where that is longer.
static SHORT: [(u8, u8); 256] = short();

/// The string is no Huffman code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Appends the decoded string.
///
/// # Errors
/// It has a code that is none, or doesn't end in fewer than eight ones (RFC 7541 §5.2).
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    // The next bits are the highest of `bits`; of those `held` are of the string.
    let (mut bits, mut held) = (0_u64, 0_u32);
    let mut bytes = bytes.iter();
    loop {
        while held <= 56
            && let Some(byte) = bytes.next()
        {
            bits |= u64::from(*byte) << (56 - held);
            held += 8;
        }
        let (symbol, length) = match SHORT.get((bits >> 56) as usize) {
            Some((symbol, length)) if *length > 0 => (*symbol, u32::from(*length)),
            _ => match long(bits) {
                Some(found) => found,
                // What is left may be the end's padding.
                None if is_padding(bits, held) => return Ok(()),
                None => return Err(Broken),
            },
        };
        if length > held {
            return match is_padding(bits, held) {
                true => Ok(()),
                false => Err(Broken),
            };
        }
        out.push(symbol);
        bits <<= length;
        held -= length;
    }
}

/// The symbol whose code, of more than eight bits, comes next.
fn long(bits: u64) -> Option<(u8, u32)> {
    (9..=LONGEST).find_map(|length| {
        let rank = RANKS.get(length)?;
        let code = (bits >> (64 - length)) as u32;
        let nth = code
            .checked_sub(rank.first)
            .filter(|nth| *nth < rank.count)?;
        let symbol = SYMBOLS.get((rank.symbols + nth) as usize)?;
        Some((*symbol, length as u32))
    })
}

/// Fewer than eight bits are left, and all are ones.
const fn is_padding(bits: u64, held: u32) -> bool {
    held < 8 && (held == 0 || (bits >> (64 - held)) == (1 << held) - 1)
}

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated when this is compiled, where an index out of bounds is an error"
)]
const fn ranks() -> [Rank; LONGEST + 1] {
    let empty = Rank {
        first: 0,
        count: 0,
        symbols: 0,
    };
    let mut ranks = [empty; LONGEST + 1];
    let mut symbol = 0;
    while symbol < LENGTHS.len() {
        ranks[LENGTHS[symbol] as usize].count += 1;
        symbol += 1;
    }
    let mut length = 1;
    while length <= LONGEST {
        let shorter = ranks[length - 1];
        ranks[length].first = (shorter.first + shorter.count) << 1;
        ranks[length].symbols = shorter.symbols + shorter.count;
        length += 1;
    }
    ranks
}

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated when this is compiled, where an index out of bounds is an error"
)]
const fn symbols() -> [u8; 256] {
    let mut symbols = [0; 256];
    let (mut length, mut at) = (1, 0);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[at] = symbol as u8;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated when this is compiled, where an index out of bounds is an error"
)]
const fn short() -> [(u8, u8); 256] {
    let (ranks, symbols) = (ranks(), symbols());
    let mut short = [(0, 0); 256];
    let mut length = 1;
    while length <= 8 {
        let rank = ranks[length];
        let mut nth = 0;
        while nth < rank.count {
            let symbol = symbols[(rank.symbols + nth) as usize];
            let (from, span) = ((rank.first + nth) << (8 - length), 1 << (8 - length));
            let mut at = 0;
            while at < span {
                short[(from + at) as usize] = (symbol, length as u8);
                at += 1;
            }
            nth += 1;
        }
        length += 1;
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(symbol: u8) -> (u32, u32) {
        let length = LENGTHS[usize::from(symbol)];
        let rank = RANKS[usize::from(length)];
        let of_length = &SYMBOLS[rank.symbols as usize..(rank.symbols + rank.count) as usize];
        let nth = of_length.iter().position(|other| *other == symbol).unwrap();
        (rank.first + nth as u32, u32::from(length))
    }

    fn encode(bytes: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        for byte in bytes {
            let (code, length) = code(*byte);
            bits.extend((0..length).rev().map(|bit| code >> bit & 1));
        }
        while bits.len() % 8 != 0 {
            bits.push(1);
        }
        let byte = |bits: &[u32]| bits.iter().fold(0, |byte, bit| byte << 1 | *bit as u8);
        bits.chunks(8).map(byte).collect()
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut out = Vec::new();
        decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn codes_are_those_of_the_appendix() {
        for (symbol, expected) in [
            (b'0', (0, 5)),
            (b't', (0x9, 5)),
            (b' ', (0x14, 6)),
            (b'/', (0x18, 6)),
            (b'X', (0xfc, 8)),
            (b'!', (0x3f8, 10)),
            (b'\\', (0x7fff0, 19)),
            (0, (0x1ff8, 13)),
            (255, (0x3ff_ffee, 26)),
            (22, (0x3fff_fffe, 30)),
        ] {
            assert_eq!(code(symbol), expected, "{symbol}");
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let example = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&example).unwrap(), b"www.example.com");
        assert_eq!(decoded(&[0x64, 0x02]).unwrap(), b"302");
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn padding_is_shorter_than_a_byte_and_all_ones() {
        // "0" is 00000.
        assert_eq!(decoded(&[0x07]).unwrap(), b"0");
        assert_eq!(decoded(&[0x06]), Err(Broken), "a zero in it");
        assert_eq!(decoded(&[0x07, 0xff]), Err(Broken), "a whole byte of it");
        assert_eq!(
            decoded(&[0xff, 0xff, 0xff, 0xff]),
            Err(Broken),
            "the end's code"
        );
    }

    proptest! {
        #[test]
        fn every_string_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn no_bytes_make_it_fail_otherwise(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _broken_or_not = decoded(&bytes);
        }
    }
}
