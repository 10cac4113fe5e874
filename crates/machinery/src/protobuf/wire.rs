//! The letters of protobuf: tags, varints, lengths. Messages that no schema knows are read and written with them as well.

use std::borrow::Cow;

use super::Error;

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireType {
    /// A number or a truth.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// Bytes, a text or a message, and their length.
    Bytes,
    /// Four bytes.
    Fixed32,
}

/// A cursor over a message.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a message.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// How many bytes were taken.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next field's number and form; `None` at the end.
    pub fn tag(&mut self) -> Result<Option<(u32, WireType)>, Error> {
        if self.is_at_end() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number
            .ok_or_else(|| error(format!("proto: illegal tag {} (wire type {})", tag >> 3, tag & 7)))?;
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            5 => WireType::Fixed32,
            other => return Err(error(format!("proto: illegal wireType {other}"))),
        };
        Ok(Some((number, wire_type)))
    }

    /// A number.
    pub fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or_else(unexpected_end)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(error("proto: integer overflow".to_owned()))
    }

    /// Bytes, or a message.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let len = usize::try_from(self.varint()?).map_err(|_| unexpected_end())?;
        self.take(len)
    }

    /// Text; what is no UTF-8 is replaced.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Error> {
        Ok(String::from_utf8_lossy(self.bytes()?))
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let end =
            self.at.checked_add(len).filter(|end| *end <= self.bytes.len()).ok_or_else(unexpected_end)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Passes over a field.
    pub fn skip(&mut self, wire_type: WireType) -> Result<(), Error> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.take(8).map(drop),
            WireType::Bytes => self.bytes().map(drop),
            WireType::Fixed32 => self.take(4).map(drop),
        }
    }
}

pub(super) fn error(text: String) -> Error {
    Error { text }
}

fn unexpected_end() -> Error {
    error("unexpected EOF".to_owned())
}

#[inline]
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A whole number.
#[inline]
pub fn int(number: u32, value: i64, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3, out);
    put_varint(value as u64, out);
}

pub(super) fn fixed64(number: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Bytes or text.
#[inline]
pub fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    head(number, value.len(), out);
    out.extend_from_slice(value);
}

/// What stands before bytes, text or a message.
#[inline]
pub(super) fn head(number: u32, length: usize, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | 2, out);
    put_varint(length as u64, out);
}

/// The length of [`head`] for a small number.
#[inline]
pub(super) fn head_len(length: usize) -> usize {
    // Seven bits a byte, and at least one of them.
    1 + (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize
}

/// A message that `write` appends. Most are shorter than 128 bytes; for others the length is made room for afterwards.
pub(super) fn message(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(u64::from(number) << 3 | 2, out);
    let at = out.len();
    out.push(0);
    write(out);
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(10);
    put_varint(len as u64, &mut prefix);
    out.splice(at..=at, prefix);
}
