//! Numbers: in the low bits of a byte, and if those do not suffice in the bytes that follow.

use super::Error;

/// Bytes that may follow: more than any number that has a meaning here takes.
const MORE: usize = 4;

/// Takes a number off the front: its first byte with `bits` of it, and what follows.
pub fn take(bytes: &mut &[u8], bits: u32) -> Result<usize, Error> {
    let (first, mut rest) = bytes.split_first().ok_or(Error::Short)?;
    let most = (1 << bits) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        for at in 0.. {
            let (byte, after) = rest.split_first().ok_or(Error::Short)?;
            if at == MORE {
                return Err(Error::Overflow);
            }
            rest = after;
            number += usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *bytes = rest;
    Ok(number)
}

/// Appends a number whose first byte has other bits, too.
pub fn put(number: usize, (others, bits): (u8, u32), out: &mut Vec<u8>) {
    let most = (1_usize << bits) - 1;
    if number < most {
        out.push(others | number as u8);
        return;
    }
    out.push(others | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_both_ways() {
        for bits in [4, 5, 6, 7] {
            for number in (0..600).chain([16_384, 1 << 20, (1 << 28) - 1]) {
                let mut bytes = Vec::new();
                put(number, (0, bits), &mut bytes);
                bytes.push(99);
                let mut rest = bytes.as_slice();
                assert_eq!((take(&mut rest, bits), rest), (Ok(number), &[99][..]));
                let mut cut = &bytes[..bytes.len() - 2];
                assert_eq!(take(&mut cut, bits), Err(Error::Short));
            }
        }
    }

    #[test]
    fn examples_of_the_standard_and_what_is_too_large() {
        assert_eq!(take(&mut &[0b0000_1010][..], 5), Ok(10));
        assert_eq!(take(&mut &[0b0001_1111, 0b1001_1010, 0b0000_1010][..], 5), Ok(1_337));
        assert_eq!(take(&mut &[0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f][..], 7), Err(Error::Overflow));
    }
}
