//! The tables of fields: the one that everybody knows, and the one that a connection fills.

use std::collections::VecDeque;

use http::header::{self, HeaderName, HeaderValue};

use super::{Field, Name, OVERHEAD};

/// How many fields everybody knows.
pub const KNOWN: usize = 61;

/// RFC 7541, appendix A.
static FIELDS: [(Name, &str); KNOWN] = [
    (Name::Authority, ""),
    (Name::Method, "GET"),
    (Name::Method, "POST"),
    (Name::Path, "/"),
    (Name::Path, "/index.html"),
    (Name::Scheme, "http"),
    (Name::Scheme, "https"),
    (Name::Status, "200"),
    (Name::Status, "204"),
    (Name::Status, "206"),
    (Name::Status, "304"),
    (Name::Status, "400"),
    (Name::Status, "404"),
    (Name::Status, "500"),
    (Name::Header(header::ACCEPT_CHARSET), ""),
    (Name::Header(header::ACCEPT_ENCODING), "gzip, deflate"),
    (Name::Header(header::ACCEPT_LANGUAGE), ""),
    (Name::Header(header::ACCEPT_RANGES), ""),
    (Name::Header(header::ACCEPT), ""),
    (Name::Header(header::ACCESS_CONTROL_ALLOW_ORIGIN), ""),
    (Name::Header(header::AGE), ""),
    (Name::Header(header::ALLOW), ""),
    (Name::Header(header::AUTHORIZATION), ""),
    (Name::Header(header::CACHE_CONTROL), ""),
    (Name::Header(header::CONTENT_DISPOSITION), ""),
    (Name::Header(header::CONTENT_ENCODING), ""),
    (Name::Header(header::CONTENT_LANGUAGE), ""),
    (Name::Header(header::CONTENT_LENGTH), ""),
    (Name::Header(header::CONTENT_LOCATION), ""),
    (Name::Header(header::CONTENT_RANGE), ""),
    (Name::Header(header::CONTENT_TYPE), ""),
    (Name::Header(header::COOKIE), ""),
    (Name::Header(header::DATE), ""),
    (Name::Header(header::ETAG), ""),
    (Name::Header(header::EXPECT), ""),
    (Name::Header(header::EXPIRES), ""),
    (Name::Header(header::FROM), ""),
    (Name::Header(header::HOST), ""),
    (Name::Header(header::IF_MATCH), ""),
    (Name::Header(header::IF_MODIFIED_SINCE), ""),
    (Name::Header(header::IF_NONE_MATCH), ""),
    (Name::Header(header::IF_RANGE), ""),
    (Name::Header(header::IF_UNMODIFIED_SINCE), ""),
    (Name::Header(header::LAST_MODIFIED), ""),
    (Name::Header(header::LINK), ""),
    (Name::Header(header::LOCATION), ""),
    (Name::Header(header::MAX_FORWARDS), ""),
    (Name::Header(header::PROXY_AUTHENTICATE), ""),
    (Name::Header(header::PROXY_AUTHORIZATION), ""),
    (Name::Header(header::RANGE), ""),
    (Name::Header(header::REFERER), ""),
    (Name::Header(header::REFRESH), ""),
    (Name::Header(header::RETRY_AFTER), ""),
    (Name::Header(header::SERVER), ""),
    (Name::Header(header::SET_COOKIE), ""),
    (Name::Header(header::STRICT_TRANSPORT_SECURITY), ""),
    (Name::Header(header::TRANSFER_ENCODING), ""),
    (Name::Header(header::USER_AGENT), ""),
    (Name::Header(header::VARY), ""),
    (Name::Header(header::VIA), ""),
    (Name::Header(header::WWW_AUTHENTICATE), ""),
];

/// The names that answers use most, and their numbers: what is not here is written out.
const USED: [(HeaderName, usize); 14] = [
    (header::CONTENT_LENGTH, 28),
    (header::CONTENT_TYPE, 31),
    (header::CACHE_CONTROL, 24),
    (header::VARY, 59),
    (header::CONTENT_ENCODING, 26),
    (header::ETAG, 34),
    (header::LAST_MODIFIED, 44),
    (header::LOCATION, 46),
    (header::RETRY_AFTER, 53),
    (header::WWW_AUTHENTICATE, 61),
    (header::ALLOW, 22),
    (header::SET_COOKIE, 55),
    (header::DATE, 33),
    (header::ACCEPT_RANGES, 18),
];

/// The number of a name that everybody knows.
pub fn number_of(name: &HeaderName) -> Option<usize> {
    USED.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
}

/// A field with its size.
#[derive(Clone, Debug)]
pub struct Entry {
    pub field: Field,
    pub size: usize,
}

/// The field of this number that everybody knows.
pub fn known(number: usize) -> Option<Entry> {
    let (name, value) = FIELDS.get(number.checked_sub(1)?)?;
    let size = name_length(name) + value.len() + OVERHEAD;
    let field = Field { name: name.clone(), value: HeaderValue::from_static(value) };
    Some(Entry { field, size })
}

fn name_length(name: &Name) -> usize {
    match name {
        Name::Method | Name::Scheme | Name::Status => 7,
        Name::Authority => 10,
        Name::Path => 5,
        Name::Header(name) => name.as_str().len(),
        Name::Malformed => 0,
    }
}

/// A name from its bytes, and its length.
pub fn named(bytes: &[u8]) -> Name {
    match bytes {
        b":method" => Name::Method,
        b":scheme" => Name::Scheme,
        b":authority" => Name::Authority,
        b":path" => Name::Path,
        b":status" => Name::Status,
        // Headers have no capitals here; the constructor would make them small.
        _ if bytes.iter().any(u8::is_ascii_uppercase) => Name::Malformed,
        _ => HeaderName::from_bytes(bytes).map_or(Name::Malformed, Name::Header),
    }
}

/// The length of a name as it is counted.
pub fn length_of(entry: &Entry) -> usize {
    entry.size - OVERHEAD - entry.field.value.len()
}

/// The fields that a connection has told, the newest first.
#[derive(Debug)]
pub struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

impl Table {
    pub fn new(most: usize) -> Table {
        Table { entries: VecDeque::new(), size: 0, most }
    }

    /// The entry of a number, of both tables.
    pub fn get(&self, number: usize) -> Option<Entry> {
        match number.checked_sub(KNOWN + 1) {
            Some(at) => self.entries.get(at).cloned(),
            None => known(number),
        }
    }

    pub fn insert(&mut self, entry: Entry) {
        self.evict(self.most.saturating_sub(entry.size));
        if entry.size <= self.most {
            self.size += entry.size;
            self.entries.push_front(entry);
        }
    }

    /// Changes how much it may hold.
    pub fn resize(&mut self, most: usize) {
        self.most = most;
        self.evict(most);
    }

    fn evict(&mut self, most: usize) {
        while self.size > most {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.size -= oldest.size;
        }
    }
}
