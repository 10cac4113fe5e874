//! Writes blocks of headers. Texts are written as they are: time is worth more than bytes here.

use std::collections::VecDeque;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::table::{KNOWN, number_of};
use super::{OVERHEAD, integer};

/// Bytes of fields that are remembered: an answer has few that occur again. The peer keeps more, which is no harm: newest
/// fields have the lowest numbers.
const MOST: usize = 1_024;
/// Bytes that a peer's table holds before it says something else.
const PEERS: usize = 4_096;
/// Values that are longer hardly occur twice.
const LONG: usize = 128;
/// Headers whose values are hardly ever the same.
const EVER_NEW: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::DATE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::AGE,
];

/// First bytes of fields, and how many bits of them are a number.
const INDEXED: (u8, u32) = (0x80, 7);
const REMEMBERED: (u8, u32) = (0x40, 6);
const FORGOTTEN: (u8, u32) = (0x00, 4);
const SECRET: (u8, u32) = (0x10, 4);
const RESIZED: (u8, u32) = (0x20, 5);

/// Writes blocks of headers. There is one for each connection; it takes no memory before the first block.
#[derive(Debug)]
pub struct Encoder {
    entries: VecDeque<(HeaderName, HeaderValue)>,
    size: usize,
    most: usize,
    /// What the peer's table holds as far as it was told.
    told: usize,
    /// What it must be told before the next field: the smallest size since, and the last.
    untold: Option<(usize, usize)>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoder {
    /// For a peer that has said nothing yet.
    pub fn new() -> Encoder {
        Encoder { entries: VecDeque::new(), size: 0, most: MOST, told: PEERS, untold: None }
    }

    /// The peer's table may hold so many bytes.
    pub fn set_table_size(&mut self, size: u32) {
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(PEERS);
        let smallest = self.untold.map_or(self.told, |(smallest, _)| smallest).min(size);
        self.untold = Some((smallest, size));
        self.most = smallest.min(MOST);
        self.evict(self.most);
        self.most = size.min(MOST);
    }

    /// Appends the fields of an answer.
    pub fn encode(&mut self, status: StatusCode, headers: &HeaderMap, out: &mut Vec<u8>) {
        self.tell(out);
        match status.as_u16() {
            200 => out.push(0x88),
            204 => out.push(0x89),
            206 => out.push(0x8a),
            304 => out.push(0x8b),
            400 => out.push(0x8c),
            404 => out.push(0x8d),
            500 => out.push(0x8e),
            _ => {
                integer::put(8, FORGOTTEN, out);
                text(status.as_str().as_bytes(), out);
            }
        }
        for (name, value) in headers {
            self.field(name, value, out);
        }
    }

    fn tell(&mut self, out: &mut Vec<u8>) {
        let Some((smallest, last)) = self.untold.take() else { return };
        if smallest < self.told {
            integer::put(smallest, RESIZED, out);
            self.told = smallest;
        }
        if last != self.told {
            integer::put(last, RESIZED, out);
            self.told = last;
        }
    }

    fn field(&mut self, name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
        if value.is_sensitive() {
            return self.literal(SECRET, name, value, out);
        }
        if EVER_NEW.contains(name) || value.len() > LONG {
            return self.literal(FORGOTTEN, name, value, out);
        }
        let same = |(known, its): &(HeaderName, HeaderValue)| known == name && its == value;
        if let Some(at) = self.entries.iter().position(same) {
            return integer::put(KNOWN + 1 + at, INDEXED, out);
        }
        self.literal(REMEMBERED, name, value, out);
        self.remember(name, value);
    }

    fn literal(&self, first: (u8, u32), name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
        let told = || self.entries.iter().position(|(known, _)| known == name).map(|at| KNOWN + 1 + at);
        match number_of(name).or_else(told) {
            Some(number) => integer::put(number, first, out),
            None => {
                integer::put(0, first, out);
                text(name.as_str().as_bytes(), out);
            }
        }
        text(value.as_bytes(), out);
    }

    /// As the peer does it.
    fn remember(&mut self, name: &HeaderName, value: &HeaderValue) {
        let size = size_of(name, value);
        self.evict(self.most.saturating_sub(size));
        if size <= self.most {
            self.size += size;
            // A copy: a value that was passed on may be a part of much more.
            let copy = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
            self.entries.push_front((name.clone(), copy));
        }
    }

    fn evict(&mut self, most: usize) {
        while self.size > most {
            let Some((name, value)) = self.entries.pop_back() else { return };
            self.size -= size_of(&name, &value);
        }
    }
}

fn size_of(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + OVERHEAD
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    integer::put(bytes.len(), (0, 7), out);
    out.extend_from_slice(bytes);
}
