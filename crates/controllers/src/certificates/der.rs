//! As much of DER as a certificate needs.

use client::time;
use env::WallTime;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

/// Something with a tag.
pub fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(u8::try_from(length).unwrap_or(0x7f));
    } else {
        let bytes = length.to_be_bytes();
        let used = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(0)..];
        out.push(0x80 | u8::try_from(used.len()).unwrap_or(8));
        out.extend_from_slice(used);
    }
    out.extend_from_slice(content);
    out
}

/// Parts in a row.
pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

/// A positive number of these bytes, the highest first.
pub fn positive(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    let mut content = bytes[start..].to_vec();
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    tagged(INTEGER, &content)
}

/// An object's name: `2.5.29.15`.
pub fn object(name: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    let first = name.first().copied().unwrap_or(0) * 40 + name.get(1).copied().unwrap_or(0);
    for number in std::iter::once(first).chain(name.iter().skip(2).copied()) {
        let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group == 0 { 0 } else { 0x80 };
            content.push(more | u8::try_from((number >> (7 * group)) & 0x7f).unwrap_or(0));
        }
    }
    tagged(OBJECT, &content)
}

/// Whole bytes as bits.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    tagged(BIT_STRING, &[&[0], bytes].concat())
}

/// Flags by their number, without zeros at the end.
pub fn flags(set: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let (mut value, mut last) = (0u16, 0);
    for flag in set {
        value |= 0x8000 >> flag;
        last = last.max(flag);
    }
    let bytes = value.to_be_bytes();
    let used = usize::from(last / 8) + 1;
    tagged(BIT_STRING, &[&[7 - last % 8], &bytes[..used]].concat())
}

/// Bytes.
pub fn octets(bytes: &[u8]) -> Vec<u8> {
    tagged(OCTET_STRING, bytes)
}

/// A point in time; two digits of the year for as long as they are clear.
pub fn instant(at: WallTime) -> Vec<u8> {
    let at = time::timestamp(at);
    let text = at.strftime("%Y%m%d%H%M%SZ").to_string();
    if text.as_str() < "2050" {
        tagged(UTC_TIME, &text.as_bytes()[2..])
    } else {
        tagged(GENERALIZED_TIME, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_standard_says() {
        let cases: [(Vec<u8>, &[u8]); 12] = [
            (positive(&[0, 0, 5]), &[2, 1, 5]),
            (positive(&[0x80]), &[2, 2, 0, 0x80]),
            (positive(&[0]), &[2, 1, 0]),
            (object(&[2, 5, 29, 15]), &[6, 3, 0x55, 0x1d, 0x0f]),
            (object(&[1, 2, 840, 10045, 4, 3, 2]), &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]),
            (bits(&[1, 2]), &[3, 3, 0, 1, 2]),
            (flags([0]), &[3, 2, 7, 0x80]),
            (flags([0, 2]), &[3, 2, 5, 0xa0]),
            (flags([8]), &[3, 3, 7, 0, 0x80]),
            (sequence(&[]), &[0x30, 0]),
            (instant(WallTime::from_secs(1_767_225_600)), b"\x17\x0d260101000000Z"),
            (instant(WallTime::from_secs(2_524_608_000)), b"\x18\x0f20500101000000Z"),
        ];
        for (written, expected) in cases {
            assert_eq!(written, expected);
        }
        assert_eq!(tagged(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tagged(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }
}
