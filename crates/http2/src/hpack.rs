//! The packing of headers, RFC 7541.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod table;
#[cfg(test)]
mod tests;

use http::{HeaderName, HeaderValue};

pub use decoder::Decoder;
pub use encoder::Encoder;

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:status`
    Status,
    /// Of a header.
    Header(HeaderName),
    /// None that a field may have, or its value is none that it may have.
    Malformed,
}

/// A field of a block of headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: HeaderValue,
}

/// What is wrong with a block of headers: nothing that follows on its connection can be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It ends before its last field does.
    #[error("the block ends within a field")]
    Short,
    /// A number is too large.
    #[error("a number is too large")]
    Overflow,
    /// There is no entry of this number.
    #[error("there is no entry {0} in the table")]
    Index(usize),
    /// The table is made larger than was allowed, or where it may not be.
    #[error("the size of the table may not be changed so")]
    Size,
    /// A packed text is none.
    #[error("a text is not packed as it should be")]
    Text,
}

/// What each field of a table counts beside its name and value.
const OVERHEAD: usize = 32;
