//! PURE. Integers with a prefix (RFC 7541 §5.1): the low bits of a first byte that has other things to
//! say, and more bytes where those don't do.

#![allow(
    clippy::cast_possible_truncation,
    reason = "every value is masked, or was compared, before it is made a byte"
)]

use bytes::{BufMut, BytesMut};

use super::Broken;

/// Appends `value` behind the bits of `first` above the prefix.
pub(super) fn write(out: &mut BytesMut, first: u8, prefix: u32, value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        // Below 2^7.
        out.put_u8(first | value as u8);
        return;
    }
    out.put_u8(first | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.put_u8(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// Reads one, and what comes after it.
///
/// # Errors
/// It doesn't end, or is larger than anything it could be for.
pub(super) fn read(bytes: &[u8], prefix: u32) -> Result<(usize, &[u8]), Broken> {
    let (first, mut rest) = bytes.split_first().ok_or(Broken)?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Ok((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first().ok_or(Broken)?;
        rest = after;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value, rest));
        }
    }
    Err(Broken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        for (prefix, value, bytes) in [
            (5, 10, &[0x0a][..]),
            (5, 1337, &[0x1f, 0x9a, 0x0a]),
            (8, 42, &[0x2a]),
        ] {
            let mut out = BytesMut::new();
            write(&mut out, 0, prefix, value);
            assert_eq!(&out[..], bytes);
            assert_eq!(read(bytes, prefix), Ok((value, &[][..])));
        }
    }

    #[test]
    fn what_does_not_end_is_broken() {
        assert_eq!(read(&[], 7), Err(Broken));
        assert_eq!(read(&[0x7f, 0x80], 7), Err(Broken));
        assert_eq!(read(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x01], 7), Err(Broken));
    }

    proptest! {
        #[test]
        fn every_integer_comes_back(value in 0_usize..1 << 27, prefix in 4_u32..=7) {
            let mut out = BytesMut::new();
            write(&mut out, 0x80, prefix, value);
            out.put_u8(9);
            prop_assert_eq!(read(&out, prefix), Ok((value, &[9][..])));
        }
    }
}
