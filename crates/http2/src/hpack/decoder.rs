//! Reads blocks of headers.

use std::borrow::Cow;

use http::HeaderValue;

use super::table::{self, Entry, Table};
use super::{Error, Field, Name, OVERHEAD, huffman, integer};

/// Reads blocks of headers. There is one for each connection; it takes no memory before a block fills its table.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Bytes that the table may hold, as the peer was told.
    most: usize,
}

impl Decoder {
    /// With a table of so many bytes.
    pub fn new(most: usize) -> Decoder {
        Decoder { table: Table::new(most), most }
    }

    /// Reads a whole block. Each field goes to `each`, with its size as the protocol counts it.
    pub fn decode(&mut self, mut block: &[u8], mut each: impl FnMut(&Field, usize)) -> Result<(), Error> {
        let mut has_fields = false;
        while let Some(first) = block.first().copied() {
            if first & 0xe0 == 0x20 {
                self.resize(&mut block, has_fields)?;
                continue;
            }
            has_fields = true;
            let entry = if first & 0x80 != 0 {
                let number = integer::take(&mut block, 7)?;
                self.entry(number)?
            } else if first & 0x40 != 0 {
                let entry = self.literal(&mut block, 6)?;
                self.table.insert(entry.clone());
                entry
            } else {
                let mut entry = self.literal(&mut block, 4)?;
                entry.field.value.set_sensitive(first & 0x10 != 0);
                entry
            };
            each(&entry.field, entry.size);
        }
        Ok(())
    }

    /// The peer makes its table larger or smaller, which it may only before all fields.
    fn resize(&mut self, block: &mut &[u8], has_fields: bool) -> Result<(), Error> {
        let size = integer::take(block, 5)?;
        if has_fields || size > self.most {
            return Err(Error::Size);
        }
        self.table.resize(size);
        Ok(())
    }

    fn entry(&self, number: usize) -> Result<Entry, Error> {
        self.table.get(number).ok_or(Error::Index(number))
    }

    fn literal(&self, block: &mut &[u8], bits: u32) -> Result<Entry, Error> {
        let number = integer::take(block, bits)?;
        let (name, length) = if number == 0 {
            let text = text(block)?;
            (table::named(&text), text.len())
        } else {
            let entry = self.entry(number)?;
            let length = table::length_of(&entry);
            (entry.field.name, length)
        };
        let text = text(block)?;
        let size = length + text.len() + OVERHEAD;
        let field = match HeaderValue::from_bytes(&text) {
            Ok(value) => Field { name, value },
            Err(_) => return Ok(malformed(length, text.len())),
        };
        Ok(Entry { field, size })
    }
}

/// A field that no request may have. It takes its place in the table all the same, with as many bytes.
fn malformed(name: usize, value: usize) -> Entry {
    let field = Field { name: Name::Malformed, value: HeaderValue::from_static("") };
    Entry { field, size: name + value + OVERHEAD }
}

/// Takes a text off the front.
fn text<'a>(block: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
    let is_packed = block.first().ok_or(Error::Short)? & 0x80 != 0;
    let length = integer::take(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(Error::Short)?;
    *block = rest;
    if !is_packed {
        return Ok(Cow::Borrowed(bytes));
    }
    // The shortest word has five bits.
    let mut unpacked = Vec::with_capacity(bytes.len() * 8 / 5);
    huffman::unpack(bytes, &mut unpacked).map_err(|_| Error::Text)?;
    Ok(Cow::Owned(unpacked))
}
